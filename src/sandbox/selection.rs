//! Which fields and related records of a record an answer shows, and writing them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::sandbox::contract::{CONTRACT, Resource, is_nested};
use crate::sandbox::table::Record;

pub(crate) struct Selection {
    resource: &'static Resource,
    /// Columns of plain fields, in the contract's order.
    columns: Vec<usize>,
    expand: Expand,
}

#[derive(Default)]
struct Expand(BTreeMap<String, Expand>);

impl Selection {
    /// Names the contract does not know are ignored, as the API does.
    pub(crate) fn new(resource: &'static Resource, fields: &str, expand: &str) -> Self {
        let wanted: Vec<&str> = names(fields).collect();
        let columns = (0..resource.fields.len())
            .filter(|&column| {
                wanted.is_empty() || wanted.contains(&resource.fields[column].as_str())
            })
            .collect();
        let mut tree = Expand::default();
        for path in names(expand).filter(|path| resource.expand.iter().any(|known| known == path)) {
            path.split('.').fold(&mut tree, |branch, name| {
                branch.0.entry(name.to_owned()).or_default()
            });
        }
        Self {
            resource,
            columns,
            expand: tree,
        }
    }

    pub(crate) fn write_single(&self, out: &mut Vec<u8>, record: &Record) {
        self.open(out, record);
        separate(out);
        out.extend_from_slice(b"\"_expandable\":");
        write_value(out, &self.resource.expand);
        out.push(b'}');
    }

    pub(crate) fn write_row(&self, out: &mut Vec<u8>, record: &Record) {
        self.open(out, record);
        out.push(b'}');
    }

    fn open(&self, out: &mut Vec<u8>, record: &Record) {
        out.push(b'{');
        for &column in &self.columns {
            write_key(out, &self.resource.fields[column]);
            write_value(out, record.at(column));
        }
        for (name, expand) in &self.expand.0 {
            write_key(out, name);
            write_related(out, self.resource.type_of(name), record.get(name), expand);
        }
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

fn write_related(out: &mut Vec<u8>, type_name: &str, value: &Value, expand: &Expand) {
    match value {
        Value::Array(rows) => write_rows(out, type_name, rows, expand),
        Value::Object(object) => write_object(out, type_name, object, expand),
        _ if type_name.starts_with('[') => out.extend_from_slice(b"[]"),
        _ => out.extend_from_slice(b"null"),
    }
}

fn write_rows(out: &mut Vec<u8>, type_name: &str, rows: &[Value], expand: &Expand) {
    out.push(b'[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_related(out, type_name.trim_matches(['[', ']']), row, expand);
    }
    out.push(b']');
}

fn write_object(out: &mut Vec<u8>, type_name: &str, object: &Map<String, Value>, expand: &Expand) {
    out.push(b'{');
    for (name, field_type) in CONTRACT.type_fields(type_name) {
        let value = object.get(name).unwrap_or(&Value::Null);
        if !is_nested(field_type) {
            write_key(out, name);
            write_value(out, value);
        } else if let Some(branch) = expand.0.get(name) {
            write_key(out, name);
            write_related(out, field_type, value, branch);
        }
    }
    out.push(b'}');
}

/// Field names are plain words, so they need no escaping.
fn write_key(out: &mut Vec<u8>, name: &str) {
    separate(out);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

fn write_value(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        tracing::error!(%error, "a sandbox value could not be written");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::table::fields;

    fn shown(selected: &str, expand: &str) -> Value {
        let resource = &CONTRACT.resources.customers;
        let customer = fields(json!({
            "id": 7, "customer_name": "Ana", "_tags": ["VIP"],
            "contacts": [{"fname": "Ana", "phones": [{"phone": "214-555-0100"}], "emails": []}],
        }));
        let mut out = Vec::new();
        let selection = Selection::new(resource, selected, expand);
        selection.write_single(&mut out, &Record::new(resource, customer));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn fields_limit_plain_fields_and_unknown_names_are_ignored() {
        let record = shown("id, customer_name,contacts,nonsense", "");

        let expandable = &CONTRACT.resources.customers.expand;
        assert_eq!(
            record,
            json!({"id": 7, "customer_name": "Ana", "_expandable": expandable})
        );
    }

    #[test]
    fn a_dotted_expand_implies_its_parent() {
        let record = shown("id", "contacts.phones");

        assert_eq!(record["contacts"][0]["phones"][0]["phone"], "214-555-0100");
        assert_eq!(record["contacts"][0].get("emails"), None);
    }

    #[test]
    fn expanding_a_parent_leaves_its_children_out() {
        let record = shown("", "contacts");

        assert_eq!(record["contacts"][0]["fname"], "Ana");
        assert_eq!(record["contacts"][0].get("phones"), None);
        assert_eq!(record.get("_tags"), None);
    }
}
