//! Where the sealing key is kept: a real keychain, in good health and in bad, a key file, the environment.

#![cfg(target_os = "linux")]

use std::{process::Command, time::Instant};

use serde_json::{Value, json};

use crate::support::{
    HANG_GUARD, Home, McpClient, Ran, Sandbox,
    keyring::Session,
    sign_in::{command, expire_at_next_search, login, serve, with_secret},
};

const SECRET: &str = "sandbox-consumer-secret";
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// A login that looks for a keychain in this session.
fn login_in(session: &Session, sandbox: &Sandbox, home: &Home) -> Command {
    let mut login = login(sandbox, home);
    login
        .env_remove("SF_MCP_KEYCHAIN")
        .envs(session.variables());
    login
}

/// A login that finds no session bus.
fn login_without_bus(sandbox: &Sandbox, home: &Home) -> Command {
    let mut login = login(sandbox, home);
    login
        .env_remove("SF_MCP_KEYCHAIN")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("XDG_RUNTIME_DIR", home.path());
    login
}

fn server_in(session: &Session, sandbox: &Sandbox, home: &Home) -> McpClient {
    let mut serve = serve(sandbox, home);
    for (name, value) in session.variables() {
        serve = serve.env(name, &value);
    }
    serve.start()
}

fn run_in(session: &Session, sandbox: &Sandbox, home: &Home, arguments: &[&str]) -> Ran {
    let output = command(sandbox, home, arguments)
        .envs(session.variables())
        .output();
    output.unwrap().into()
}

fn search(client: &mut McpClient) -> Value {
    client.call("search_jobs", &json!({"limit": 1}))
}

fn succeeded(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

fn has_key_file(home: &Home) -> bool {
    home.path().join("default.key").exists()
}

#[test]
fn a_login_puts_the_key_into_the_keychain_and_a_logout_takes_it_out() {
    let Some(session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());

    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));

    let status = run_in(&session, &sandbox, &home, &["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["key"], "keychain");
    assert!(!has_key_file(&home));
    assert_eq!(session.secrets(), 1);
    let mut client = server_in(&session, &sandbox, &home);
    search(&mut client);

    succeeded(&run_in(&session, &sandbox, &home, &["logout"]));

    assert_eq!(session.secrets(), 0);
    client
        .refusal("search_jobs", &json!({"limit": 2}))
        .says("nobody is signed in");
}

#[test]
fn a_second_login_keeps_to_the_key_in_the_keychain() {
    let Some(session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));

    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));

    assert_eq!(session.secrets(), 1);
    assert!(!has_key_file(&home));
    search(&mut server_in(&session, &sandbox, &home));
}

#[test]
fn a_new_key_takes_the_old_one_s_place_in_the_keychain() {
    let Some(session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    let mut client = server_in(&session, &sandbox, &home);
    search(&mut client);

    for _ in 0..2 {
        succeeded(&run_in(
            &session,
            &sandbox,
            &home,
            &["doctor", "--rotate-key"],
        ));

        assert_eq!(session.secrets(), 1);
        assert!(!has_key_file(&home));
        expire_at_next_search(&sandbox);
        search(&mut client);
        search(&mut server_in(&session, &sandbox, &home));
    }

    succeeded(&run_in(&session, &sandbox, &home, &["logout"]));
    assert_eq!(session.secrets(), 0);
}

#[test]
fn a_rotation_in_the_keychain_may_be_cut_off_at_any_step() {
    let Some(session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    let rotate = ["doctor", "--rotate-key"];
    for (step, left) in [("next key written", 2), ("resealed", 2), ("promoted", 1)] {
        let died = command(&sandbox, &home, &rotate)
            .envs(session.variables())
            .env("SF_MCP_STOP_AT", step)
            .output()
            .unwrap();
        assert_eq!(died.status.code(), None, "{step}");
        assert_eq!(session.secrets(), left, "{step}");

        search(&mut server_in(&session, &sandbox, &home));
        succeeded(&run_in(&session, &sandbox, &home, &rotate));

        assert_eq!(session.secrets(), 1, "{step}");
        search(&mut server_in(&session, &sandbox, &home));
    }
}

#[test]
fn a_rotation_with_a_locked_keychain_changes_nothing() {
    let Some(mut session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    session.lock();

    let ran = run_in(&session, &sandbox, &home, &["doctor", "--rotate-key"]);

    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("locked"), "{}", ran.stderr);
    session.unlock();
    assert_eq!(session.secrets(), 1);
    search(&mut server_in(&session, &sandbox, &home));
}

#[test]
fn without_a_keychain_the_key_is_in_a_file_and_the_login_says_so() {
    let (sandbox, home) = (Sandbox::start(), Home::new());

    let ran = with_secret(login_without_bus(&sandbox, &home), SECRET);

    succeeded(&ran);
    assert!(ran.stdout.contains("default.key"), "{}", ran.stdout);
    assert!(ran.stdout.contains("no session bus"), "{}", ran.stdout);
    assert!(has_key_file(&home));
    search(&mut serve(&sandbox, &home).start());
}

#[test]
fn a_bus_on_which_nobody_keeps_secrets_is_no_keychain() {
    let Some(session) = Session::without_keyring() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());

    let ran = with_secret(login_in(&session, &sandbox, &home), SECRET);

    succeeded(&ran);
    assert!(ran.stdout.contains("default.key"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("org.freedesktop.secrets"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_keychain_that_is_required_and_missing_stores_nothing() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let mut login = login_without_bus(&sandbox, &home);
    login.args(["--keychain", "required"]);

    let ran = with_secret(login, SECRET);

    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("keychain"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--keychain off"), "{}", ran.stderr);
    assert!(!has_key_file(&home));
    let status: Ran = command(&sandbox, &home, &["status"])
        .output()
        .unwrap()
        .into();
    assert_eq!(status.code, Some(3), "{}", status.stdout);
}

#[test]
fn a_locked_keychain_is_told_and_nothing_takes_its_place() {
    let Some(mut session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    session.lock();

    let mut client = server_in(&session, &sandbox, &home);
    let refused = client.refusal("search_jobs", &json!({"limit": 1}));

    refused.says("locked");
    refused.says("unlock it");
    let status = run_in(&session, &sandbox, &home, &["status"]);
    assert!(status.stderr.contains("locked"), "{}", status.stderr);
    assert!(!has_key_file(&home));

    session.unlock();
    search(&mut server_in(&session, &sandbox, &home));
}

#[test]
fn a_server_that_found_the_keychain_locked_works_once_it_is_open() {
    let Some(mut session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    session.lock();
    let mut client = server_in(&session, &sandbox, &home);
    client
        .refusal("search_jobs", &json!({"limit": 1}))
        .says("locked");

    session.unlock();

    search(&mut client);
}

#[test]
fn a_key_that_left_the_keychain_is_not_replaced_while_serving() {
    let Some(mut session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    session.empty();

    let mut client = server_in(&session, &sandbox, &home);
    client
        .refusal("search_jobs", &json!({"limit": 1}))
        .says("sf-mcp login");

    assert_eq!(session.secrets(), 0);
    assert!(!has_key_file(&home));
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    search(&mut client);
}

#[test]
fn a_frozen_keychain_holds_up_neither_the_start_nor_a_call_for_long() {
    let Some(session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    session.freeze();

    // All this is answered while the keychain is not.
    let mut client = server_in(&session, &sandbox, &home);
    client.initialize("2025-06-18");
    client.result("tools/list", json!({}));
    let sent = Instant::now();
    let calls: Vec<i64> = (1..=16)
        .map(|limit| client.send_call("search_jobs", &json!({"limit": limit})))
        .collect();
    for id in calls {
        let refused = client.refused(id);
        refused.says("did not answer");
        refused.says("unlock it");
    }
    let waited = sent.elapsed();

    session.thaw();
    search(&mut client);
    // One after the other they would take 48 s.
    assert!(waited < HANG_GUARD, "sixteen calls waited {waited:?}");
}

#[test]
fn commands_end_although_the_keychain_is_frozen() {
    let Some(session) = Session::start() else {
        return;
    };
    let (sandbox, home) = (Sandbox::start(), Home::new());
    succeeded(&with_secret(login_in(&session, &sandbox, &home), SECRET));
    session.freeze();

    let status = run_in(&session, &sandbox, &home, &["status"]);
    assert_eq!(status.code, Some(1), "{}", status.stdout);
    assert!(
        status.stderr.contains("did not answer"),
        "{}",
        status.stderr
    );
    let login = with_secret(login_in(&session, &sandbox, &home), SECRET);
    succeeded(&login);
    assert!(login.stdout.contains("did not answer"), "{}", login.stdout);
}

#[test]
fn a_key_from_the_environment_is_needed_again_and_nothing_takes_its_place() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let mut login = login(&sandbox, &home);
    login.env("SF_MCP_KEY", KEY);
    succeeded(&with_secret(login, SECRET));
    let refusal = |key: Option<&str>| {
        let serve = serve(&sandbox, &home);
        let serve = match key {
            Some(key) => serve.env("SF_MCP_KEY", key),
            None => serve,
        };
        serve.start().refusal("search_jobs", &json!({"limit": 1}))
    };

    refusal(None).says("SF_MCP_KEY, which is not set");
    refusal(Some("")).says("SF_MCP_KEY, which is not set");
    refusal(Some("too short")).says("SF_MCP_KEY cannot be used");
    refusal(Some(OTHER_KEY)).says("another key");

    assert!(!has_key_file(&home));
    search(&mut serve(&sandbox, &home).env("SF_MCP_KEY", KEY).start());
}

#[test]
fn a_bad_key_in_the_environment_stops_a_login_before_anything_is_stored() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let mut login = login(&sandbox, &home);
    login.env("SF_MCP_KEY", "too short");

    let ran = with_secret(login, SECRET);

    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("SF_MCP_KEY"), "{}", ran.stderr);
    assert!(!has_key_file(&home));
}
