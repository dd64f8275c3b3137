//! How a JSON file is written: its indentation, line ends and spaces, so that ours look the same.

use jsonc_parser::{
    ast::{Object, ObjectProp},
    common::Ranged,
};
use serde_json::Value;

use crate::clients::entry::newline;

/// The layout at one place of a file.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) newline: &'static str,
    /// Everything on one line.
    pub(super) inline: bool,
    /// What the lines of the place begin with.
    indent: String,
    /// One level of indentation.
    unit: String,
    /// What is between a colon or a comma and what follows it.
    space: &'static str,
}

impl Layout {
    /// For a file that has none of its own.
    pub(super) fn plain(text: &str) -> Self {
        Self {
            newline: newline(text),
            inline: false,
            indent: String::new(),
            unit: "  ".to_owned(),
            space: " ",
        }
    }

    /// For a new member of `object`.
    pub(super) fn of_object(text: &str, root: &Object, object: &Object) -> Self {
        let file = Self::of_file(text, root);
        match object.properties.last() {
            Some(last) => Self {
                inline: own_line(text, last.start()).is_none(),
                indent: line_indent(text, last.start()).to_owned(),
                ..file
            },
            None => Self {
                inline: !root.properties.is_empty() && !root.text(text).contains('\n'),
                indent: format!("{}{}", line_indent(text, object.start()), file.unit),
                ..file
            },
        }
    }

    /// For another value of `member`.
    pub(super) fn of_member(text: &str, root: &Object, member: &ObjectProp) -> Self {
        Self {
            inline: own_line(text, member.start()).is_none(),
            indent: line_indent(text, member.start()).to_owned(),
            ..Self::of_file(text, root)
        }
    }

    fn of_file(text: &str, root: &Object) -> Self {
        let first = root.properties.first();
        let unit = first.and_then(|first| own_line(text, first.start()));
        let tight = first.is_some_and(|first| text[..first.value.start()].ends_with(':'));
        let plain = Self::plain(text);
        Self {
            unit: unit
                .filter(|unit| !unit.is_empty())
                .map_or(plain.unit.clone(), str::to_owned),
            space: if tight { "" } else { " " },
            ..plain
        }
    }

    pub(super) fn member(&self, name: &str, value: &Value) -> String {
        format!("{}:{}{}", Value::from(name), self.space, self.render(value))
    }

    /// What separates a new member from what is before it.
    pub(super) fn gap(&self) -> String {
        if self.inline {
            self.space.to_owned()
        } else {
            format!("{}{}", self.newline, self.indent)
        }
    }

    /// The line end and indentation before the brace that closes the place.
    pub(super) fn gap_outside(&self) -> String {
        let outside = self.indent.strip_suffix(&self.unit);
        format!("{}{}", self.newline, outside.unwrap_or_default())
    }

    pub(super) fn render(&self, value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let inner = Self {
                    indent: format!("{}{}", self.indent, self.unit),
                    unit: self.unit.clone(),
                    ..*self
                };
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| inner.member(name, value))
                    .collect();
                if self.inline {
                    return format!("{{{}}}", members.join(&format!(",{}", self.space)));
                }
                let lines = members.join(&format!(",{}", inner.gap()));
                format!("{{{}{lines}{}}}", inner.gap(), self.gap())
            }
            Value::Array(words) => {
                let words: Vec<String> = words.iter().map(|word| self.render(word)).collect();
                format!("[{}]", words.join(&format!(",{}", self.space)))
            }
            other => other.to_string(),
        }
    }
}

/// What is before `at` on its line.
fn line_start(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    &text[start..at]
}

fn line_indent(text: &str, at: usize) -> &str {
    let line = line_start(text, at);
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The indentation of what begins at `at`, when it is first on a line other than the file's first.
fn own_line(text: &str, at: usize) -> Option<&str> {
    let line = line_start(text, at);
    let first = line.len() < at && line.trim().is_empty();
    first.then_some(line)
}
