//! An answer for a person at a terminal: columns that line up.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Widest a column gets; what is longer is cut, `--json` has it whole.
const WIDEST: usize = 44;

/// Renders any tool's answer.
pub(super) fn render(answer: &Value) -> String {
    let mut text = String::new();
    if let Value::Object(fields) = answer {
        section(&mut text, fields, 0);
    }
    text.trim_end().to_owned()
}

fn section(text: &mut String, fields: &Map<String, Value>, depth: usize) {
    let indent = " ".repeat(depth * 2);
    let labels = fields.iter().filter(|(_, value)| !is_nested(value));
    let width = labels
        .map(|(name, _)| label(name).chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                let _ = writeln!(text, "{indent}{} ({})", label(name), rows.len());
                table(text, rows, depth + 1);
            }
            Value::Array(rows) if rows.is_empty() => {
                let _ = writeln!(text, "{indent}{}: none", label(name));
            }
            Value::Object(inner) => {
                let _ = writeln!(text, "{indent}{}", label(name));
                section(text, inner, depth + 1);
            }
            other => {
                let name = format!("{}:", label(name));
                let _ = writeln!(
                    text,
                    "{indent}{name:<width$}  {}",
                    flat(other),
                    width = width + 1
                );
            }
        }
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_))
        || matches!(value, Value::Array(rows) if rows.iter().any(Value::is_object))
}

fn label(name: &str) -> String {
    name.replace('_', " ")
}

fn table(text: &mut String, rows: &[Value], depth: usize) {
    let indent = " ".repeat(depth * 2);
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
    let cells = |row: &Map<String, Value>| -> Vec<String> {
        columns
            .iter()
            .map(|name| {
                row.get(*name)
                    .map(|value| cut(&flat(value)))
                    .unwrap_or_default()
            })
            .collect()
    };
    let lines: Vec<Vec<String>> = std::iter::once(columns.iter().map(|name| label(name)).collect())
        .chain(rows.iter().map(|row| cells(row)))
        .collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for (index, line) in lines.iter().enumerate() {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "{indent}{}", padded.join("  ").trim_end());
        if index > 0 {
            nested_of(text, rows[index - 1], depth + 1);
        }
    }
}

fn nested_of(text: &mut String, row: &Map<String, Value>, depth: usize) {
    for (name, value) in row.iter().filter(|(_, value)| is_nested(value)) {
        let mut only = Map::new();
        only.insert(name.clone(), value.clone());
        section(text, &only, depth);
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// One line, without control characters: a note must not be able to move the terminal's cursor.
fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect(),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
