//! The AI clients that can start sf-mcp, and how each is told to.

use std::path::{Path, PathBuf};

use crate::clients::{
    entry::{Edit, Entry, Outcome, Problem},
    file::ConfigFile,
    place::{Folders, Location, Place, Root},
};

pub mod entry;
mod file;
mod json;
pub mod place;
mod toml;

/// What sf-mcp is called in every client.
pub const SERVER: &str = "service-fusion";

/// Every client, one row each.
pub const CLIENTS: [Client; 7] = [
    Client {
        name: "claude-desktop",
        title: "Claude Desktop",
        format: Format::Json,
        key: "mcpServers",
        place: Place {
            root: Root::Config,
            file: "Claude/claude_desktop_config.json",
            folder: "Claude",
            package: Some("Claude_"),
            ..Place::USUAL
        },
        next: "Restart Claude Desktop: quit it completely, then open it again.",
    },
    Client {
        name: "claude-code",
        title: "Claude Code",
        format: Format::Json,
        key: "mcpServers",
        place: Place {
            root: Root::Home,
            file: ".claude.json",
            folder: ".claude",
            moved_by: Some("CLAUDE_CONFIG_DIR"),
            ..Place::USUAL
        },
        next: "Start a new Claude Code session; `/mcp` lists it there.",
    },
    Client {
        name: "cursor",
        title: "Cursor",
        format: Format::Json,
        key: "mcpServers",
        place: Place {
            root: Root::Home,
            file: ".cursor/mcp.json",
            folder: ".cursor",
            ..Place::USUAL
        },
        next: "Restart Cursor.",
    },
    Client {
        name: "vscode",
        title: "VS Code",
        format: Format::TypedJson,
        key: "servers",
        place: Place {
            root: Root::Config,
            file: "Code/User/mcp.json",
            folder: "Code",
            flatpak: Some("com.visualstudio.code"),
            ..Place::USUAL
        },
        next: "Restart VS Code; `MCP: List Servers` in its command palette lists it.",
    },
    Client {
        name: "vscode-insiders",
        title: "VS Code Insiders",
        format: Format::TypedJson,
        key: "servers",
        place: Place {
            root: Root::Config,
            file: "Code - Insiders/User/mcp.json",
            folder: "Code - Insiders",
            ..Place::USUAL
        },
        next: "Restart VS Code Insiders; `MCP: List Servers` in its command palette lists it.",
    },
    Client {
        name: "vscodium",
        title: "VSCodium",
        format: Format::TypedJson,
        key: "servers",
        place: Place {
            root: Root::Config,
            file: "VSCodium/User/mcp.json",
            folder: "VSCodium",
            flatpak: Some("com.vscodium.codium"),
            ..Place::USUAL
        },
        next: "Restart VSCodium; `MCP: List Servers` in its command palette lists it.",
    },
    Client {
        name: "codex",
        title: "Codex",
        format: Format::Toml,
        key: "mcp_servers",
        place: Place {
            root: Root::Home,
            file: ".codex/config.toml",
            folder: ".codex",
            moved_by: Some("CODEX_HOME"),
            ..Place::USUAL
        },
        next: "Start a new Codex session.",
    },
];

/// A program that reads its MCP servers from a file.
#[derive(Debug)]
pub struct Client {
    pub name: &'static str,
    pub title: &'static str,
    format: Format,
    /// The member that holds all servers.
    pub key: &'static str,
    place: Place,
    /// What makes a running client see the change.
    pub next: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    /// Every server says `"type": "stdio"`.
    TypedJson,
    Toml,
}

/// Why a client's file stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{path}, line {}, column {}: {}; nothing was changed: correct the file there, or rename it, and run this again",
        .problem.line, .problem.column, .problem.what
    )]
    Content { path: PathBuf, problem: Problem },
    #[error(
        "{path} would not read back as meant; nothing was changed, `--print` shows what to put there by hand"
    )]
    Unsure { path: PathBuf },
    #[error("{path} was changed by another program just now; nothing was written, run this again")]
    Changed { path: PathBuf },
    #[error(
        "{path} is write-protected; nothing was changed: allow writing to it and run this again, or use `--print` and put the entry there by hand"
    )]
    Protected { path: PathBuf },
    #[error("cannot {doing} {path}: {source}; nothing was changed")]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// A server in a client's file that is ours, by its name or by the program it starts.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    /// `None` when it is not a program that the client starts.
    pub entry: Option<Entry>,
}

/// What will happen to one file, decided before anything is written.
#[derive(Debug)]
pub struct Plan {
    pub outcome: Outcome,
    file: ConfigFile,
    after: Option<String>,
}

impl Plan {
    /// Writes the file. The answer is where the file as it was has gone, if there was one.
    pub fn carry_out(&self) -> Result<Option<PathBuf>, Error> {
        match &self.after {
            Some(text) => self.file.replace(text),
            None => Ok(None),
        }
    }
}

impl Client {
    pub fn find(name: &str) -> Option<&'static Self> {
        CLIENTS.iter().find(|client| client.name == name)
    }

    /// The files in which this client looks for servers on this machine.
    pub fn locations(&self, folders: &Folders) -> Vec<Location> {
        self.place.locations(folders)
    }

    /// The file as it would be with nothing else in it.
    pub fn snippet(&self, entry: &Entry) -> String {
        self.install("", entry)
            .ok()
            .and_then(Edit::into_text)
            .unwrap_or_default()
    }

    /// Our servers in the file, in its order. Of two of one name a client starts the last.
    pub fn entries(&self, path: &Path) -> Result<Vec<Found>, Error> {
        let file = ConfigFile::open(path)?;
        let list = match self.format {
            Format::Json | Format::TypedJson => json::list(&file.text, self.key),
            Format::Toml => toml::list(&file.text, self.key),
        };
        let all = list.map_err(|problem| file.refuse(problem))?;
        let ours = |entry: &Option<Entry>| entry.as_ref().is_some_and(Entry::starts_sf_mcp);
        let mut found: Vec<Found> = Vec::new();
        for (name, entry) in all {
            if name == SERVER || ours(&entry) {
                found.retain(|earlier| earlier.name != name);
                found.push(Found { name, entry });
            }
        }
        Ok(found)
    }

    pub fn plan_install(&self, path: &Path, entry: &Entry) -> Result<Plan, Error> {
        let file = ConfigFile::open(path)?;
        let refused = |problem| file.refuse(problem);
        let edit = self.install(&file.text, entry).map_err(refused)?;
        let outcome = edit.outcome();
        let after = edit.into_text();
        if let Some(text) = &after
            && !matches!(self.install(text, entry), Ok(Edit::Unchanged))
        {
            return Err(Error::Unsure { path: file.path });
        }
        Ok(Plan {
            outcome,
            file,
            after,
        })
    }

    pub fn plan_uninstall(&self, path: &Path) -> Result<Plan, Error> {
        let file = ConfigFile::open(path)?;
        let found = self
            .uninstall(&file.text)
            .map_err(|problem| file.refuse(problem))?;
        let Some((after, entry)) = found else {
            return Ok(Plan {
                outcome: Outcome::Absent,
                file,
                after: None,
            });
        };
        if !matches!(self.uninstall(&after), Ok(None)) {
            return Err(Error::Unsure { path: file.path });
        }
        let before_install = entry.and_then(|entry| self.before_install(&file, &entry));
        Ok(Plan {
            outcome: Outcome::Removed,
            file,
            after: Some(before_install.unwrap_or(after)),
        })
    }

    /// The backup's text, when installing into it gives exactly today's file: then nothing but our entry
    /// came since, and even what an empty object looked like can be as it was.
    fn before_install(&self, file: &ConfigFile, entry: &Entry) -> Option<String> {
        let backup = file.backup_text()?;
        match self.install(&backup, entry) {
            Ok(Edit::Added(text)) if text == file.text => Some(backup),
            _ => None,
        }
    }

    fn install(&self, text: &str, entry: &Entry) -> Result<Edit, Problem> {
        match self.format {
            Format::Json => json::install(text, self.key, entry, false),
            Format::TypedJson => json::install(text, self.key, entry, true),
            Format::Toml => toml::install(text, self.key, entry),
        }
    }

    /// The text without our entry and what that was; `None` when there is none.
    fn uninstall(&self, text: &str) -> Result<Option<(String, Option<Entry>)>, Problem> {
        match self.format {
            Format::Json | Format::TypedJson => json::uninstall(text, self.key),
            Format::Toml => toml::uninstall(text, self.key),
        }
    }
}
