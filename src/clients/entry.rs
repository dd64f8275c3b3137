//! What is entered into a client's file, and what entering it did.

use std::collections::BTreeMap;

/// The variables that installing itself writes; any other one in an entry of ours is a person's.
pub const WRITTEN: [&str; 4] = [
    "SF_MCP_HOME",
    "SF_MCP_API_URL",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
];

/// How a client starts sf-mcp. There is no place for a secret in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub command: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
}

impl Entry {
    /// Whether the program is called sf-mcp, wherever it is.
    pub fn starts_sf_mcp(&self) -> bool {
        let name = self.command.rsplit(['/', '\\']).next();
        name.is_some_and(|name| matches!(name, "sf-mcp" | "sf-mcp.exe"))
    }

    /// Whether the flag is among the arguments.
    pub fn has(&self, flag: &str) -> bool {
        self.args.iter().any(|word| word == flag)
    }

    /// What follows a flag, as `--flag value` or `--flag=value`.
    pub fn value_of(&self, flag: &str) -> Option<&str> {
        let inline = |word: &'_ String| word.strip_prefix(flag)?.strip_prefix('=').map(str::len);
        let at = self
            .args
            .iter()
            .position(|word| word == flag || inline(word).is_some())?;
        match inline(&self.args[at]) {
            Some(length) => Some(&self.args[at][self.args[at].len() - length..]),
            None => self.args.get(at + 1).map(String::as_str),
        }
    }

    /// With the variables that a person put into `old`, when that starts sf-mcp too.
    pub(super) fn over(&self, old: Option<&Self>) -> Self {
        let mut new = self.clone();
        for (name, value) in old
            .filter(|old| old.starts_sf_mcp())
            .iter()
            .flat_map(|old| &old.env)
        {
            if !WRITTEN.contains(&name.as_str()) {
                new.env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        new
    }
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
    /// What that was given, when it was sf-mcp; another program's arguments may be secret.
    pub args: Vec<String>,
    /// The names of its other settings, which are gone with it.
    pub lost: Vec<String>,
}

impl Previous {
    /// `names` are all settings of the replaced entry. Its variables are gone unless they are in `new`.
    pub(super) fn of<'a>(
        target: Option<String>,
        names: impl Iterator<Item = &'a str>,
        old: Option<&Entry>,
        new: &Entry,
    ) -> Self {
        let kept = |name: &String| new.env.contains_key(name) || WRITTEN.contains(&name.as_str());
        let env_kept = old.is_some_and(|old| old.env.keys().all(kept));
        let lost = names.filter(|name| match *name {
            "type" | "command" | "args" | "url" => false,
            "env" => !env_kept,
            _ => true,
        });
        let args = old.filter(|old| old.starts_sf_mcp());
        Self {
            target,
            args: args.map(|old| old.args.clone()).unwrap_or_default(),
            lost: lost.map(str::to_owned).collect(),
        }
    }
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
    fn flags_are_found_in_both_forms() {
        let entry = Entry {
            args: [
                "serve",
                "--profile",
                "a",
                "--home=/b",
                "--demo",
                "--toolsets",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Entry::default()
        };
        assert_eq!(entry.value_of("--profile"), Some("a"));
        assert_eq!(entry.value_of("--home"), Some("/b"));
        assert_eq!(entry.value_of("--toolsets"), None);
        assert_eq!(entry.value_of("--pro"), None);
        assert!(entry.has("--demo") && !entry.has("--read-only"));
    }

    #[test]
    fn a_problem_is_where_an_editor_shows_it() {
        let problem = Problem::at("{\r\n  \"é\": ?", 11, "");
        assert_eq!((problem.line, problem.column), (2, 8));
    }
}
