//! Answers of Service Fusion: a record of any shape, read field by field and made an answer of a tool.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use sf_mcp::{
    answer::{self, Fields, text},
    service_fusion::record::Record,
};

const BUDGET: usize = 2_000;

fuzz_target!(|body: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let record = Record::new(value);
    for name in record.0.keys() {
        read(&record, name);
    }
    if let Some(address) = record.address() {
        assert!(!address.trim().is_empty());
    }

    let length = |fields: &Map<String, Value>| serde_json::to_string(fields).unwrap().len();
    let answer = answer::fit(Fields(record.0.clone()), BUDGET).0;
    if length(&record.0) <= BUDGET {
        assert_eq!(answer, record.0);
    } else {
        let said = "left_out".len() + 300;
        assert!(length(&answer) <= length(&record.0) + said);
        assert!(length(&answer) <= BUDGET || answer.values().all(is_short));
    }
    let rendered = text::render(&record.0);
    assert!(rendered.len() <= length(&record.0));
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'));
});

fn read(record: &Record, name: &str) {
    if let Some(text) = record.text(name) {
        assert!(!text.is_empty() && text == text.trim());
    }
    if let Some(id) = record.id(name) {
        assert!(id > 0);
    }
    if let Some(number) = record.number(name) {
        assert!(number.is_finite());
        assert!(record.amount(name).is_some_and(|amount| amount.is_number()));
    }
    if let Some(day) = record.date(name) {
        assert!(day.year() > 1970);
    }
    assert!(!record.has_list(name) || record.get(name).is_some_and(Value::is_array));
    let entries = record
        .get(name)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    assert!(record.list(name).len() <= entries);
    let _ = (
        record.flag(name),
        record.time(name),
        record.name(name, "last_name"),
    );
}

/// Whether nothing in it can be cut any more: what has many names stays as it is.
fn is_short(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().count() <= 300,
        Value::Array(items) => items.len() <= 1 && items.iter().all(is_short),
        Value::Object(fields) => fields.values().all(is_short),
        _ => true,
    }
}
