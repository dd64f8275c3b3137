//! A stored sign-in that was changed, damaged, moved, or has no room.

use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    Home, Ran, Refusal, Sandbox,
    sign_in::{
        GRANTS, Grant, command, expire_at_next_search, log_in, login_with, serve, server, status,
        token_requests,
    },
    small_disk::SmallDisk,
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

fn file(home: &Home) -> PathBuf {
    home.path().join("state/default/tokens.db")
}

fn edit(home: &Home, statement: &str, parameters: impl rusqlite::Params) {
    let changed = Connection::open(file(home))
        .unwrap()
        .execute(statement, parameters)
        .unwrap();
    assert!(changed > 0, "{statement}");
}

fn value(home: &Home, column: &str) -> Vec<u8> {
    Connection::open(file(home))
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

/// What a new server says to a call. It must not have asked for a token, nor have panicked.
fn refusal(sandbox: &Sandbox, home: &Home) -> Refusal {
    let before = token_requests(sandbox);
    let mut client = server(sandbox, home);
    let refused = client.refusal("search_jobs", &json!({"limit": 1}));
    assert_eq!(token_requests(sandbox), before);
    let log = client.finish().stderr;
    assert!(!log.contains("panicked"), "{log}");
    refused
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

fn works(sandbox: &Sandbox, home: &Home) {
    let answer = server(sandbox, home).call("search_jobs", &json!({"limit": 1}));
    assert!(answer["total"].is_number());
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

            names_file_and_remedy(&refusal(&sandbox, &home), &format!("{column} {part}"));
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
            names_file_and_remedy(&refusal(&sandbox, &home), &format!("{column} {length}"));
        }
        set(&home, column, &sealed);
    }
    for column in &COLUMNS[..4] {
        let sealed = value(&home, column);
        edit(&home, "DELETE FROM sealed WHERE name = ?1", [column]);
        names_file_and_remedy(&refusal(&sandbox, &home), column);
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

            names_file_and_remedy(&refusal(&sandbox, &home), &format!("{one} and {other}"));

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
    std::fs::copy(file(&home), state.join("other/tokens.db")).unwrap();
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
    let whole = std::fs::read(file(&home)).unwrap();
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
        std::fs::write(file(&home), &whole[..length]).unwrap();

        let refused = refusal(&sandbox, &home);
        refused.says("sf-mcp login");
        if length >= 512 {
            refused.says("tokens.db");
        }
        let status = status_of(&sandbox, &home);
        assert!(matches!(status.code, Some(1 | 3)), "{length} bytes");

        if refused.text.contains("move it away") {
            std::fs::remove_file(file(&home)).unwrap();
        }
        let ran = login_with(&sandbox, &home, "sandbox-consumer-secret");
        if ran.code != Some(0) {
            failures.push(format!(
                "{length} bytes: {}; then: {}",
                refused.text, ran.stderr
            ));
            std::fs::remove_file(file(&home)).unwrap();
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
    let newer = Connection::open(file(&home)).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let before = std::fs::read(file(&home)).unwrap();

    refusal(&sandbox, &home).says("was written by a newer sf-mcp; update this one");
    let status = status_of(&sandbox, &home);
    assert!(status.stderr.contains("newer sf-mcp"), "{}", status.stderr);
    let login = login_with(&sandbox, &home, "sandbox-consumer-secret");
    assert_eq!(login.code, Some(1));
    assert!(login.stderr.contains("newer sf-mcp"), "{}", login.stderr);

    assert!(std::fs::read(file(&home)).unwrap() == before);
}

/// The sign-in is for the mounted home, where there is one.
fn on_a_small_disk(grant: Grant) -> Option<(Sandbox, SmallDisk)> {
    let disk = SmallDisk::mount()?;
    let sandbox = Sandbox::with(&["--requests", "0"]);
    grant.log_in(&sandbox, disk.home());
    Some((sandbox, disk))
}

#[test]
fn a_read_only_folder_is_told_and_spends_nothing() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::Browser) else {
        return;
    };
    let mut client = server(&sandbox, disk.home());
    client.call("search_jobs", &json!({"limit": 1}));
    let before = token_requests(&sandbox);
    disk.make_read_only();

    expire_at_next_search(&sandbox);
    let refused = client.refusal("search_jobs", &json!({"limit": 2}));

    refused.says("Read-only file system");
    refused.says(&disk.home().path().display().to_string());
    refusal(&sandbox, disk.home()).says("Read-only file system");
    assert_eq!(token_requests(&sandbox), before);
    let login = login_with(&sandbox, disk.home(), "sandbox-consumer-secret");
    assert_eq!(login.code, Some(1), "{}", login.stdout);
    assert!(
        login.stderr.contains("Read-only file system"),
        "{}",
        login.stderr
    );

    disk.make_writable();
    client.call("search_jobs", &json!({"limit": 3}));
}

#[test]
fn calls_are_served_from_a_read_only_folder_while_the_token_lasts() {
    for grant in GRANTS {
        let Some((sandbox, disk)) = on_a_small_disk(grant) else {
            return;
        };
        let mut running = server(&sandbox, disk.home());
        running.call("search_jobs", &json!({"limit": 1}));
        let before = token_requests(&sandbox);
        disk.make_read_only();

        running.call("search_jobs", &json!({"limit": 2}));
        works(&sandbox, disk.home());
        assert_eq!(status(&sandbox, disk.home())["signed_in"], true);
        assert_eq!(token_requests(&sandbox), before);
        let rotation = command(&sandbox, disk.home(), &["doctor", "--rotate-key"]).output();
        let rotation = Ran::from(rotation.unwrap());
        assert_eq!(rotation.code, Some(1), "{}", rotation.stdout);
        assert!(rotation.stderr.contains("Read-only"), "{}", rotation.stderr);

        disk.make_writable();
        works(&sandbox, disk.home());
    }
}

/// The side files of a killed process are there, or only some of them.
#[test]
fn a_read_only_folder_with_an_unfinished_log_is_read_or_told() {
    for (without, is_served) in [(None, true), (Some("tokens.db-shm"), false)] {
        let Some((sandbox, disk)) = on_a_small_disk(Grant::ClientCredentials) else {
            return;
        };
        let folder = disk.home().path().join("state/default");
        let writing = Connection::open(file(disk.home())).unwrap();
        writing
            .execute("UPDATE login SET generation = generation + 1", [])
            .unwrap();
        let side_files = ["tokens.db-wal", "tokens.db-shm"];
        let left = side_files.map(|name| std::fs::read(folder.join(name)).unwrap());
        drop(writing);
        for (name, bytes) in side_files.iter().zip(left) {
            if without != Some(*name) {
                std::fs::write(folder.join(name), bytes).unwrap();
            }
        }
        disk.make_read_only();

        if is_served {
            works(&sandbox, disk.home());
        } else {
            let refused = refusal(&sandbox, disk.home());
            refused.says("tokens.db");
            refused.says("make its folder writable");
        }
        disk.make_writable();
        works(&sandbox, disk.home());
    }
}

#[test]
fn a_login_on_a_full_disk_stores_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let sandbox = Sandbox::start();
    for free_pages in 0..30 {
        disk.fill(free_pages);
        let ran = login_with(&sandbox, disk.home(), "sandbox-consumer-secret");
        disk.make_room();

        if ran.code == Some(0) {
            return works(&sandbox, disk.home());
        }
        assert_eq!(ran.code, Some(1), "{free_pages} pages were free");
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        let status = status(&sandbox, disk.home());
        assert_eq!(
            status["signed_in"], false,
            "{free_pages} pages were free: {}",
            ran.stderr
        );
    }
    panic!("thirty pages are enough for a sign-in");
}

#[test]
fn a_login_on_a_full_disk_leaves_the_earlier_one_in_place() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::ClientCredentials) else {
        return;
    };
    let mut failures = Vec::new();
    for free_pages in 0..24 {
        disk.fill(free_pages);
        login_with(&sandbox, disk.home(), "sandbox-consumer-secret");
        disk.make_room();

        let mut client = server(&sandbox, disk.home());
        let answer = client.answer_to_call("search_jobs", &json!({"limit": 1}));
        if answer["result"]["isError"] == true {
            let text = &answer["result"]["content"][0]["text"];
            failures.push(format!("{free_pages} pages were free: {text}"));
            log_in(&sandbox, disk.home());
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_renewal_on_a_full_disk_spends_no_refresh_token_that_it_cannot_replace() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::Browser) else {
        return;
    };
    let mut failures = Vec::new();
    for free_pages in 0..24 {
        let mut client = server(&sandbox, disk.home());
        client.call("search_jobs", &json!({"limit": 1}));
        let before = sandbox.state()["refreshes"].clone();
        disk.fill(free_pages);
        expire_at_next_search(&sandbox);
        let first = client.answer_to_call("search_jobs", &json!({"limit": 2}));
        disk.make_room();
        let after = sandbox.state()["refreshes"].clone();
        let second = client.answer_to_call("search_jobs", &json!({"limit": 3}));

        let is_lost = second["result"]["isError"] == true;
        let is_spent = first["result"]["isError"] == true && after != before;
        if is_lost || is_spent {
            let text = |answer: &Value| answer["result"]["content"][0]["text"].to_string();
            failures.push(format!(
                "{free_pages} pages were free: {before} refreshes, then {after}: {:.300}; then: {:.200}",
                text(&first),
                text(&second)
            ));
        }
        if is_lost {
            Grant::Browser.log_in(&sandbox, disk.home());
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(sandbox.state()["refresh_reuse"], 0);
}

#[test]
fn a_full_disk_is_called_that_and_not_damage() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::Browser) else {
        return;
    };
    for free_pages in 0..6 {
        let mut client = server(&sandbox, disk.home());
        client.call("search_jobs", &json!({"limit": 1}));
        disk.fill(free_pages);
        expire_at_next_search(&sandbox);
        let renewal = client.refusal("search_jobs", &json!({"limit": 2})).text;
        let login = login_with(&sandbox, disk.home(), "sandbox-consumer-secret").stderr;
        disk.make_room();

        for text in [renewal, login] {
            let words = text.to_lowercase();
            let is_clear = words.contains("full") || words.contains("no space");
            assert!(
                is_clear && !words.contains("damaged"),
                "{free_pages} pages were free: {text}"
            );
        }
    }
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
    // What belongs to root anyway would show nothing.
    if folder.path().metadata().unwrap().uid() == 0 {
        serve.uid(NOBODY);
    }
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
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(owner, 0, "the process is dumpable");
}
