//! The compact text form of an answer: the same facts as its structured form, never longer than that.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::json_length;

/// Renders an answer. Lists become tables whose column names stand once.
pub fn render(answer: &Map<String, Value>) -> String {
    let mut text = Text::default();
    for (name, value) in answer {
        text.field(name, value, 0);
    }
    let mut text = text.0;
    // No line end after the last line.
    text.pop();
    if text.len() <= json_length(answer) {
        text
    } else {
        serde_json::to_string(answer).unwrap_or_default()
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_))
        || matches!(value, Value::Array(items) if items.iter().any(Value::is_object))
}

/// The lines so far, each with its end.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A field on a line of its own, `depth` steps in; what it holds follows.
    fn field(&mut self, name: &str, value: &Value, depth: usize) {
        self.indent(depth);
        self.free(name);
        self.0.push(':');
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                self.0.push('\n');
                self.table(rows, depth);
            }
            Value::Array(rows) if rows.is_empty() => self.0.push_str(" none\n"),
            Value::Object(fields) if fields.values().any(is_nested) => {
                self.0.push('\n');
                for (name, value) in fields {
                    self.field(name, value, depth + 1);
                }
            }
            other => {
                self.0.push(' ');
                self.inline(other);
                self.0.push('\n');
            }
        }
    }

    /// One line a row, cells in the order of the columns; nested lists follow their row, one step in.
    fn table(&mut self, rows: &[Value], depth: usize) {
        let rows: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
        let columns = columns(&rows);
        self.line(&columns, depth, |text, name| text.free(name));
        for row in rows {
            self.line(&columns, depth, |text, name| {
                if let Some(value) = row.get(*name) {
                    text.cell(value);
                }
            });
            for (name, value) in row.iter().filter(|(_, value)| is_nested(value)) {
                self.field(name, value, depth + 1);
            }
        }
    }

    /// What `write` makes of each column, with bars between; the last bars of a line say nothing.
    fn line(&mut self, columns: &[&str], depth: usize, write: impl Fn(&mut Self, &&str)) {
        self.indent(depth);
        let start = self.0.len();
        for (place, name) in columns.iter().enumerate() {
            if place > 0 {
                self.0.push('|');
            }
            write(self, name);
        }
        let end = self.0[start..].trim_end_matches('|').len();
        self.0.truncate(start + end);
        self.0.push('\n');
    }

    /// A value between bars, so without any of its own.
    fn cell(&mut self, value: &Value) {
        let start = self.0.len();
        self.inline(value);
        if self.0[start..].contains('|') {
            let cell = self.0.split_off(start);
            self.0.push_str(&cell.replace('|', "/"));
        }
    }

    /// A value on one line.
    fn inline(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::String(text) => self.free(text),
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.0.push_str(if place > 0 { ", " } else { "" });
                    self.inline(item);
                }
            }
            Value::Object(fields) => {
                for (place, (name, value)) in fields.iter().enumerate() {
                    self.0.push_str(if place > 0 { "; " } else { "" });
                    self.free(name);
                    self.0.push(' ');
                    self.inline(value);
                }
            }
            // Writing to a text does not fail.
            other => drop(write!(self.0, "{other}")),
        }
    }

    /// Free text: its line ends become spaces, so that a note cannot pass for a row of its own.
    fn free(&mut self, text: &str) {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.push_str(text);
        }
        let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
        self.0.extend(text.chars().map(on_one_line));
    }

    fn indent(&mut self, depth: usize) {
        self.0.extend(std::iter::repeat_n(' ', depth));
    }
}

/// The columns of a table, in the order in which its rows name them. A list that is empty in one row and holds records
/// in another is no column.
fn columns<'a>(rows: &[&'a Map<String, Value>]) -> Vec<&'a str> {
    let mut columns: Vec<&str> = Vec::new();
    let mut nested: Vec<&str> = Vec::new();
    for (name, value) in rows.iter().flat_map(|row| row.iter()) {
        let known = if is_nested(value) {
            &mut nested
        } else {
            &mut columns
        };
        if !known.contains(&name.as_str()) {
            known.push(name);
        }
    }
    columns.retain(|name| !nested.contains(name));
    columns
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
