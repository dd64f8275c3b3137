//! `sf-mcp install` and `uninstall` on files of every client's shape.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sf_mcp::clients::{Client, Error, entry::Entry, entry::Outcome};
use tempfile::TempDir;

mod bytes;
#[cfg(unix)] // elsewhere the home folder is not taken from the environment
mod command;
#[cfg(unix)]
mod doctor;
mod files;
mod random;

/// A home folder of its own, and what is run in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// The file in which `client` looks for servers.
    fn file(&self, client: &str) -> PathBuf {
        self.path(match client {
            "claude-desktop" => return self.path(CONFIG).join("Claude/claude_desktop_config.json"),
            "claude-code" => ".claude.json",
            "cursor" => ".cursor/mcp.json",
            "vscode" => return self.path(CONFIG).join("Code/User/mcp.json"),
            "vscode-insiders" => {
                return self.path(CONFIG).join("Code - Insiders/User/mcp.json");
            }
            "vscodium" => return self.path(CONFIG).join("VSCodium/User/mcp.json"),
            "codex" => ".codex/config.toml",
            other => panic!("{other}"),
        })
    }

    fn put(&self, client: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let file = self.file(client);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes).unwrap();
        file
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sf-mcp"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.0.path())
            .env("XDG_CONFIG_HOME", self.path(".config"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must work; the answer is what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must fail with this exit code; the answer is what it complained about.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    }
}

const CONFIG: &str = if cfg!(target_os = "macos") {
    "Library/Application Support"
} else {
    ".config"
};

const JSON_CLIENTS: [&str; 6] = [
    "claude-desktop",
    "claude-code",
    "cursor",
    "vscode",
    "vscode-insiders",
    "vscodium",
];

fn key(client: &str) -> &'static str {
    match client {
        "vscode" | "vscode-insiders" | "vscodium" => "servers",
        "codex" => "mcp_servers",
        _ => "mcpServers",
    }
}

fn entry() -> Entry {
    Entry {
        command: "/opt/sf-mcp".to_owned(),
        args: vec!["serve".to_owned()],
        ..Entry::default()
    }
}

fn install(client: &str, file: &Path) -> Result<Outcome, Error> {
    let plan = Client::find(client).unwrap().plan_install(file, &entry())?;
    plan.carry_out()?;
    Ok(plan.outcome)
}

fn uninstall(client: &str, file: &Path) -> Result<Outcome, Error> {
    let plan = Client::find(client).unwrap().plan_uninstall(file)?;
    plan.carry_out()?;
    Ok(plan.outcome)
}

fn backup(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.sf-mcp-backup", file.display()))
}
