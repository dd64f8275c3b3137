//! The compact text form of an answer: the same facts as its structured form, never longer than that.

use serde_json::{Map, Value};

/// Renders an answer. Lists become tables whose column names stand once.
pub fn render(answer: &Map<String, Value>) -> String {
    let mut lines = Vec::new();
    for (name, value) in answer {
        write_field(&mut lines, name, value, "");
    }
    let text = lines.join("\n");
    let json = serde_json::to_string(answer).unwrap_or_default();
    if text.len() <= json.len() { text } else { json }
}

fn write_field(lines: &mut Vec<String>, name: &str, value: &Value, indent: &str) {
    let name = plain(name);
    match value {
        Value::Array(rows) if rows.iter().any(Value::is_object) => {
            lines.push(format!("{indent}{name}:"));
            write_table(lines, rows, indent);
        }
        Value::Array(rows) if rows.is_empty() => lines.push(format!("{indent}{name}: none")),
        Value::Object(fields) if fields.values().any(is_nested) => {
            lines.push(format!("{indent}{name}:"));
            let deeper = format!("{indent} ");
            for (name, value) in fields {
                write_field(lines, name, value, &deeper);
            }
        }
        other => lines.push(format!("{indent}{name}: {}", inline(other))),
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_))
        || matches!(value, Value::Array(items) if items.iter().any(Value::is_object))
}

/// One line a row, cells in the order of the columns; nested lists follow their row, one step in.
fn write_table(lines: &mut Vec<String>, rows: &[Value], indent: &str) {
    let rows: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    // A list that is empty in one row and holds records in another is no column.
    let nested: Vec<&String> = rows
        .iter()
        .flat_map(|row| row.iter())
        .filter(|(_, value)| is_nested(value))
        .map(|(name, _)| name)
        .collect();
    let mut columns: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|row| row.keys()) {
        if !nested.contains(&name) && !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let titles: Vec<String> = columns.iter().map(|name| plain(name)).collect();
    lines.push(format!("{indent}{}", titles.join("|")));
    let deeper = format!("{indent} ");
    for row in rows {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| row.get(*column).map(cell).unwrap_or_default())
            .collect();
        lines.push(format!("{indent}{}", cells.join("|").trim_end_matches('|')));
        for (name, value) in row.iter().filter(|(_, value)| is_nested(value)) {
            write_field(lines, name, value, &deeper);
        }
    }
}

fn cell(value: &Value) -> String {
    inline(value).replace('|', "/")
}

/// Line ends in free text become spaces, so that a note cannot pass for a row of its own.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Array(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{} {}", plain(name), inline(value)))
            .collect::<Vec<_>>()
            .join("; "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        render(value.as_object().unwrap())
    }

    #[test]
    fn a_list_is_a_table() {
        let rendered = text(&json!({
            "jobs": [
                {"job_id": 1, "status": "Scheduled", "technicians": ["Sam", "Ana"]},
                {"job_id": 2, "technicians": []},
            ],
            "total": 2,
        }));
        assert_eq!(
            rendered,
            "jobs:\njob_id|status|technicians\n1|Scheduled|Sam, Ana\n2\ntotal: 2"
        );
    }

    #[test]
    fn a_note_cannot_pass_for_a_row() {
        let rendered =
            text(&json!({"notes": [{"text": "one\r\n99|Cancelled|fake"}, {"text": "two"}]}));
        assert_eq!(rendered.lines().count(), 4);
        let rendered = text(&json!({"a\nb": 1, "rows": [{"c\nd": 2}], "e": {"f\ng": 3}}));
        assert_eq!(rendered, "a b: 1\nrows:\nc d\n2\ne: f g 3");
    }

    #[test]
    fn a_list_that_is_empty_in_one_row_is_still_no_column() {
        let rendered = text(&json!({"technicians": [
            {"name": "Ana", "jobs": []},
            {"name": "Sam", "jobs": [{"number": "1"}, {"number": "2"}]},
        ]}));
        assert_eq!(
            rendered,
            "technicians:\nname\nAna\nSam\n jobs:\n number\n 1\n 2"
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{1,8}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn text_is_never_longer_than_the_structured_form(value in any_json()) {
            let mut answer = Map::new();
            answer.insert("answer".to_owned(), value);
            prop_assert!(render(&answer).len() <= serde_json::to_string(&answer).unwrap().len());
        }
    }
}
