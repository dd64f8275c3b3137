//! The technicians and the office.

use serde_json::json;

use crate::sandbox::clock::midnight_stamp;
use crate::sandbox::company::Company;
use crate::sandbox::company::catalogue::Trade;
use crate::sandbox::company::reference::add;
use crate::sandbox::company::setting::Setting;
use crate::sandbox::table::{Record, fields};

struct Person {
    first_name: &'static str,
    last_name: &'static str,
    nickname: &'static str,
    department: &'static str,
    title: &'static str,
    color: &'static str,
    phone: &'static str,
}

const fn person(
    (first_name, last_name, nickname): (&'static str, &'static str, &'static str),
    (department, title): (&'static str, &'static str),
    (color, phone): (&'static str, &'static str),
) -> Person {
    Person {
        first_name,
        last_name,
        nickname,
        department,
        title,
        color,
        phone,
    }
}

pub(crate) const FIELD_WORKERS: usize = 9;

const PEOPLE: [Person; 11] = [
    person(
        ("Luis", "Ortega", "Luis O"),
        ("HVAC", "Lead HVAC Technician"),
        ("#356a9f", "214-555-0101"),
    ),
    person(
        ("Dana", "Whitfield", "Dana"),
        ("HVAC", "HVAC Technician"),
        ("#c0392b", "214-555-0102"),
    ),
    person(
        ("Marcus", "Bell", "Bell"),
        ("HVAC", "HVAC Installer"),
        ("#27ae60", "972-555-0103"),
    ),
    person(
        ("Tuan", "Nguyen", "Tuan"),
        ("HVAC", "Comfort Advisor"),
        ("#8e44ad", "469-555-0104"),
    ),
    person(
        ("Renee", "Castillo", "Renee"),
        ("Plumbing", "Master Plumber"),
        ("#d35400", "817-555-0105"),
    ),
    person(
        ("Kyle", "Brandt", "KB"),
        ("Plumbing", "Plumber"),
        ("#16a085", "817-555-0106"),
    ),
    person(
        ("Aisha", "Rahman", "Aisha"),
        ("Plumbing", "Plumber"),
        ("#f39c12", "682-555-0107"),
    ),
    person(
        ("Jorge", "Núñez", "Jorge N"),
        ("Electrical", "Master Electrician"),
        ("#2c3e50", "214-555-0108"),
    ),
    person(
        ("Emily", "Sato", ""),
        ("Electrical", "Electrician"),
        ("#7f8c8d", "469-555-0109"),
    ),
    person(
        ("Carol", "Jennings", "Dispatch"),
        ("Office", "Dispatcher"),
        ("#95a5a6", "214-555-0110"),
    ),
    person(
        ("Grant", "Holloway", "Grant"),
        ("Office", "Owner"),
        ("#34495e", "214-555-0111"),
    ),
];

/// The positions of the field workers of a trade.
pub(crate) fn of_trade(trade: Trade) -> &'static [usize] {
    match trade {
        Trade::Hvac => &[0, 1, 2, 3],
        Trade::Plumbing => &[4, 5, 6],
        Trade::Electrical => &[7, 8],
    }
}

pub(crate) fn full_name(position: usize) -> String {
    let person = &PEOPLE[position];
    format!("{} {}", person.first_name, person.last_name)
}

pub(crate) fn id(position: usize) -> i64 {
    1_472_301 + i64::try_from(position).unwrap_or_default()
}

pub(crate) fn assigned(position: usize) -> serde_json::Value {
    let person = &PEOPLE[position];
    json!({"id": id(position), "first_name": person.first_name, "last_name": person.last_name})
}

pub(crate) fn fill(company: &mut Company, setting: &Setting) {
    for (position, person) in PEOPLE.iter().enumerate() {
        let is_field_worker = position < FIELD_WORKERS;
        let since =
            midnight_stamp(setting.day(-2100 + 170 * i64::try_from(position).unwrap_or_default()));
        add(
            &mut company.techs,
            json!({
                "id": id(position), "first_name": person.first_name, "last_name": person.last_name,
                "nickname_on_workorder": person.nickname, "nickname_on_dispatch": person.nickname,
                "color_code": person.color, "email": email(person), "phone_1": person.phone,
                "phone_2": if position % 3 == 0 { json!("") } else { json!(null) },
                "gender": if matches!(position, 1 | 4 | 6 | 8 | 9) { "F" } else { "M" },
                "department": person.department, "title": person.title,
                "bio": if position == 4 { json!("Licensed in Texas since 2009.\r\nBilingual.") } else { json!(null) },
                "is_phone_1_mobile": true, "is_phone_1_visible_to_client": position == 0,
                "is_phone_2_mobile": false, "is_phone_2_visible_to_client": false,
                "is_sales_rep": position == 3 || position == 10, "is_field_worker": is_field_worker,
                "created_at": since, "updated_at": if position == 8 { "-0001-11-30T00:00:00+00:00" } else { &since },
            }),
        );
    }
    let carol = &PEOPLE[9];
    let me = json!({
        "id": id(9), "first_name": carol.first_name, "last_name": carol.last_name, "email": email(carol),
    });
    company.me = Record::new(company.me.resource, fields(me));
}

fn email(person: &Person) -> String {
    let first = person.first_name.to_lowercase();
    format!("{first}@lonestarcomfort.example.com")
}
