//! A stored sign-in that was changed, damaged, or moved, and a process that is looked into.

use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    Home, Ran, Refusal, Sandbox,
    sign_in::{
        command, expire_at_next_search, log_in, login_with, refusal_of_new_server, serve, server,
        tokens_file, works,
    },
};

/// Every value of a sign-in.
const COLUMNS: [&str; 6] = [
    "client_id",
    "client_secret",
    "access_token",
    "expires_at",
    "account",
    "refresh_token",
];

fn signed_in() -> (Sandbox, Home) {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    log_in(&sandbox, &home);
    (sandbox, home)
}

fn edit(home: &Home, statement: &str, parameters: impl rusqlite::Params) {
    let changed = Connection::open(tokens_file(home))
        .unwrap()
        .execute(statement, parameters)
        .unwrap();
    assert!(changed > 0, "{statement}");
}

fn value(home: &Home, column: &str) -> Vec<u8> {
    Connection::open(tokens_file(home))
        .unwrap()
        .query_row(
            "SELECT value FROM sealed WHERE name = ?1",
            [column],
            |row| row.get(0),
        )
        .unwrap()
}

fn set(home: &Home, column: &str, value: &[u8]) {
    edit(
        home,
        "UPDATE sealed SET value = ?2 WHERE name = ?1",
        (column, value),
    );
}

fn names_file_and_remedy(refused: &Refusal, case: &str) {
    for part in ["tokens.db", "sf-mcp login"] {
        assert!(
            refused.text.contains(part),
            "{case}: {part} is not in {:?}",
            refused.text
        );
    }
}

fn status_of(sandbox: &Sandbox, home: &Home) -> Ran {
    let output = command(sandbox, home, &["status"]).output();
    output.unwrap().into()
}

#[test]
fn a_changed_byte_in_any_value_is_noticed() {
    let (sandbox, home) = signed_in();
    for column in COLUMNS {
        let sealed = value(&home, column);
        let length = sealed.len();
        for (part, at) in [
            ("format", 0),
            ("nonce", 5),
            ("middle", 13 + (length - 29) / 2),
            ("tag", length - 16),
            ("last", length - 1),
        ] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            set(&home, column, &changed);

            names_file_and_remedy(
                &refusal_of_new_server(&sandbox, &home),
                &format!("{column} {part}"),
            );
        }
        set(&home, column, &sealed);
    }
    works(&sandbox, &home);
}

#[test]
fn a_value_cut_short_or_missing_is_noticed() {
    let (sandbox, home) = signed_in();
    for column in COLUMNS {
        let sealed = value(&home, column);
        for length in [0, 1, 12, 13, 28, sealed.len() - 1] {
            set(&home, column, &sealed[..length]);
            names_file_and_remedy(
                &refusal_of_new_server(&sandbox, &home),
                &format!("{column} {length}"),
            );
        }
        set(&home, column, &sealed);
    }
    for column in &COLUMNS[..4] {
        let sealed = value(&home, column);
        edit(&home, "DELETE FROM sealed WHERE name = ?1", [column]);
        names_file_and_remedy(&refusal_of_new_server(&sandbox, &home), column);
        edit(
            &home,
            "INSERT INTO sealed VALUES (?1, ?2)",
            (column, &sealed),
        );
    }
    works(&sandbox, &home);
}

#[test]
fn values_swapped_between_columns_do_not_open() {
    let (sandbox, home) = signed_in();
    for (place, one) in COLUMNS.iter().enumerate() {
        for other in &COLUMNS[place + 1..] {
            let values = (value(&home, one), value(&home, other));
            set(&home, one, &values.1);
            set(&home, other, &values.0);

            names_file_and_remedy(
                &refusal_of_new_server(&sandbox, &home),
                &format!("{one} and {other}"),
            );

            set(&home, one, &values.0);
            set(&home, other, &values.1);
        }
    }
    works(&sandbox, &home);
}

#[test]
fn another_profile_s_sign_in_does_not_open_even_with_its_key() {
    let (sandbox, home) = signed_in();
    let state = home.path().join("state");
    std::fs::create_dir(state.join("other")).unwrap();
    std::fs::copy(tokens_file(&home), state.join("other/tokens.db")).unwrap();
    std::fs::copy(
        home.path().join("default.key"),
        home.path().join("other.key"),
    )
    .unwrap();

    let refused = serve(&sandbox, &home)
        .args(&["--profile", "other"])
        .start()
        .refusal("search_jobs", &json!({"limit": 1}));

    names_file_and_remedy(&refused, "moved");
    works(&sandbox, &home);
}

#[test]
fn words_that_no_version_writes_are_no_panic() {
    let (sandbox, home) = signed_in();
    for statement in [
        "UPDATE login SET key_place = 'under the doormat'",
        "UPDATE login SET kind = 'charm'",
        "UPDATE login SET generation = -9223372036854775808",
        "UPDATE login SET intent_at = 9223372036854775807",
    ] {
        edit(&home, statement, []);
        let mut client = server(&sandbox, &home);
        client.answer_to_call("search_jobs", &json!({"limit": 1}));
        expire_at_next_search(&sandbox);
        client.answer_to_call("search_jobs", &json!({"limit": 2}));

        let log = client.finish().stderr;
        assert!(!log.contains("panicked"), "{statement}: {log}");
    }
    let ran = login_with(&sandbox, &home, "sandbox-consumer-secret");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    works(&sandbox, &home);
}

#[test]
fn a_file_cut_short_is_told_and_mended_as_the_message_says() {
    let (sandbox, home) = signed_in();
    let whole = std::fs::read(tokens_file(&home)).unwrap();
    let size = whole.len();
    let mut failures = Vec::new();
    // SQLite takes what is shorter than its header for a new file.
    for length in [
        0,
        1,
        50,
        100,
        512,
        4095,
        4096,
        5000,
        size / 2,
        size - 4096,
        size - 1,
    ] {
        std::fs::write(tokens_file(&home), &whole[..length]).unwrap();

        let refused = refusal_of_new_server(&sandbox, &home);
        refused.says("sf-mcp login");
        if length >= 512 {
            refused.says("tokens.db");
        }
        let status = status_of(&sandbox, &home);
        assert!(matches!(status.code, Some(1 | 3)), "{length} bytes");

        if refused.text.contains("move it away") {
            std::fs::remove_file(tokens_file(&home)).unwrap();
        }
        let ran = login_with(&sandbox, &home, "sandbox-consumer-secret");
        if ran.code != Some(0) {
            failures.push(format!(
                "{length} bytes: {}; then: {}",
                refused.text, ran.stderr
            ));
            std::fs::remove_file(tokens_file(&home)).unwrap();
            log_in(&sandbox, &home);
        }
        works(&sandbox, &home);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn garbage_beside_the_file_does_no_harm() {
    let (sandbox, home) = signed_in();
    for name in [
        "tokens.db-wal",
        "tokens.db-shm",
        "renewal.lock",
        "login.stamp",
    ] {
        let path = home.path().join("state/default").join(name);
        std::fs::write(path, [0xa5; 10_000]).unwrap();
        works(&sandbox, &home);
    }
}

#[test]
fn a_newer_file_is_refused_and_left_as_it_is() {
    let (sandbox, home) = signed_in();
    let newer = Connection::open(tokens_file(&home)).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let before = std::fs::read(tokens_file(&home)).unwrap();

    refusal_of_new_server(&sandbox, &home).says("was written by a newer sf-mcp; update this one");
    let status = status_of(&sandbox, &home);
    assert!(status.stderr.contains("newer sf-mcp"), "{}", status.stderr);
    let login = login_with(&sandbox, &home, "sandbox-consumer-secret");
    assert_eq!(login.code, Some(1));
    assert!(login.stderr.contains("newer sf-mcp"), "{}", login.stderr);

    assert!(std::fs::read(tokens_file(&home)).unwrap() == before);
}

/// What a program of that user finds out about a process: whether it may see its environment and its memory.
#[cfg(target_os = "linux")]
fn may_look_into(user: Option<u32>, process: u32) -> [bool; 2] {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };
    ["environ", "mem"].map(|part| {
        let mut open = Command::new("sh");
        open.args(["-c", &format!("exec 3< /proc/{process}/{part}")])
            .stderr(Stdio::null());
        if let Some(user) = user {
            open.uid(user);
        }
        open.status().unwrap().success()
    })
}

/// Only its owner's root may look into a process that the kernel must not dump.
#[cfg(target_os = "linux")]
#[test]
fn a_serving_process_cannot_be_dumped_or_looked_into() {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::{
            fs::{MetadataExt, PermissionsExt},
            process::CommandExt,
        },
        process::{Command, Stdio},
    };
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    let open_to_all = |path: &std::path::Path| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    };
    open_to_all(folder.path());
    let program = folder.path().join("sf-mcp");
    std::fs::copy(env!("CARGO_BIN_EXE_sf-mcp"), &program).unwrap();
    open_to_all(&program);
    let mut serve = Command::new(&program);
    serve
        .arg("serve")
        .env("SF_MCP_HOME", folder.path().join("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut other = Command::new("sleep");
    other.arg("60");
    // What belongs to root anyway would show nothing.
    let is_root = folder.path().metadata().unwrap().uid() == 0;
    let user = is_root.then_some(NOBODY);
    if let Some(user) = user {
        serve.uid(user);
        other.uid(user);
    }
    let other = other.spawn().unwrap();
    let mut child = serve.spawn().unwrap();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}});
    writeln!(child.stdin.as_mut().unwrap(), "{ping}").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("serverInfo"), "{line}");

    let owner = std::fs::metadata(format!("/proc/{}/environ", child.id()))
        .unwrap()
        .uid();
    let looked_into = may_look_into(user, child.id());
    let [sees_other, _] = may_look_into(user, other.id());
    for mut process in [child, other] {
        process.kill().unwrap();
        process.wait().unwrap();
    }

    assert_eq!(owner, 0, "the process is dumpable");
    // The kernel asks for the same right as for attaching a debugger.
    assert_eq!(looked_into, [false, false]);
    assert!(sees_other, "another process of the same user can be seen");
}
