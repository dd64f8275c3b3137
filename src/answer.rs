//! What a tool sends back: the fields a dispatcher needs, inside a size budget, as data and as text.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::service_fusion::walk::Total;

pub mod cursor;
pub mod customer;
pub mod detail;
pub mod estimate;
pub mod job;
pub mod text;

/// An answer, or one record in it. What is not set is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(pub Map<String, Value>);

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field, unless it is not set: `None`, null, an empty text or an empty list.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.put(name, value);
        self
    }

    pub fn put(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        let unset = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !unset {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// Adds a flag only where it is raised.
    #[must_use]
    pub fn with_flag(self, name: &str, raised: bool) -> Self {
        if raised { self.with(name, true) } else { self }
    }

    /// Adds a list even when it is empty: an empty result is an answer too.
    #[must_use]
    pub fn with_list(mut self, name: &str, rows: Vec<Fields>) -> Self {
        let rows = rows.into_iter().map(Value::from).collect();
        self.0.insert(name.to_owned(), Value::Array(rows));
        self
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Value::Object(fields.0)
    }
}

/// A page of a list, each row with the cursor that continues after it.
#[derive(Debug)]
pub struct Listing {
    pub plural: &'static str,
    pub rows: Vec<(Fields, String)>,
    pub total: Total,
    pub next_cursor: Option<String>,
    /// What stands after the list: how it was searched, how far it got.
    pub remarks: Fields,
}

impl Listing {
    /// Lays the page out in at most `budget` bytes; it is cut between two records, and the cursor goes on there.
    pub fn into_answer(self, budget: usize) -> Fields {
        let found = self.rows.len();
        let mut room = budget.saturating_sub(json_length(&self.remarks.0) + 400);
        let mut rows = Vec::with_capacity(found);
        let mut last_cursor = None;
        for (row, cursor) in self.rows {
            let row = Value::from(row);
            let length = json_length(&row) + 1;
            if length > room && !rows.is_empty() {
                break;
            }
            room = room.saturating_sub(length);
            rows.push(row);
            last_cursor = Some(cursor);
        }
        let cut = rows.len() < found;
        let shown = rows.len();
        let mut answer = Fields::new();
        answer.0.insert(self.plural.to_owned(), Value::Array(rows));
        match self.total {
            Total::Exact(total) => answer.put("total", total),
            Total::AtLeast(total) => answer.put("total_at_least", total),
        }
        answer.put(
            "next_cursor",
            if cut { last_cursor } else { self.next_cursor },
        );
        if cut {
            answer.put(
                "left_out",
                format!("{shown} of {found} fit into one answer; pass next_cursor for the others"),
            );
        }
        answer.0.extend(self.remarks.0);
        answer
    }
}

/// The bytes that `value` takes as JSON.
pub fn json_length<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_or(0, |()| length.0)
}

/// Counts what is written and keeps none of it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that are kept for `left_out`, and those of them that are for what it says.
const ROOM: usize = 300;
const SAID: usize = ROOM - 20;

/// Makes a detailed answer fit into `budget` bytes: long texts are shortened first, then long lists,
/// and `left_out` says what is missing. Most answers pass unchanged.
pub fn fit(mut answer: Fields, budget: usize) -> Fields {
    let length = |answer: &Fields| json_length(&answer.0);
    let mut left_out = Vec::new();
    for longest_text in [4_000, 1_000, 300, 80] {
        if length(&answer) + ROOM <= budget || (left_out.is_empty() && length(&answer) <= budget) {
            break;
        }
        let shortened: usize = answer
            .0
            .values_mut()
            .map(|value| shorten(value, longest_text))
            .sum();
        if shortened > 0 {
            left_out.push(format!(
                "{shortened} texts were cut to {longest_text} characters"
            ));
        }
        while length(&answer) + ROOM > budget {
            let Some(remark) = halve_longest_list(&mut answer) else {
                break;
            };
            left_out.retain(|earlier| !earlier.starts_with(remark.0.as_str()));
            left_out.push(format!("{}: {}", remark.0, remark.1));
        }
    }
    if !left_out.is_empty() {
        left_out.push("ask for fewer parts at once to see the others".to_owned());
        let mut said = Value::from(left_out.join("; "));
        if json_length(&said) > SAID {
            said = "texts and lists were cut; ask for fewer parts at once to see the others".into();
        }
        answer.put("left_out", said);
    }
    answer
}

/// Cuts texts longer than `longest` characters and counts them.
fn shorten(value: &mut Value, longest: usize) -> usize {
    match value {
        Value::String(text) => {
            let Some((end, _)) = text.char_indices().nth(longest) else {
                return 0;
            };
            text.truncate(end);
            text.push('…');
            1
        }
        Value::Array(items) => items.iter_mut().map(|item| shorten(item, longest)).sum(),
        Value::Object(fields) => fields
            .values_mut()
            .map(|field| shorten(field, longest))
            .sum(),
        _ => 0,
    }
}

/// Drops the second half of the list that takes most room, among those with more than one entry.
fn halve_longest_list(answer: &mut Fields) -> Option<(String, String)> {
    let (path, _) = longest_list(&Value::Object(answer.0.clone()), "")?;
    let mut root = Value::Object(std::mem::take(&mut answer.0));
    let remark = root
        .pointer_mut(&path)
        .and_then(Value::as_array_mut)
        .map(|items| {
            let kept = items.len() / 2;
            items.truncate(kept);
            let name = path.trim_start_matches('/').replace('/', " ");
            (name, format!("only the first {kept} are shown"))
        });
    if let Value::Object(fields) = root {
        answer.0 = fields;
    }
    remark
}

fn longest_list(value: &Value, path: &str) -> Option<(String, usize)> {
    let own = match value {
        Value::Array(items) if items.len() > 1 => Some((path.to_owned(), json_length(value))),
        _ => None,
    };
    // A list inside a list is part of its record: records are dropped whole.
    let below = match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(name, field)| longest_list(field, &format!("{path}/{}", escaped(name))))
            .max_by_key(|(_, length)| *length),
        Value::Array(items) if items.len() == 1 => items
            .first()
            .and_then(|item| longest_list(item, &format!("{path}/0"))),
        _ => None,
    };
    own.into_iter()
        .chain(below)
        .max_by_key(|(_, length)| *length)
}

/// A name as a JSON pointer spells it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The start of a free text, for lists.
pub fn excerpt(text: &str, longest: usize) -> String {
    let plain: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match plain.char_indices().nth(longest) {
        None => plain,
        Some((end, _)) => format!("{}…", plain[..end].trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listing(rows: usize, width: usize) -> Listing {
        Listing {
            plural: "jobs",
            rows: (0..rows)
                .map(|n| {
                    (
                        Fields::new()
                            .with("job_id", n)
                            .with("note", "x".repeat(width)),
                        format!("c{n}"),
                    )
                })
                .collect(),
            total: Total::Exact(500),
            next_cursor: Some("end".to_owned()),
            remarks: Fields::new(),
        }
    }

    proptest! {
        #[test]
        fn a_listing_stays_inside_its_budget_and_loses_nothing(
            rows in 0usize..100,
            width in 0usize..400,
            budget in 2_000usize..24_000,
        ) {
            let answer = listing(rows, width).into_answer(budget);
            prop_assert!(serde_json::to_string(&answer.0).unwrap().len() <= budget);

            let shown = answer.0["jobs"].as_array().unwrap().len();
            let cursor = answer.0["next_cursor"].as_str().unwrap();
            if shown == rows {
                prop_assert_eq!(cursor, "end");
            } else {
                prop_assert_eq!(cursor, format!("c{}", shown - 1));
                prop_assert!(answer.0.contains_key("left_out"));
            }
        }

        #[test]
        fn a_record_is_made_to_fit(notes in 0usize..60, width in 0usize..3_000, budget in 2_000usize..24_000) {
            let notes: Vec<Fields> = (0..notes).map(|_| Fields::new().with("text", "é".repeat(width))).collect();
            let whole = Fields::new().with("job_id", 7).with_list("notes", notes);
            let fits = serde_json::to_string(&whole.0).unwrap().len() <= budget;

            let answer = fit(whole.clone(), budget);

            prop_assert!(serde_json::to_string(&answer.0).unwrap().len() <= budget);
            prop_assert_eq!(answer.0.contains_key("left_out"), !fits);
            if fits {
                prop_assert_eq!(answer, whole);
            }
        }
    }

    #[test]
    fn what_is_said_of_many_lists_fits_too() {
        let lists = (0..40).map(|n| {
            (
                format!("list number {n}"),
                Value::from(vec!["x".repeat(70); 4]),
            )
        });
        let answer = fit(Fields(lists.collect()), 4_600);
        assert!(json_length(&answer.0) <= 4_600);
        assert!(
            answer.0["left_out"]
                .as_str()
                .unwrap()
                .starts_with("texts and lists")
        );
    }

    #[test]
    fn an_excerpt_is_one_line() {
        assert_eq!(
            excerpt("No  hot\r\nwater since Friday", 12),
            "No hot water…"
        );
        assert_eq!(excerpt("short", 12), "short");
    }
}
