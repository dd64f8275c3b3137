//! What a tool call costs beside its request: seen by strace, no lock, no keychain, no write but one record.

#![cfg(target_os = "linux")]

use std::{cell::RefCell, fs, path::PathBuf, process::Command};

use serde_json::json;

use crate::support::{
    Home, McpClient, Sandbox, Serve, is_installed,
    keyring::Session,
    sign_in::{expire_at_next_search, log_in, login, with_secret},
};

/// Calls that are looked at, after as many that are not.
const CALLS: usize = 8;
/// What one request leaves in the ledger, in bytes.
const RECORD: u64 = 16;

/// Whether strace is here and may trace. Where it may not (some containers), there is nothing to look at.
fn may_trace() -> bool {
    if !is_installed(&["strace"]) {
        return false;
    }
    let tried = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
        .unwrap();
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr);
        eprintln!("SKIPPED, nothing was checked: strace cannot trace here: {why}");
    }
    tried.status.success()
}

/// Everything in the profile's folder but the ledger: name, time of the last change, bytes.
fn kept(home: &Home) -> Vec<(PathBuf, std::time::SystemTime, Vec<u8>)> {
    let folder = home.path().join("state/default");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut kept: Vec<_> = files
        .filter(|path| !path.ends_with("requests.log"))
        .map(|path| {
            let changed = path.metadata().unwrap().modified().unwrap();
            let bytes = fs::read(&path).unwrap();
            (path, changed, bytes)
        })
        .collect();
    kept.sort();
    kept
}

fn ledger_length(home: &Home) -> u64 {
    let ledger = home.path().join("state/default/requests.log");
    ledger.metadata().unwrap().len()
}

/// Different ones, so that none is answered by another.
fn call_some(client: &mut McpClient, from: usize) {
    for limit in from..from + CALLS {
        let answer = client.call("search_jobs", &json!({"limit": limit}));
        assert!(answer["total"].is_number());
    }
}

/// What a traced server did until the warm calls were answered, and from there on until the others were.
struct Trace {
    start: String,
    calls: String,
}

/// Serves under strace, and makes calls before and after `between`.
fn trace(serve: Serve, sandbox: &Sandbox, home: &Home, between: impl Fn()) -> Trace {
    let file = home.path().join("trace");
    let written = || usize::try_from(file.metadata().unwrap().len()).unwrap();
    let serve = serve.env("SF_MCP_API_URL", &sandbox.origin());
    let mut client = serve.traced(&file);
    call_some(&mut client, 1);
    let from = written();
    between();
    call_some(&mut client, 1 + CALLS);
    let to = written();
    assert!(client.finish().status.success());
    let trace = fs::read(&file).unwrap();
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    Trace {
        start: text(&trace[..from]),
        calls: text(&trace[from..to]),
    }
}

/// The same, and what is on the disk is compared.
fn trace_ordinary(serve: Serve, sandbox: &Sandbox, home: &Home) -> Trace {
    let look = || {
        let requests = sandbox.count("GET", "/v1/jobs");
        (requests, ledger_length(home), kept(home))
    };
    let before = RefCell::new(None);
    let trace = trace(serve, sandbox, home, || {
        before.replace(Some(look()));
    });
    let (requests, ledger, kept) = before.take().unwrap();
    let after = look();
    assert_eq!(after.0 - requests, CALLS);
    assert_eq!(after.1 - ledger, CALLS as u64 * RECORD);
    assert_eq!(after.2, kept);
    trace
}

/// The name of a line's system call; a call that another thread interrupted is counted where it began.
fn name(line: &str) -> &str {
    let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    call.split('(').next().unwrap_or_default()
}

/// Why a line has no place in an ordinary call.
fn objection(line: &str) -> Option<&'static str> {
    let writes = [
        "write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg", "sendmmsg",
    ];
    let changes = [
        "ftruncate",
        "fsync",
        "fdatasync",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "mkdir",
        "fallocate",
    ];
    // The standard streams, the service, and what wakes another thread.
    let usual = [
        "<pipe:",
        "<TCP:",
        "<anon_inode:[eventfd]>",
        "/requests.log>",
    ];
    // Without root, strace sees no names and nothing behind a descriptor of this program, which keeps its memory
    // private: then it is the locks, the flags and the kinds of calls that count, and the files compared as well.
    let annotated = line
        .split(',')
        .next()
        .is_some_and(|first| first.contains('<'));
    match name(line) {
        "flock" => Some("a file lock"),
        "fcntl" if line.contains("SETLK") => Some("a file lock"),
        "connect" | "socket" if line.contains("AF_UNIX") => {
            Some("a connection within this machine")
        }
        _ if line.contains("<UNIX") => Some("words with another program"),
        _ if ["/tokens.db", "/renewal.lock", ".key"]
            .iter()
            .any(|file| line.contains(file)) =>
        {
            Some("a look at the sign-in's files")
        }
        "open" | "openat"
            if ["O_WRONLY", "O_RDWR", "O_CREAT"]
                .iter()
                .any(|flag| line.contains(flag)) =>
        {
            Some("a file opened for writing")
        }
        name if writes.contains(&name)
            && annotated
            && !usual.iter().any(|end| line.contains(end)) =>
        {
            Some("a write")
        }
        name if changes.contains(&name) => Some("a change on the disk"),
        _ => None,
    }
}

#[track_caller]
fn assert_ordinary(calls: &str) {
    let objections: Vec<String> = calls
        .lines()
        .filter_map(|line| Some(format!("{}: {line}", objection(line)?)))
        .collect();
    assert!(objections.is_empty(), "{objections:#?}");
}

/// The start must show what the calls must not, or the trace shows nothing.
#[track_caller]
fn assert_seen(start: &str, names: &str, argument: &str) {
    let seen = start
        .lines()
        .any(|line| name(line) == names && line.contains(argument));
    assert!(seen, "no {names} with {argument} at the start");
}

#[test]
fn a_call_with_a_key_file_takes_no_lock_and_writes_one_record() {
    if !may_trace() {
        return;
    }
    let (sandbox, home) = (Sandbox::with(&[]), Home::new());
    log_in(&sandbox, &home);

    let trace = trace_ordinary(Serve::signed_out(&home), &sandbox, &home);

    assert_seen(&trace.start, "fcntl", "F_SETLK");
    assert_ordinary(&trace.calls);
}

#[test]
fn a_call_with_the_keychain_does_not_ask_it() {
    let Some(session) = may_trace().then(Session::start).flatten() else {
        return;
    };
    let (sandbox, home) = (Sandbox::with(&[]), Home::new());
    let mut login = login(&sandbox, &home);
    login
        .env_remove("SF_MCP_KEYCHAIN")
        .envs(session.variables());
    let ran = with_secret(login, "sandbox-consumer-secret");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut serve = Serve::signed_out(&home);
    for (name, value) in session.variables() {
        serve = serve.env(name, &value);
    }

    let trace = trace_ordinary(serve, &sandbox, &home);

    assert_seen(&trace.start, "socket", "AF_UNIX");
    assert_ordinary(&trace.calls);
}

#[test]
fn a_renewal_is_not_taken_for_an_ordinary_call() {
    if !may_trace() {
        return;
    }
    let (sandbox, home) = (Sandbox::with(&[]), Home::new());
    log_in(&sandbox, &home);

    let trace = trace(Serve::signed_out(&home), &sandbox, &home, || {
        expire_at_next_search(&sandbox);
    });

    let whys: Vec<&str> = trace.calls.lines().filter_map(objection).collect();
    for why in ["a file lock", "a change on the disk"] {
        assert!(whys.contains(&why), "{why} is not seen");
    }
}
