//! Giving the sign-in another sealing key, while servers use it.

use std::{path::PathBuf, process::Stdio, time::Duration};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    Home, McpClient, Ran, Sandbox, moments, rounds,
    sign_in::{
        GRANTS, Grant, command, expire_at_next_search, log_in, login, serve, server, status,
        token_requests, wait_for_token_requests, with_secret,
    },
};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEXT_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

fn signed_in(grant: Grant) -> (Sandbox, Home) {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    grant.log_in(&sandbox, &home);
    (sandbox, home)
}

fn rotate(sandbox: &Sandbox, home: &Home) -> Ran {
    rotate_with(sandbox, home, &[])
}

fn rotate_with(sandbox: &Sandbox, home: &Home, variables: &[(&str, &str)]) -> Ran {
    let output = command(sandbox, home, &["doctor", "--rotate-key"])
        .envs(variables.iter().copied())
        .output();
    output.unwrap().into()
}

#[track_caller]
fn succeeded(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

fn search(client: &mut McpClient) -> Value {
    client.call("search_jobs", &json!({"limit": 1}))
}

fn key_file(home: &Home) -> PathBuf {
    home.path().join("default.key")
}

fn next_key_file(home: &Home) -> PathBuf {
    home.path().join("default.key.next")
}

fn database(home: &Home) -> Connection {
    Connection::open(home.path().join("state/default/tokens.db")).unwrap()
}

fn values(home: &Home) -> Vec<(String, Vec<u8>)> {
    let database = database(home);
    let mut statement = database.prepare("SELECT name, value FROM sealed").unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn set_value(home: &Home, name: &str, value: &[u8]) {
    let statement = "UPDATE sealed SET value = ?2 WHERE name = ?1";
    let changed = database(home).execute(statement, (name, value)).unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn servers_go_on_with_a_new_key() {
    for grant in GRANTS {
        let (sandbox, home) = signed_in(grant);
        let mut client = server(&sandbox, &home);
        search(&mut client);
        let old = std::fs::read(key_file(&home)).unwrap();

        for _ in 0..3 {
            let ran = rotate(&sandbox, &home);
            succeeded(&ran);
            assert!(ran.stdout.contains("new key"), "{}", ran.stdout);

            search(&mut client);
            let before = token_requests(&sandbox);
            expire_at_next_search(&sandbox);
            search(&mut client);
            assert_eq!(token_requests(&sandbox) - before, 1, "{grant:?}");
            search(&mut server(&sandbox, &home));
        }

        assert_ne!(std::fs::read(key_file(&home)).unwrap(), old);
        assert!(!next_key_file(&home).exists());
        assert_eq!(status(&sandbox, &home)["signed_in"], true);
        assert_eq!(sandbox.state()["refresh_reuse"], 0);
    }
}

#[cfg(unix)]
#[test]
fn a_new_key_file_is_private_too() {
    use std::os::unix::fs::PermissionsExt;
    let (sandbox, home) = signed_in(Grant::ClientCredentials);

    succeeded(&rotate(&sandbox, &home));

    let mode = std::fs::metadata(key_file(&home)).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_rotation_waits_for_the_renewal_under_way() {
    let (sandbox, home) = signed_in(Grant::Browser);
    let mut client = server(&sandbox, &home);
    search(&mut client);
    let before = token_requests(&sandbox);
    sandbox.faults(&json!([
        {"match": {"grant": "refresh_token"}, "times": 1, "kind": "latency", "ms": 700}
    ]));
    expire_at_next_search(&sandbox);
    let id = client.send_call("search_jobs", &json!({"limit": 1}));
    wait_for_token_requests(&sandbox, before + 1);

    succeeded(&rotate(&sandbox, &home));

    assert!(client.called(id)["total"].is_number());
    // Both the renewal and the new key are kept.
    expire_at_next_search(&sandbox);
    search(&mut server(&sandbox, &home));
    let state = sandbox.state();
    assert_eq!(
        (&state["refreshes"], &state["refresh_reuse"]),
        (&json!(2), &json!(0))
    );
}

#[test]
fn keys_change_while_calls_and_renewals_go_on() {
    let (sandbox, home) = signed_in(Grant::Browser);
    let mut clients: Vec<McpClient> = (0..4).map(|_| server(&sandbox, &home)).collect();
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| {
            for _ in 0..8 {
                succeeded(&rotate(&sandbox, &home));
            }
        });
        while !rotating.is_finished() {
            expire_at_next_search(&sandbox);
            let calls: Vec<i64> = clients
                .iter_mut()
                .map(|client| client.send_call("search_jobs", &json!({"limit": 1})))
                .collect();
            for (client, id) in clients.iter_mut().zip(calls) {
                assert!(client.called(id)["total"].is_number());
            }
            // One that has no key in memory.
            search(&mut server(&sandbox, &home));
        }
    });
    assert_eq!(sandbox.state()["refresh_reuse"], 0);
}

/// Ends at the first byte after that step, as if killed.
fn rotate_and_die(sandbox: &Sandbox, home: &Home, step: &str) {
    let ran = rotate_with(sandbox, home, &[("SF_MCP_STOP_AT", step)]);
    assert!(!matches!(ran.code, Some(0..=4)), "{step}: {}", ran.stderr);
}

const STEPS: [&str; 3] = ["next key written", "resealed", "promoted"];

#[test]
fn a_rotation_cut_off_at_any_step_costs_nothing() {
    for grant in GRANTS {
        for step in STEPS {
            let (sandbox, home) = signed_in(grant);
            let mut running = server(&sandbox, &home);
            search(&mut running);

            rotate_and_die(&sandbox, &home, step);

            assert_eq!(status(&sandbox, &home)["signed_in"], true, "{step}");
            // The next one to read the key ends what was begun.
            assert_eq!(next_key_file(&home).exists(), step == "next key written");
            search(&mut server(&sandbox, &home));
            expire_at_next_search(&sandbox);
            search(&mut running);
            succeeded(&rotate(&sandbox, &home));
            assert!(!next_key_file(&home).exists());
            expire_at_next_search(&sandbox);
            search(&mut running);
            search(&mut server(&sandbox, &home));
            assert_eq!(sandbox.state()["refresh_reuse"], 0);
        }
    }
}

#[test]
fn a_rotation_killed_at_any_moment_costs_nothing() {
    let (sandbox, home) = signed_in(Grant::Browser);
    let mut running = server(&sandbox, &home);
    let mut cut_off = 0;
    let count = rounds(20);

    for moment in moments(count, Duration::from_millis(100)) {
        let mut rotation = command(&sandbox, &home, &["doctor", "--rotate-key"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        running.wait_at_most(moment);
        rotation.kill().unwrap();
        cut_off += u32::from(!rotation.wait().unwrap().success());

        expire_at_next_search(&sandbox);
        search(&mut running);
        search(&mut server(&sandbox, &home));
    }

    eprintln!("{cut_off} of {count} rotations were cut off");
    succeeded(&rotate(&sandbox, &home));
    assert!(!next_key_file(&home).exists());
    assert_eq!(sandbox.state()["refresh_reuse"], 0);
}

#[test]
fn what_is_done_after_a_cut_off_rotation_finds_the_right_key() {
    for step in STEPS {
        let (sandbox, home) = signed_in(Grant::ClientCredentials);
        let mut running = server(&sandbox, &home);
        search(&mut running);

        // A renewal, another rotation that dies, a login, a logout: each is the first to come.
        rotate_and_die(&sandbox, &home, step);
        expire_at_next_search(&sandbox);
        search(&mut running);
        rotate_and_die(&sandbox, &home, step);
        rotate_and_die(&sandbox, &home, step);
        search(&mut server(&sandbox, &home));
        rotate_and_die(&sandbox, &home, step);
        log_in(&sandbox, &home);
        search(&mut running);
        search(&mut server(&sandbox, &home));
        rotate_and_die(&sandbox, &home, step);
        let out = command(&sandbox, &home, &["logout"]).output().unwrap();

        assert!(out.status.success());
        assert!(!key_file(&home).exists(), "{step}");
        assert!(!next_key_file(&home).exists(), "{step}");
        log_in(&sandbox, &home);
        search(&mut running);
    }
}

#[test]
fn a_login_cut_off_is_none_or_one() {
    for (step, is_signed_in) in [("next key written", false), ("sign-in stored", true)] {
        let (sandbox, home) = (Sandbox::start(), Home::new());
        let mut running = server(&sandbox, &home);
        let mut login = login(&sandbox, &home);
        login.env("SF_MCP_STOP_AT", step);

        let ran = with_secret(login, "sandbox-consumer-secret");

        assert!(!matches!(ran.code, Some(0..=4)), "{step}: {}", ran.stderr);
        assert_eq!(status(&sandbox, &home)["signed_in"], is_signed_in, "{step}");
        if is_signed_in {
            search(&mut running);
        }
        log_in(&sandbox, &home);
        search(&mut running);
        assert!(key_file(&home).exists());
        assert!(!next_key_file(&home).exists());
    }
}

#[test]
fn values_from_before_a_rotation_do_not_open() {
    let (sandbox, home) = signed_in(Grant::Browser);
    let old = values(&home);
    let old_file = std::fs::read(home.path().join("state/default/tokens.db")).unwrap();

    succeeded(&rotate(&sandbox, &home));

    let new = values(&home);
    for (name, value) in &old {
        set_value(&home, name, value);
        let refused = server(&sandbox, &home).refusal("search_jobs", &json!({"limit": 1}));
        refused.says("does not open");
        refused.says("sf-mcp login");
        let (_, value) = new.iter().find(|(other, _)| other == name).unwrap();
        set_value(&home, name, value);
    }
    search(&mut server(&sandbox, &home));

    std::fs::write(home.path().join("state/default/tokens.db"), old_file).unwrap();
    server(&sandbox, &home)
        .refusal("search_jobs", &json!({"limit": 1}))
        .says("another key");
}

#[test]
fn no_old_value_stays_on_the_disk() {
    let (sandbox, home) = signed_in(Grant::ClientCredentials);
    let old = values(&home);

    succeeded(&rotate(&sandbox, &home));

    for entry in std::fs::read_dir(home.path().join("state/default")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for (name, value) in &old {
            let found = bytes.windows(value.len()).any(|window| window == value);
            assert!(!found, "{name}");
        }
    }
}

#[test]
fn a_rotation_that_cannot_be_written_changes_nothing() {
    let (sandbox, home) = signed_in(Grant::ClientCredentials);
    let key = std::fs::read(key_file(&home)).unwrap();
    let database = database(&home);
    database
        .execute_batch(
            "CREATE TRIGGER full BEFORE UPDATE ON sealed BEGIN SELECT RAISE(ABORT, 'full'); END",
        )
        .unwrap();

    let ran = rotate(&sandbox, &home);

    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("tokens.db"), "{}", ran.stderr);
    assert_eq!(std::fs::read(key_file(&home)).unwrap(), key);
    assert!(!next_key_file(&home).exists());
    search(&mut server(&sandbox, &home));
}

#[test]
fn without_a_sign_in_or_its_key_there_is_nothing_to_rotate() {
    let (sandbox, home) = (Sandbox::start(), Home::new());

    let nobody = rotate(&sandbox, &home);
    assert_eq!(nobody.code, Some(3), "{}", nobody.stderr);
    assert!(
        nobody.stderr.contains("nobody is signed in"),
        "{}",
        nobody.stderr
    );

    log_in(&sandbox, &home);
    let kept = std::fs::read(key_file(&home)).unwrap();
    for (key, says) in [(Some(NEXT_KEY), "another key"), (None, "default.key")] {
        match key {
            Some(key) => std::fs::write(key_file(&home), key).unwrap(),
            None => std::fs::remove_file(key_file(&home)).unwrap(),
        }
        let ran = rotate(&sandbox, &home);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert!(!next_key_file(&home).exists());
    }
    std::fs::write(key_file(&home), kept).unwrap();
    search(&mut server(&sandbox, &home));
}

#[test]
fn a_key_in_a_variable_is_changed_by_two_variables() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let mut login = login(&sandbox, &home);
    login.env("SF_MCP_KEY", KEY);
    succeeded(&with_secret(login, "sandbox-consumer-secret"));
    let before = values(&home);

    let told = rotate_with(&sandbox, &home, &[("SF_MCP_KEY", KEY)]);
    assert_eq!(told.code, Some(2), "{}", told.stdout);
    assert!(told.stderr.contains("SF_MCP_KEY_NEXT"), "{}", told.stderr);
    assert!(values(&home) == before);

    let both = [("SF_MCP_KEY", KEY), ("SF_MCP_KEY_NEXT", NEXT_KEY)];
    let with_both = || {
        let serve = serve(&sandbox, &home);
        serve.env(both[0].0, both[0].1).env(both[1].0, both[1].1)
    };
    let mut client = with_both().start();
    search(&mut client);
    let ran = rotate_with(&sandbox, &home, &both);
    succeeded(&ran);
    assert!(ran.stdout.contains("Now set SF_MCP_KEY"), "{}", ran.stdout);

    search(&mut client);
    search(&mut with_both().start());
    search(&mut serve(&sandbox, &home).env("SF_MCP_KEY", NEXT_KEY).start());
    serve(&sandbox, &home)
        .env("SF_MCP_KEY", KEY)
        .start()
        .refusal("search_jobs", &json!({"limit": 1}))
        .says("another key");
    let again = rotate_with(&sandbox, &home, &both);
    assert_eq!(again.code, Some(2), "{}", again.stdout);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
}
