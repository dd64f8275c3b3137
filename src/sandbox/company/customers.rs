//! The people and businesses the company serves.

use serde_json::{Value, json};

use crate::sandbox::clock::midnight_stamp;
use crate::sandbox::company::Company;
use crate::sandbox::company::charges::real;
use crate::sandbox::company::names::{BUSINESSES, CITIES, FIRST_NAMES, LAST_NAMES, STREETS};
use crate::sandbox::company::reference::{SOURCES, TAX, add};
use crate::sandbox::company::setting::Setting;
use crate::sandbox::company::{oddities, staff};

const FIRST_ID: i64 = 9_301;
const HOMES: i64 = 104;
const CONTRACTS: [&str; 3] = [
    "Comfort Club Gold",
    "Comfort Club Silver",
    "Commercial Maintenance Plan",
];

/// Businesses with several buildings.
const MANAGER: &str = "Property Management";

pub(crate) fn fill(company: &mut Company, setting: &mut Setting) {
    for (position, (name, industry)) in (0..).zip(BUSINESSES) {
        add_business(company, setting, position, name, industry);
    }
    for position in 0..HOMES {
        add_home(company, setting, position);
    }
    oddities::add_customers(company, setting);
}

fn add_business(
    company: &mut Company,
    setting: &mut Setting,
    position: i64,
    name: &str,
    industry: &str,
) {
    let is_manager = industry == MANAGER;
    let count = if is_manager {
        setting.random.between(5, 10)
    } else {
        1
    };
    let mut locations: Vec<Value> = (0..count)
        .map(|index| location(setting, position + index, index == 0))
        .collect();
    name_business_locations(name, &mut locations);
    let mut customer = base(setting, position, name);
    let contacts = [("Office Manager", true), ("Billing", false)];
    let contacts: Vec<Value> = contacts
        .iter()
        .take(if is_manager { 2 } else { 1 })
        .map(|&(role, is_primary)| {
            contact(
                setting,
                200 + position * 2 + i64::from(!is_primary),
                role,
                is_primary,
            )
        })
        .collect();
    customer["contacts"] = Value::Array(contacts);
    customer["locations"] = Value::Array(locations);
    customer["industry"] = json!(industry);
    customer["payment_terms"] = json!("Net 30");
    customer["payment_type"] = json!("Direct Bill");
    customer["credit_rating"] = json!("A");
    if name == "Trinity Oaks HOA" {
        customer["parent_customer"] = json!("Bluebonnet Property Management");
        customer["fully_qualified_name"] = json!("Bluebonnet Property Management:Trinity Oaks HOA");
    }
    if is_manager || industry == "Restaurants" {
        agreement(setting, &mut customer, CONTRACTS[2], position);
    }
    add(&mut company.customers, customer);
}

fn name_business_locations(name: &str, locations: &mut [Value]) {
    if name == "Elm Street Dental" {
        locations[0]["street_1"] = json!("2210 Elm Street");
        locations[0]["street_2"] = json!("Suite 300");
        locations[0]["city"] = json!("Dallas");
        locations[0]["postal_code"] = json!("75201");
    }
    for (index, location) in locations.iter_mut().enumerate() {
        location["location_type"] = json!("business");
        location["nickname"] = json!(if index == 0 {
            "Office".to_owned()
        } else {
            format!("Building {index}")
        });
    }
}

fn add_home(company: &mut Company, setting: &mut Setting, position: i64) {
    let at = usize::try_from(position).unwrap_or_default();
    let first_name = FIRST_NAMES[at % FIRST_NAMES.len()];
    // The second factor moves on once per round, so no two homes share a full name.
    let last_name = LAST_NAMES[(at * 7 + at / FIRST_NAMES.len()) % LAST_NAMES.len()];
    let mut customer = base(setting, position + 24, &format!("{first_name} {last_name}"));
    let mut person = contact(setting, position, "", true);
    person["fname"] = json!(first_name);
    person["lname"] = json!(last_name);
    person["emails"][0]["email"] = json!(mail(first_name, last_name, position));
    spoil_contact(&mut person, position);
    customer["contacts"] = Value::Array(vec![person]);
    let mut places = vec![location(setting, position + 3, true)];
    if position % 17 == 4 {
        places.push(location(setting, position + 8, false));
        places[1]["nickname"] = json!("Rental");
    }
    customer["locations"] = Value::Array(places);
    if position % 3 == 1 {
        agreement(setting, &mut customer, CONTRACTS[at % 2], position);
    }
    add(&mut company.customers, customer);
}

/// Old accounts were typed in by hand: turned names, capitals, other phone formats.
fn spoil_contact(person: &mut Value, position: i64) {
    let (first_name, last_name) = (text(person, "fname"), text(person, "lname"));
    if position % 13 == 5 {
        person["fname"] = json!(format!("{last_name},"));
        person["lname"] = json!(first_name);
    } else if position % 13 == 9 {
        person["fname"] = json!(first_name.to_uppercase());
        person["lname"] = json!(last_name.to_uppercase());
    }
    let phone = text(&person["phones"][0], "phone");
    person["phones"][0]["phone"] = match position % 11 {
        3 => json!(format!("({}) {}", &phone[..3], &phone[4..])),
        7 => json!(phone.replace('-', "")),
        10 => json!(phone.replace('-', ".")),
        _ => json!(phone),
    };
    if position % 15 == 8 {
        person["emails"][0]["email"] = json!(null);
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn base(setting: &mut Setting, position: i64, name: &str) -> Value {
    let created = -1500 + position * 11;
    let at = usize::try_from(position).unwrap_or_default();
    json!({
        "id": FIRST_ID + position * 3, "customer_name": name, "fully_qualified_name": name,
        "account_number": (30_000 + position).to_string(), "account_balance": 0,
        "private_notes": if position % 9 == 2 { json!("Dog in the back yard, call first") } else { json!(null) },
        "public_notes": if position % 4 == 0 { json!("") } else { json!(null) },
        "credit_rating": if position % 6 == 0 { "A+" } else { "U" }, "labor_charge_type": "flat",
        "labor_charge_default_rate": 95, "last_serviced_date": null, "is_bill_for_drive_time": false,
        "is_vip": position % 14 == 3, "is_taxable": true, "tax_item_name": TAX,
        "referral_source": SOURCES[at % SOURCES.len()].0,
        "agent": if position % 20 == 6 { json!(staff::full_name(3)) } else { json!(null) },
        "discount": if position % 16 == 7 { 10 } else { 0 }, "discount_type": "%", "payment_type": "Credit Card",
        "payment_terms": "Due Upon Receipt", "qbo_sync_token": null, "qbo_currency": "USD",
        "created_at": setting.stamp_of_day(created), "updated_at": setting.stamp_of_day(created / 3),
        "custom_fields": custom_fields(setting, position),
        "_tags": if position % 14 == 3 { json!(["VIP"]) } else if position % 23 == 1 { json!(["Problem Customer"]) } else { json!([]) },
    })
}

fn custom_fields(setting: &Setting, position: i64) -> Value {
    let since = midnight_stamp(setting.day(-1400));
    let field = |name: &str, value: Value, kind: &str| {
        json!({"name": name, "value": value, "type": kind, "group": "Default", "created_at": since,
            "updated_at": since, "is_required": false})
    };
    json!([
        field(
            "Gate code",
            if position % 5 == 0 {
                json!(format!("#{}", 1000 + position))
            } else {
                json!(null)
            },
            "text"
        ),
        field(
            "Square feet",
            if position % 3 == 0 {
                json!(1400 + 25 * position)
            } else {
                json!("")
            },
            "numericinput"
        ),
        field("Text before arrival", json!(position % 2 == 0), "checkbox"),
    ])
}

/// A year each: most end in some months, some in the coming weeks, a few have ended.
fn agreement(setting: &Setting, customer: &mut Value, title: &str, position: i64) {
    let ends = match position % 7 {
        1 | 4 => 4 + position % 45,
        6 => -3 - position % 40,
        _ => 60 + (position * 37) % 270,
    };
    customer["assigned_contract"] = json!(title);
    customer["_agreement_effective"] = json!(midnight_stamp(setting.day(ends - 365)));
    customer["_agreement_expires"] = json!(midnight_stamp(setting.day(ends)));
}

pub(crate) fn location(setting: &mut Setting, position: i64, is_primary: bool) -> Value {
    let at = usize::try_from(position).unwrap_or_default();
    let city = &CITIES[at % CITIES.len()];
    let street = STREETS[(at * 3 + at / CITIES.len()) % STREETS.len()];
    let is_gated = position % 12 == 5;
    let since = setting.stamp_of_day(-900);
    json!({
        "street_1": format!("{} {street}", setting.random.between(11, 980) * 10 + position % 9),
        "street_2": if position % 10 == 7 { json!(format!("Apt {}", 100 + position)) } else { json!(null) },
        "city": city.name, "state_prov": "Texas", "postal_code": city.postal_code, "country": "USA",
        "nickname": if is_primary { json!("Home") } else { json!("") },
        "gate_instructions": if is_gated { json!("Enter 4417 and the pound key\r\nGate closes behind you") } else { json!(null) },
        "latitude": 32.78 + 0.01 * real(position % 20), "longitude": -96.8 - 0.02 * real(position % 25),
        "location_type": "home", "created_at": since, "updated_at": since, "is_primary": is_primary,
        "is_gated": is_gated, "is_bill_to": is_primary, "customer_contact": null,
    })
}

pub(crate) fn contact(
    setting: &mut Setting,
    position: i64,
    job_title: &str,
    is_primary: bool,
) -> Value {
    let at = usize::try_from(position).unwrap_or_default();
    let first_name = FIRST_NAMES[(at * 5 + 3) % FIRST_NAMES.len()];
    let last_name = LAST_NAMES[(at * 11 + 1) % LAST_NAMES.len()];
    let since = setting.stamp_of_day(-900);
    json!({
        "prefix": null, "fname": first_name, "lname": last_name, "suffix": null,
        "contact_type": if is_primary { "Primary" } else { "Billing" }, "dob": null, "anniversary": null,
        "job_title": job_title, "department": null, "created_at": since, "updated_at": since, "is_primary": is_primary,
        "phones": [phone(&since, position)],
        "emails": [email(&since, &mail(first_name, last_name, position))],
    })
}

const AREA_CODES: [&str; 6] = ["214", "972", "469", "817", "682", "940"];

/// Different for each position below 600: a hundred fictitious numbers in each of six areas.
pub(crate) fn phone(since: &str, position: i64) -> Value {
    let area = usize::try_from(position / 100 + position).unwrap_or_default() % AREA_CODES.len();
    let number = format!(
        "{}-555-01{:02}",
        AREA_CODES[area],
        (position * 7 + 12) % 100
    );
    json!({"phone": number, "ext": null, "type": "Mobile", "created_at": since, "updated_at": since, "is_mobile": true})
}

pub(crate) fn email(since: &str, address: &str) -> Value {
    json!({"email": address, "class": "Personal", "types_accepted": "CONF,INV", "created_at": since,
        "updated_at": since})
}

fn mail(first_name: &str, last_name: &str, position: i64) -> String {
    let domain = if position % 4 == 0 {
        "example.org"
    } else {
        "example.com"
    };
    format!(
        "{}.{}@{domain}",
        first_name.to_lowercase(),
        last_name.to_lowercase()
    )
}

/// Customers whose last visit lies before the jobs that are kept: the ones worth a call.
pub(super) fn remember_earlier_years(company: &mut Company, setting: &Setting) {
    let quiet: Vec<i64> = company
        .customers
        .records()
        .iter()
        .filter(|customer| customer.text("last_serviced_date").is_empty())
        .map(crate::sandbox::table::Record::id)
        .step_by(2)
        .collect();
    for (position, id) in (0..).zip(quiet) {
        if let Some(customer) = company.customers.find_mut(id) {
            let day = setting.day(-380 - 23 * position).to_string();
            customer.set("last_serviced_date", day);
        }
    }
}
