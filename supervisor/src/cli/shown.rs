//! What a command prints: tables that line up for people, JSON for programs.

use std::{fmt::Write as _, io::Write as _};

use serde_json::Value;

use crate::{cli::Failure, usage::period::rfc3339};

/// An outcome in both forms.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) json: Value,
}

impl Shown {
    pub(super) fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
        }
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let text = if as_json {
            format!("{:#}", self.json)
        } else {
            self.text.clone()
        };
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
            // Whoever read it has seen enough.
            Err(problem) if problem.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

/// Columns under their names. Cells that are numbers in every row stand to the right.
pub(super) fn table(names: &[&str], rows: &[Vec<String>]) -> String {
    let number = |cell: &str| !cell.is_empty() && cell.bytes().all(|c| c.is_ascii_digit());
    let cell = |row: &[String], column: usize| {
        row.get(column).map_or_else(String::new, |cell| plain(cell))
    };
    let columns: Vec<(usize, bool)> = (0..names.len())
        .map(|column| {
            let cells = rows.iter().map(|row| cell(row, column));
            let width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            let right = rows.iter().all(|row| number(&cell(row, column)));
            (
                width.max(names[column].chars().count()),
                right && !rows.is_empty(),
            )
        })
        .collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&columns)
            .map(|(cell, (width, right))| {
                if *right {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(names.iter().map(|name| name.to_uppercase()).collect());
    for row in rows {
        text += &line((0..names.len()).map(|column| cell(row, column)).collect());
    }
    text
}

/// Names and values, one a line.
pub(super) fn list(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let mut text = String::new();
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<width$} {}", [name, ":"].concat(), plain(value));
    }
    text
}

/// A company may call itself anything; it must not move the terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if hidden(c) { ' ' } else { c })
        .collect()
}

/// `1 call`, `2 calls`.
pub(super) fn counted(count: i64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// `2026-01-31 13:00`, in UTC.
pub(super) fn time(at: i64) -> String {
    rfc3339(at)
        .chars()
        .take(16)
        .collect::<String>()
        .replace('T', " ")
}

/// For JSON: RFC 3339 or null.
pub(super) fn moment(at: Option<i64>) -> Value {
    at.map_or(Value::Null, |at| rfc3339(at).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let rows = [
            vec!["Acme\u{1b}[2J".to_owned(), "7".to_owned()],
            vec!["É".to_owned(), "120".to_owned()],
        ];
        assert_eq!(
            table(&["company", "calls"], &rows),
            "COMPANY   CALLS\nAcme [2J      7\nÉ           120\n"
        );
        assert_eq!(table(&["company"], &[]), "COMPANY\n");
    }

    #[test]
    fn lists_leave_out_what_is_empty() {
        let lines = [
            ("id", "x".to_owned()),
            ("note", String::new()),
            ("company", "Acme".to_owned()),
        ];
        assert_eq!(list(&lines), "id:      x\ncompany: Acme\n");
    }
}
