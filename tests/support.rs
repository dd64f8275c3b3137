//! Starts and stops the real things: a home folder, the sandbox, the server, a command.

mod client;
pub(crate) mod hosting;
mod http;
#[cfg(target_os = "linux")]
pub(crate) mod keyring;
mod sandbox;
pub(crate) mod sign_in;
pub(crate) mod small_disk;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use client::{McpClient, Refusal, Serve};
pub(crate) use http::http;
pub(crate) use sandbox::Sandbox;

/// A Wednesday afternoon: before it lies half a day of work, after it the other half.
pub(crate) const NOW: &str = "2026-11-18T14:30";
pub(crate) const TODAY: &str = "2026-11-18";
pub(crate) const ZONE: &str = "America/Chicago";
/// No answer is waited for longer than this: something hangs then.
pub(crate) const HANG_GUARD: Duration = Duration::from_secs(30);

/// A folder of its own for what the program keeps between runs.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The program with nothing of this machine's settings, its clock set.
pub(crate) fn sf_mcp() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sf-mcp"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SF_MCP_")) {
        command.env_remove(name);
    }
    command
        .env("SF_MCP_NOW", NOW)
        .env("SF_MCP_TIME_ZONE", ZONE)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null());
    command
}

/// A command that ran to its end.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command that needs no company.
pub(crate) fn run(home: &Home, arguments: &[&str]) -> Ran {
    let output = sf_mcp()
        .env("SF_MCP_HOME", home.path())
        .args(arguments)
        .output();
    output.unwrap().into()
}

/// The names of the tools with these flags, as `sf-mcp tools` lists them. Which they are is in the snapshots alone.
pub(crate) fn catalogue(flags: &[&str]) -> Vec<String> {
    let ran = run(&Home::new(), &[&["tools", "--json"], flags].concat());
    let listed: Value = serde_json::from_str(&ran.stdout).unwrap();
    names(&listed)
}

/// The names of the tools in a list of them.
pub(crate) fn names(list: &Value) -> Vec<String> {
    let named = rows(list, "tools").iter();
    named
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Whether these programs are here. If not, the reason for a skipped test is printed; on CI they must be.
#[cfg(target_os = "linux")]
pub(crate) fn is_installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here =
        |name: &&&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing: Vec<&&str> = programs.iter().filter(|name| !is_here(name)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "not installed: {missing:?}"
    );
    eprintln!("SKIPPED, nothing was checked: these are not installed: {missing:?}");
    false
}

/// How often a long test repeats: `usual` times, or so many times more as `SF_MCP_TEST_ROUNDS` says. With 10 they
/// are 20 rounds of sixteen processes and 500 kills for each kind of sign-in.
pub(crate) fn rounds(usual: u32) -> u32 {
    let times = std::env::var("SF_MCP_TEST_ROUNDS").map_or(1, |times| times.parse().unwrap());
    usual * times
}

/// Moments up to `latest`, other ones in every run.
pub(crate) fn moments(count: u32, latest: Duration) -> impl Iterator<Item = Duration> {
    let chance = std::hash::RandomState::new();
    let latest = u64::try_from(latest.as_micros()).unwrap();
    (0..count).map(move |round| {
        let chance = std::hash::BuildHasher::hash_one(&chance, round);
        Duration::from_micros(chance % latest)
    })
}

/// The rows of a list in an answer.
pub(crate) fn rows<'a>(answer: &'a Value, plural: &str) -> &'a Vec<Value> {
    answer[plural]
        .as_array()
        .unwrap_or_else(|| panic!("no list `{plural}` in {answer}"))
}

/// The ids of a list in an answer, in order.
pub(crate) fn ids(answer: &Value, plural: &str, id: &str) -> Vec<i64> {
    rows(answer, plural)
        .iter()
        .map(|row| {
            row[id]
                .as_i64()
                .unwrap_or_else(|| panic!("no `{id}` in {row}"))
        })
        .collect()
}

/// An id as Service Fusion sends it: now and then as a text.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}
