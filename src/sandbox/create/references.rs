//! Finds what a body refers to, by id or by exactly the text the API shows for it.

use serde_json::{Map, Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::create::Problems;
use crate::sandbox::table::{Record, Table, integer};

/// Of several customers with the name the oldest is meant.
pub(crate) fn customer<'a>(
    company: &'a Company,
    body: &Map<String, Value>,
) -> Result<&'a Record, Problems> {
    let found = body
        .get("customer_name")
        .and_then(|name| find(&company.customers, "customer_name", name));
    found.ok_or_else(|| {
        let mut problems = Problems::default();
        problems.add("customer_name", "Customer Name can not be found.");
        problems
    })
}

pub(crate) fn find<'a>(table: &'a Table, column: &str, wanted: &Value) -> Option<&'a Record> {
    // A number that is no id may still be a name.
    let by_id = integer(wanted).and_then(|id| table.find(id));
    let text = wanted
        .as_str()
        .map_or_else(|| wanted.to_string(), str::to_owned);
    by_id.or_else(|| table.find_by(column, &text))
}

/// The display text of a named reference, and a problem if nothing is called that.
pub(crate) fn header(
    table: &Table,
    column: &str,
    body: &Map<String, Value>,
    field: &str,
    problems: &mut Problems,
) -> Option<Value> {
    let wanted = body
        .get(field)
        .filter(|wanted| wanted.as_str() != Some(""))?;
    let found = find(table, column, wanted).map(|record| record.get(column).clone());
    if found.is_none() {
        problems.add(field, format!("{} can not be found.", title(field)));
    }
    found
}

fn title(field: &str) -> String {
    let words = field
        .split('_')
        .map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect::<Vec<_>>().join(" ")
}

/// Technicians by id, else by first and last name.
pub(crate) fn techs(
    company: &Company,
    body: &Map<String, Value>,
    field: &str,
    problems: &mut Problems,
) -> Value {
    let wanted = body
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let mut out = Vec::new();
    for (index, tech) in wanted.iter().enumerate() {
        let found = company
            .techs
            .records()
            .iter()
            .find(|known| match integer(&tech["id"]) {
                Some(id) => known.id() == id,
                None => ["first_name", "last_name"]
                    .iter()
                    .all(|name| tech[*name] == *known.get(name)),
            });
        match found {
            Some(tech) => out.push(json!({
                "id": tech.id(), "first_name": tech.get("first_name"), "last_name": tech.get("last_name"),
            })),
            None => problems.add(&format!("{field}[{index}]"), "Tech can not be found."),
        }
    }
    json!(out)
}

/// An employee named "first last", or by id.
pub(crate) fn user(company: &Company, wanted: &Value) -> Option<Value> {
    let found = company.techs.records().iter().find(|tech| {
        integer(wanted) == Some(tech.id()) || wanted.as_str() == Some(&full_name(tech))
    });
    found.map(|tech| json!(full_name(tech)))
}

pub(crate) fn full_name(person: &Record) -> String {
    format!("{} {}", person.text("first_name"), person.text("last_name"))
}
