//! The furnaces, condensers and heaters in customers' homes, with warranties of every kind.

use serde_json::{Value, json};

use crate::sandbox::clock::midnight_stamp;
use crate::sandbox::company::Company;
use crate::sandbox::company::reference::add;
use crate::sandbox::company::setting::Setting;

const FIRST_ID: i64 = 61_012;

const KINDS: [(&str, &str, &str); 10] = [
    ("Furnace", "Trane", "S9V2B080"),
    ("Condenser", "Carrier", "24ACC636A003"),
    ("Water Heater", "Rheem", "XG50T09HE40U0"),
    ("Evaporator Coil", "Lennox", "CX38-36"),
    ("Tankless Water Heater", "Navien", "NPE-240A2"),
    ("Thermostat", "Honeywell", "T6 Pro"),
    ("Heat Pump", "Goodman", "GSZC160361"),
    ("Rooftop Unit", "York", "ZE060H12"),
    ("Water Softener", "Culligan", "HE-1.25"),
    ("Electrical Panel", "Square D", "HOM4080M200"),
];

const PLACES: [&str; 5] = ["Attic", "Garage", "Closet", "Roof", "North side yard"];

pub(crate) fn fill(company: &mut Company, setting: &mut Setting) {
    let customers = company.customers.records().to_vec();
    for (position, customer) in customers.iter().enumerate() {
        let places = customer
            .get("locations")
            .as_array()
            .cloned()
            .unwrap_or_default();
        let count = if places.len() > 3 { 5 } else { position % 3 };
        for index in 0..count.min(places.len() * 3) {
            let mut unit = unit(company, setting, position + index * 3);
            let place = &places[index % places.len()];
            unit["customer_id"] = customer.get("id").clone();
            unit["customer"] = customer.get("customer_name").clone();
            unit["customer_location"] = place["nickname"].clone();
            add(&mut company.equipment, unit);
        }
    }
}

fn unit(company: &Company, setting: &mut Setting, position: usize) -> Value {
    let id = company.equipment.next_id(FIRST_ID);
    let (kind, make, model) = KINDS[position % KINDS.len()];
    let installed = -setting.random.between(60, 4300);
    let since = midnight_stamp(setting.day(installed));
    let has_extended = id % 6 == 1;
    json!({
        "id": id, "type": kind, "make": make, "model": model,
        "sku": if id % 4 == 0 { json!("") } else { json!(format!("SK{}", 15_000 + id)) },
        "serial_number": if id % 13 == 2 { json!(null) } else { json!(format!("{}{:07}", &make[..2].to_uppercase(), id * 7919 % 10_000_000)) },
        "location": PLACES[position % PLACES.len()],
        "notes": if id % 8 == 3 { json!("Access through the hall closet.\r\nFilter 20x25x4") } else { json!(null) },
        "extended_warranty_provider": if has_extended { json!("Comfort Shield") } else { json!(null) },
        "is_extended_warranty": has_extended,
        "extended_warranty_date": if has_extended { json!(setting.day(400).to_string()) } else { json!(null) },
        "warranty_date": warranty(setting, id), "install_date": install_date(setting, id, installed),
        "created_at": since, "updated_at": if id % 17 == 5 { "-0001-11-30T00:00:00+00:00" } else { &since },
        "custom_fields": custom_fields(setting, id),
    })
}

/// Expired, about to expire, valid, unknown, and the database's zero dates.
fn warranty(setting: &Setting, id: i64) -> Value {
    let offset = match id % 10 {
        0 | 1 => -40 - id % 900,
        2 => 30 + id % 30,
        3..=5 => 200 + id % 2500,
        6 => return json!("-0001-11-30"),
        7 => return json!("0000-00-00"),
        8 => return json!(null),
        _ => -5,
    };
    json!(setting.day(offset).to_string())
}

fn install_date(setting: &Setting, id: i64, installed: i64) -> Value {
    match id % 15 {
        4 => json!(null),
        9 => json!("1970-01-01"),
        _ => json!(setting.day(installed).to_string()),
    }
}

fn custom_fields(setting: &Setting, id: i64) -> Value {
    let since = midnight_stamp(setting.day(-300));
    let field = |name: &str, value: Value, kind: &str| {
        json!({"name": name, "value": value, "type": kind, "group": "Unit", "created_at": since, "updated_at": since,
            "is_required": false})
    };
    json!([
        field(
            "Filter size",
            json!(if id % 2 == 0 { "16x25x1" } else { "20x25x4" }),
            "select"
        ),
        field(
            "Tonnage",
            if id % 3 == 0 { json!("3") } else { json!(3.5) },
            "numericinput"
        ),
        field(
            "Last coil cleaning",
            if id % 4 == 1 {
                json!("0000-00-00")
            } else {
                json!(setting.day(-200).to_string())
            },
            "date"
        ),
    ])
}
