//! What is entered into a client's file, and what entering it did.

/// How a client starts sf-mcp. There is no place for a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub command: String,
    pub args: Vec<String>,
}

/// What a change to one file amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Added,
    /// There was an entry of our name that started something else.
    Replaced(Previous),
    Unchanged,
    Removed,
    Absent,
}

/// The entry that ours took the place of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    /// The command or the address it had.
    pub target: Option<String>,
    /// The names of its other settings, which are gone with it.
    pub lost: Vec<String>,
}

/// A text with our entry in it.
#[derive(Debug)]
pub(super) enum Edit {
    Unchanged,
    Added(String),
    Replaced(String, Previous),
}

impl Edit {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Unchanged => Outcome::Unchanged,
            Self::Added(_) => Outcome::Added,
            Self::Replaced(_, previous) => Outcome::Replaced(previous.clone()),
        }
    }

    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Unchanged => None,
            Self::Added(text) | Self::Replaced(text, _) => Some(text),
        }
    }
}

/// What cannot be worked with in a file, and where it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: usize,
    pub column: usize,
    pub what: String,
}

impl Problem {
    /// `offset` is in bytes; lines and columns count from 1 as editors do.
    pub(super) fn at(text: &str, offset: usize, what: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what: what.into(),
        }
    }
}

/// The line ending that `text` uses.
pub(super) fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_where_an_editor_shows_it() {
        let problem = Problem::at("{\r\n  \"é\": ?", 11, "");
        assert_eq!((problem.line, problem.column), (2, 8));
    }
}
