//! Signing in once, and what every process on the machine makes of it.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::support::{
    Home, McpClient, Ran, Sandbox, ZONE, http, run,
    sign_in::{
        BY_SECRET, command, log_in, log_in_by_browser, login_with, server, status, token_requests,
        with_secret,
    },
};

/// It looks into the process table.
#[cfg(target_os = "linux")]
mod secrets;

#[test]
fn nothing_is_stored_before_the_credentials_have_worked() {
    let (sandbox, home) = (Sandbox::start(), Home::new());

    let refused = login_with(&sandbox, &home, "wrong");

    assert_eq!(refused.code, Some(3));
    assert!(
        refused.stderr.contains("Nothing was stored"),
        "{}",
        refused.stderr
    );
    assert!(!home.path().join("state/default/tokens.db").exists());
}

#[test]
fn a_login_that_fails_leaves_the_earlier_one_in_place() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    log_in(&sandbox, &home);

    login_with(&sandbox, &home, "wrong");

    assert!(server(&sandbox, &home).call("list_technicians", &json!({}))["total"].is_number());
}

#[test]
fn a_server_that_runs_already_notices_login_and_logout() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let mut client = server(&sandbox, &home);
    client
        .refusal("get_job", &json!({"number": "10840"}))
        .says("sf-mcp login");

    log_in(&sandbox, &home);
    assert!(client.call("search_jobs", &json!({"limit": 1}))["total"].is_number());

    let out: Ran = command(&sandbox, &home, &["logout"])
        .output()
        .unwrap()
        .into();
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    client
        .refusal("search_jobs", &json!({"limit": 2}))
        .says("nobody is signed in");
}

#[test]
fn sixteen_processes_with_eight_calls_each_renew_once() {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    log_in(&sandbox, &home);
    let mut clients: Vec<McpClient> = (0..16).map(|_| server(&sandbox, &home)).collect();
    for client in &mut clients {
        client.call("search_jobs", &json!({"limit": 1}));
    }
    let before = sandbox.state()["client_credentials"].as_u64().unwrap();

    sandbox.faults(
        &json!([{"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"}]),
    );
    let calls: Vec<Vec<i64>> = clients
        .iter_mut()
        .map(|client| {
            (0..8)
                .map(|page| client.send_call("search_jobs", &json!({"limit": 10 + page})))
                .collect()
        })
        .collect();

    for (client, calls) in clients.iter_mut().zip(calls) {
        for id in calls {
            assert!(client.called(id)["total"].is_number());
        }
    }
    let state = sandbox.state();
    assert_eq!(state["client_credentials"].as_u64().unwrap() - before, 1);
    assert_eq!(state["refresh_reuse"], 0);
}

#[test]
fn a_browser_login_renews_with_its_refresh_token_and_never_spends_one_twice() {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    let ran = log_in_by_browser(&sandbox, &home);
    assert_eq!(ran.code, Some(0));
    let mut clients: Vec<McpClient> = (0..4).map(|_| server(&sandbox, &home)).collect();

    for round in 0..5 {
        sandbox.faults(
            &json!([{"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"}]),
        );
        let calls: Vec<i64> = clients
            .iter_mut()
            .map(|client| client.send_call("search_jobs", &json!({"limit": round + 1})))
            .collect();
        for (client, id) in clients.iter_mut().zip(calls) {
            assert!(client.called(id)["total"].is_number());
        }
    }

    let state = sandbox.state();
    assert_eq!(state["refreshes"], 5);
    assert_eq!(state["refresh_reuse"], 0);
}

#[test]
fn a_refresh_whose_answer_is_lost_asks_for_a_new_sign_in_and_is_not_repeated() {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    log_in_by_browser(&sandbox, &home);
    let mut client = server(&sandbox, &home);
    sandbox.faults(&json!([
        {"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"},
        {"match": {"grant": "refresh_token"}, "times": 1, "kind": "drop_after"}
    ]));

    client
        .refusal("search_jobs", &json!({"limit": 1}))
        .says("sf-mcp login");
    client
        .refusal("search_jobs", &json!({"limit": 2}))
        .says("sf-mcp login");

    assert_eq!(sandbox.state()["refresh_reuse"], 0);
    log_in_by_browser(&sandbox, &home);
    assert!(client.call("search_jobs", &json!({"limit": 3}))["total"].is_number());
}

#[test]
fn client_credentials_heal_by_themselves_when_an_answer_is_lost() {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    log_in(&sandbox, &home);
    let mut client = server(&sandbox, &home);
    sandbox.faults(&json!([
        {"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"},
        {"match": {"grant": "client_credentials"}, "times": 1, "kind": "drop_after"}
    ]));

    assert!(client.call("search_jobs", &json!({"limit": 1}))["total"].is_number());
}

#[test]
fn a_process_killed_in_the_middle_of_a_refresh_costs_no_reuse() {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    log_in_by_browser(&sandbox, &home);
    let mut client = server(&sandbox, &home);
    sandbox.faults(&json!([
        {"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"},
        {"match": {"grant": "refresh_token"}, "times": 1, "kind": "hang"}
    ]));
    client.send_call("search_jobs", &json!({"limit": 1}));
    sandbox.wait_for(|state| state["by_path"]["/oauth/access_token"].as_u64() >= Some(2));
    drop(client);

    let mut next = server(&sandbox, &home);
    next.refusal("search_jobs", &json!({"limit": 1}))
        .says("sf-mcp login");

    assert_eq!(sandbox.state()["refresh_reuse"], 0);
}

#[cfg(unix)]
#[test]
fn a_server_that_is_stopped_or_left_in_the_middle_of_a_refresh_sees_it_through() {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    log_in_by_browser(&sandbox, &home);

    for round in 1..=2 {
        let mut client = server(&sandbox, &home);
        sandbox.faults(&json!([
            {"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"},
            {"match": {"grant": "refresh_token"}, "times": 1, "kind": "latency", "ms": 1500}
        ]));
        let id = client.send_call("search_jobs", &json!({"limit": round}));
        sandbox.wait_for(|state| state["by_path"]["/oauth/access_token"].as_u64() > Some(round));
        let ended = if round == 1 {
            let process = client.process_id().to_string();
            let killed = Command::new("kill").args(["-TERM", &process]).status();
            assert!(killed.unwrap().success());
            client.ended()
        } else {
            client.notify("notifications/cancelled", &json!({"requestId": id}));
            client.finish()
        };
        assert!(ended.status.success(), "{}", ended.stderr);
    }

    let mut next = server(&sandbox, &home);
    assert!(next.call("search_jobs", &json!({"limit": 3}))["total"].is_number());
    let state = sandbox.state();
    assert_eq!(
        (&state["refreshes"], &state["refresh_reuse"]),
        (&json!(2), &json!(0))
    );
}

#[test]
fn an_outage_of_the_sign_in_service_does_not_end_a_browser_login() {
    let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
    log_in_by_browser(&sandbox, &home);
    let mut client = server(&sandbox, &home);
    sandbox.faults(&json!([
        {"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"},
        {"match": {"grant": "refresh_token"}, "times": 1, "kind": "status", "status": 403},
        {"match": {"grant": "refresh_token"}, "times": 1, "kind": "status", "status": 503, "html": true}
    ]));

    assert!(client.call("search_jobs", &json!({"limit": 1}))["total"].is_number());
}

#[test]
fn a_login_that_cannot_be_stored_leaves_the_key_of_the_earlier_one() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    log_in(&sandbox, &home);
    let key = home.path().join("default.key");
    let kept = std::fs::read(&key).unwrap();
    let database = rusqlite::Connection::open(home.path().join("state/default/tokens.db")).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON sealed BEGIN SELECT RAISE(ABORT, 'full'); END",
        )
        .unwrap();

    let failed = login_with(&sandbox, &home, "sandbox-consumer-secret");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_eq!(std::fs::read(&key).unwrap(), kept);

    // A key that does not fit is replaced by a new one, but not for nothing.
    std::fs::write(&key, "no key").unwrap();
    login_with(&sandbox, &home, "sandbox-consumer-secret");
    assert_eq!(std::fs::read(&key).unwrap(), b"no key");

    database.execute_batch("DROP TRIGGER full").unwrap();
    std::fs::write(&key, &kept).unwrap();
    assert!(server(&sandbox, &home).call("search_jobs", &json!({}))["total"].is_number());
    log_in(&sandbox, &home);
    assert_eq!(std::fs::read(&key).unwrap(), kept);
}

#[test]
fn a_lost_or_changed_key_is_named_and_nothing_is_overwritten() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    log_in(&sandbox, &home);
    let key = home.path().join("default.key");
    let kept = std::fs::read(&key).unwrap();

    std::fs::remove_file(&key).unwrap();
    server(&sandbox, &home)
        .refusal("search_jobs", &json!({}))
        .says("default.key");
    assert!(!key.exists());

    std::fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    server(&sandbox, &home)
        .refusal("search_jobs", &json!({}))
        .says("another key");

    std::fs::write(&key, kept).unwrap();
    assert!(server(&sandbox, &home).call("search_jobs", &json!({}))["total"].is_number());
}

#[test]
fn a_damaged_file_is_a_clear_error_and_signing_in_again_is_named() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    log_in(&sandbox, &home);
    let file = home.path().join("state/default/tokens.db");
    std::fs::write(&file, vec![0x5a; 20_000]).unwrap();

    let refusal = server(&sandbox, &home).refusal("search_jobs", &json!({}));

    refusal.says("tokens.db");
}

#[test]
fn status_and_doctor_say_what_to_do() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let nobody = run(&home, &["status"]);
    assert_eq!(nobody.code, Some(3));
    assert!(
        nobody
            .stdout
            .starts_with("nobody is signed in\n  run `sf-mcp login` to"),
        "{}",
        nobody.stdout
    );

    log_in(&sandbox, &home);

    let status = status(&sandbox, &home);
    assert_eq!(status["signed_in"], true);
    assert_eq!(status["key"], "file");
    let doctor: Ran = command(&sandbox, &home, &["doctor"])
        .output()
        .unwrap()
        .into();
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("answers as"), "{}", doctor.stdout);
}

#[test]
fn a_login_says_who_it_is_where_it_is_kept_and_what_comes_next() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let mut login = command(&sandbox, &home, BY_SECRET);
    login.args(["--profile", "north"]);

    let ran = with_secret(login, "sandbox-consumer-secret");

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for said in [
        "as Carol Jennings <carol@lonestarcomfort.example.com> (profile north)".to_owned(),
        format!(
            "sf-mcp install claude-desktop --profile north --api-url {}\n",
            sandbox.origin()
        ),
        ZONE.to_owned(),
        home.path().join("config.toml").display().to_string(),
        home.path()
            .join("state/north/tokens.db")
            .display()
            .to_string(),
        home.path().join("north.key").display().to_string(),
    ] {
        assert!(ran.stdout.contains(&said), "{said}: {}", ran.stdout);
    }
    let status: Ran = command(&sandbox, &home, &["status", "--profile", "north"])
        .output()
        .unwrap()
        .into();
    assert!(
        status
            .stdout
            .starts_with("signed in as Carol Jennings <carol@lonestarcomfort.example.com>\naccess lasts another 59 min and is renewed by itself\n"),
        "{}",
        status.stdout
    );
}

#[cfg(unix)]
#[test]
fn a_key_file_that_is_missing_or_open_to_others_is_said_once() {
    use std::os::unix::fs::PermissionsExt;
    let (sandbox, home) = (Sandbox::start(), Home::new());
    log_in(&sandbox, &home);
    let ran = |arguments: &[&str]| -> Ran {
        let mut command = command(&sandbox, &home, arguments);
        command.env("HOME", home.path()).output().unwrap().into()
    };
    assert_eq!(ran(&["install", "cursor"]).code, Some(0));
    let key = home.path().join("default.key");

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = ran(&["doctor"]);
    std::fs::remove_file(&key).unwrap();
    let (doctor, status) = (ran(&["doctor"]), ran(&["status"]));

    assert!(
        open.stdout.contains("can be read by others"),
        "{}",
        open.stdout
    );
    assert!(open.stdout.contains("run: chmod 600"), "{}", open.stdout);
    assert!(!doctor.stdout.contains("signed in ("), "{}", doctor.stdout);
    assert_eq!(
        status.stderr.matches("is missing").count(),
        1,
        "{}",
        status.stderr
    );
}

#[cfg(unix)] // elsewhere the home folder is not taken from the environment
#[test]
fn doctor_and_logout_know_the_ai_clients_that_use_the_sign_in() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let ran = |arguments: &[&str]| {
        let mut command = command(&sandbox, &home, arguments);
        let ran: Ran = command.env("HOME", home.path()).output().unwrap().into();
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran.stdout
    };
    log_in(&sandbox, &home);
    ran(&["install", "cursor", "codex"]);

    let doctor = ran(&["doctor"]);
    let logout = ran(&["logout"]);

    for client in ["Cursor           ", "Codex            "] {
        let line = format!("ok       {client}starts this program for profile default, signed in");
        assert!(doctor.contains(&line), "{doctor}");
    }
    assert!(logout.contains("sf-mcp uninstall cursor codex"), "{logout}");
}

#[test]
fn an_empty_id_or_secret_is_refused_before_anything_is_sent() {
    let (sandbox, home) = (Sandbox::start(), Home::new());

    let no_secret = login_with(&sandbox, &home, "  ");
    let no_id = with_secret(
        command(
            &sandbox,
            &home,
            &["login", "--client-id", " ", "--client-secret-stdin"],
        ),
        "secret",
    );

    for (ran, what) in [(no_secret, "secret"), (no_id, "id")] {
        assert_eq!(ran.code, Some(2), "{what}");
        let says = format!("the client {what} is empty");
        assert!(ran.stderr.contains(&says), "{}", ran.stderr);
    }
    assert_eq!(token_requests(&sandbox), 0);
}

#[test]
fn a_login_in_the_browser_says_which_redirect_address_the_app_needs() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = [
        "login",
        "--browser",
        "--client-id=x",
        "--client-secret-stdin",
    ];

    let no_secret = with_secret(command(&sandbox, &home, &arguments), "");
    let mut login = command(&sandbox, &home, &arguments);
    login.args(["--port", &port]);
    let refused = with_secret(login, "x");

    assert!(
        no_secret.stderr.contains("must be http://127.0.0.1:"),
        "{}",
        no_secret.stderr
    );
    assert_eq!(refused.code, Some(1));
    for says in [port.as_str(), "--port"] {
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
}

#[test]
fn a_guessed_redirect_cannot_end_a_browser_login() {
    let (sandbox, home) = (Sandbox::start(), Home::new());
    let mut child = command(
        &sandbox,
        &home,
        &[
            "login",
            "--browser",
            "--no-open",
            "--client-id",
            "sandbox-app",
            "--client-secret-stdin",
        ],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    writeln!(child.stdin.take().unwrap(), "sandbox-app-secret").unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("redirect_uri") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0);
    }
    let port = line
        .split("127.0.0.1%3A")
        .nth(1)
        .unwrap()
        .split('%')
        .next()
        .unwrap();

    let (status, body) = http(
        &format!("127.0.0.1:{port}"),
        "GET",
        "/callback?code=stolen&state=guessed",
        None,
        "",
    );

    assert_eq!(status, 400, "{body}");
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}
