//! Records in memory: one value per column, found by id without a search.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::sandbox::contract::Resource;

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) resource: &'static Resource,
    values: Box<[Value]>,
}

impl Record {
    /// Columns that `object` does not name are null; names that are no column are dropped.
    pub(crate) fn new(resource: &'static Resource, mut object: Map<String, Value>) -> Self {
        let values = resource
            .columns()
            .map(|name| object.remove(name).unwrap_or_default())
            .collect();
        Self { resource, values }
    }

    pub(crate) fn at(&self, column: usize) -> &Value {
        self.values.get(column).unwrap_or(&Value::Null)
    }

    pub(crate) fn get(&self, name: &str) -> &Value {
        self.resource
            .column(name)
            .map_or(&Value::Null, |column| self.at(column))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> i64 {
        integer(self.at(0)).unwrap_or_default()
    }

    /// As other records show it among their own.
    pub(crate) fn to_object(&self) -> Value {
        let columns = self.resource.columns().zip(&self.values);
        columns
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(slot) = self.slot(name) {
            *slot = value.into();
        }
    }

    /// The rows of an expandable column, to add to.
    pub(crate) fn rows_mut(&mut self, name: &str) -> Option<&mut Vec<Value>> {
        let slot = self.slot(name)?;
        if slot.is_null() {
            *slot = Value::Array(Vec::new());
        }
        slot.as_array_mut()
    }

    fn slot(&mut self, name: &str) -> Option<&mut Value> {
        let column = self.resource.column(name)?;
        self.values.get_mut(column)
    }
}

pub(crate) struct Table {
    pub(crate) resource: &'static Resource,
    records: Vec<Record>,
    positions: HashMap<i64, usize>,
}

impl Table {
    pub(crate) fn new(resource: &'static Resource) -> Self {
        Self {
            resource,
            records: Vec::new(),
            positions: HashMap::new(),
        }
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.positions.insert(record.id(), self.records.len());
        self.records.push(record);
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(crate) fn find(&self, id: i64) -> Option<&Record> {
        self.records.get(*self.positions.get(&id)?)
    }

    pub(crate) fn find_mut(&mut self, id: i64) -> Option<&mut Record> {
        self.records.get_mut(*self.positions.get(&id)?)
    }

    pub(crate) fn find_by(&self, name: &str, text: &str) -> Option<&Record> {
        let column = self.resource.column(name)?;
        self.records
            .iter()
            .find(|record| record.at(column).as_str() == Some(text))
    }

    pub(crate) fn next_id(&self, first: i64) -> i64 {
        self.positions.keys().max().map_or(first, |last| last + 1)
    }
}

/// Ids come as numbers and, on some records, as strings of digits.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// One object of several, for records too large for one literal.
pub(crate) fn merged<const N: usize>(parts: [Value; N]) -> Value {
    parts
        .into_iter()
        .flat_map(fields)
        .collect::<Map<_, _>>()
        .into()
}

/// The fields of a JSON object literal.
pub(crate) fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
