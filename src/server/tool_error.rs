//! Why a tool did not do what was asked, in words that a model can act on.

use serde_json::{Value, json};

use crate::{answer::cursor, dates::NotADate, service_fusion::error::Error};

/// A failed tool call. It becomes a result with `isError`, never a protocol error.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolError(Box<Problem>);

#[derive(Clone, Debug, PartialEq)]
struct Problem {
    code: &'static str,
    message: String,
    retryable: bool,
    retry_after_s: Option<u64>,
    argument: Option<String>,
    /// More for programs: candidates, what was sent.
    details: Option<Value>,
}

impl ToolError {
    /// An argument that cannot be used. `message` says what would be accepted.
    pub fn argument(name: &str, message: impl Into<String>) -> Self {
        let mut error = Self::other("invalid_argument", format!("`{name}`: {}", message.into()));
        error.0.argument = Some(name.to_owned());
        error
    }

    /// Nothing with that id, number or name.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::other("not_found", message)
    }

    /// Another outcome, with a stable word of its own.
    pub fn other(code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            code,
            message: message.into(),
            retryable: false,
            retry_after_s: None,
            argument: None,
            details: None,
        }))
    }

    #[must_use]
    pub fn with_details(mut self, details: impl Into<Value>) -> Self {
        self.0.details = Some(details.into());
        self
    }

    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The same for programs.
    pub fn structured(&self) -> Value {
        let mut fields =
            json!({"code": self.0.code, "message": self.0.message, "retryable": self.0.retryable});
        if let Some(seconds) = self.0.retry_after_s {
            fields["retry_after_s"] = json!(seconds);
        }
        if let Some(name) = &self.0.argument {
            fields["argument"] = json!(name);
        }
        if let Some(details) = &self.0.details {
            fields["details"] = details.clone();
        }
        fields
    }
}

impl std::fmt::Display for ToolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)?;
        if self.0.message.ends_with(['.', '!', '?']) {
            return Ok(());
        }
        f.write_str(".")
    }
}

impl From<Error> for ToolError {
    fn from(error: Error) -> Self {
        Self(Box::new(Problem {
            code: error.code(),
            message: error.to_string(),
            retryable: error.retryable(),
            retry_after_s: error.retry_after(),
            argument: None,
            details: None,
        }))
    }
}

impl From<cursor::Error> for ToolError {
    fn from(error: cursor::Error) -> Self {
        Self::argument("cursor", error.to_string())
    }
}

/// A date error needs the argument's name, which only the tool knows.
pub fn date_argument(name: &'static str) -> impl Fn(NotADate) -> ToolError {
    move |problem| ToolError::argument(name, problem.to_string())
}

/// The accepted word closest to what was given, when it is close enough to be meant.
pub fn closest<'a>(given: &str, accepted: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.trim().to_lowercase();
    let rated = accepted.into_iter().filter_map(|word| {
        let plain = word.to_lowercase();
        // The beginning of a word is more likely meant than another word of the same length.
        if given.chars().count() >= 3 && plain.starts_with(&given) {
            return Some((0, word));
        }
        let distance = distance(&given, &plain);
        let longest = given.chars().count().max(plain.chars().count());
        // Short words differ by much of themselves: `day` is two steps from `date`.
        let alike = distance <= 2 && given.chars().take(2).eq(plain.chars().take(2));
        (alike || distance * 5 <= longest * 2).then_some((distance + 1, word))
    });
    rated
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Levenshtein distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let cost = usize::from(a != *b);
            let next = (diagonal + cost).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_its_neighbour() {
        let names = ["status", "technician", "date", "customer_id"];
        assert_eq!(closest("statuss", names), Some("status"));
        assert_eq!(closest("tecnician", names), Some("technician"));
        assert_eq!(closest("customerId", names), Some("customer_id"));
        assert_eq!(closest("day", names), Some("date"));
        assert_eq!(closest("tech", names), Some("technician"));
        assert_eq!(closest("zzz", names), None);
    }
}
