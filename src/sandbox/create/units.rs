//! The equipment a new job or estimate is about, known or new.

use serde_json::{Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::create::Problems;
use crate::sandbox::create::customer::{custom_fields, dated, default};
use crate::sandbox::create::lines::{Body, rows};
use crate::sandbox::table::{Record, fields, integer};

fn known_equipment<'a>(company: &'a Company, row: &Value) -> Option<&'a Record> {
    let header = |unit: &Record| {
        ["type", "make", "model", "serial_number"]
            .map(|name| unit.text(name))
            .join(":")
    };
    let by_id = integer(&row["id"]).and_then(|id| company.equipment.find(id));
    by_id.or_else(|| {
        company
            .equipment
            .records()
            .iter()
            .find(|unit| row["id"].as_str() == Some(&header(unit)))
    })
}

pub(crate) fn check_equipment(company: &Company, body: &Body, problems: &mut Problems) {
    for (index, row) in rows(body, "equipment").iter().enumerate() {
        if !row["id"].is_null() && known_equipment(company, row).is_none() {
            problems.add(
                &format!("equipment[{index}].id"),
                "Equipment can not be found.",
            );
        }
    }
}

/// Equipment without an id becomes a new unit of the customer.
pub(crate) fn equipment(
    company: &mut Company,
    customer: &Record,
    body: &Body,
    stamp: &str,
) -> Value {
    let mut out = Vec::new();
    for row in rows(body, "equipment") {
        if let Some(unit) = known_equipment(company, row) {
            out.push(unit.to_object());
            continue;
        }
        let mut unit = row.clone();
        dated(&mut unit, stamp);
        unit["id"] = json!(company.equipment.next_id(61_012));
        unit["customer_id"] = customer.get("id").clone();
        unit["customer"] = customer.get("customer_name").clone();
        unit["custom_fields"] = custom_fields(&unit["custom_fields"], stamp);
        default(&mut unit, "is_extended_warranty", json!(false));
        let record = Record::new(company.equipment.resource, fields(unit));
        out.push(record.to_object());
        company.equipment.push(record);
    }
    json!(out)
}
