//! Signed in through a hosting service: what is lent, who is asked, and what is said when it lends nothing.

use std::path::Path;
#[cfg(target_os = "linux")]
use std::{
    io::Read,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use crate::support::is_installed;
use crate::support::{
    Home, McpClient, Sandbox,
    hosting::{CODE, DEVICE, Hosting, Trouble, command, run, run_with_line, serve, status},
    sign_in::{expire_at_next_search, log_in, server},
};

const TOKEN: &str = "POST /api/token";

fn hosted() -> (Sandbox, Hosting, Home) {
    let sandbox = Sandbox::with(&["--requests", "0"]);
    let hosting = Hosting::before(&sandbox);
    (sandbox, hosting, Home::new())
}

fn signed_in() -> (Sandbox, Hosting, Home) {
    let (sandbox, hosting, home) = hosted();
    hosting.log_in(&home);
    (sandbox, hosting, home)
}

fn search(client: &mut McpClient) -> Value {
    client.call("search_jobs", &json!({"limit": 1}))
}

/// What a call says that needs a new token and gets none.
fn refused(sandbox: &Sandbox, client: &mut McpClient) -> (String, String) {
    expire_at_next_search(sandbox);
    let refusal = client.refusal("search_jobs", &json!({"limit": 1}));
    (refusal.code().to_owned(), refusal.text)
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn a_bundle_signs_in_without_any_secret_of_service_fusions() {
    let (sandbox, hosting, home) = hosted();
    let bundle = hosting.bundle(&home);

    let ran = run(&home, &["login", "--bundle", bundle.to_str().unwrap()]);

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains(&format!("through {}", hosting.origin())),
        "{}",
        ran.stdout
    );
    std::fs::remove_file(bundle).unwrap();
    let found = status(&home);
    assert_eq!(found["source"], "device");
    assert_eq!(found["supervisor"], hosting.origin());
    assert_eq!(found["token_is_for"], sandbox.origin());
    assert!(search(&mut serve(&home).start())["total"].is_number());
    assert_eq!(hosting.count(TOKEN), 1);
    for file in files_below(home.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"planted"), "{file:?}");
    }
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("planted"));
}

#[test]
fn a_clients_configuration_is_a_bundle_too() {
    let (_sandbox, hosting, home) = hosted();
    let file = home.path().join("mcp.json");
    let env = json!({"SF_MCP_SUPERVISOR_URL": hosting.origin(), "SF_MCP_DEVICE_TOKEN": DEVICE});
    let config = json!({"mcpServers": {"service-fusion": {"command": "sf-mcp", "env": env}}});
    std::fs::write(&file, config.to_string()).unwrap();

    let ran = run(&home, &["login", "--bundle", file.to_str().unwrap()]);

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(status(&home)["source"], "device");
}

#[test]
fn what_is_no_bundle_or_does_not_work_changes_nothing() {
    let (_sandbox, hosting, home) = signed_in();
    let file = home.path().join("other");
    let broken = [
        (
            "SF_MCP_DEVICE_TOKEN=sfd_x\n".to_owned(),
            "does not hold both",
        ),
        ("{\"a\": 1}".to_owned(), "does not hold both"),
        (
            format!("SF_MCP_SUPERVISOR_URL=http://example.com\nSF_MCP_DEVICE_TOKEN={DEVICE}"),
            "only https is allowed",
        ),
        (
            format!(
                "SF_MCP_SUPERVISOR_URL={}\nSF_MCP_DEVICE_TOKEN=short",
                hosting.origin()
            ),
            "cannot be one",
        ),
        (
            format!(
                "SF_MCP_SUPERVISOR_URL={}\nSF_MCP_DEVICE_TOKEN={}",
                hosting.origin(),
                DEVICE.to_uppercase()
            ),
            "no longer accepts this device",
        ),
    ];
    for (text, says) in broken {
        std::fs::write(&file, &text).unwrap();
        let ran = run(&home, &["login", "--bundle", file.to_str().unwrap()]);
        assert_ne!(ran.code, Some(0), "{text}");
        assert!(ran.stderr.contains(says), "{text}: {}", ran.stderr);
        assert!(!ran.stderr.contains("planted"), "{}", ran.stderr);
    }
    assert_eq!(status(&home)["signed_in"], true);
}

#[test]
fn a_code_by_e_mail_signs_in_and_names_this_machine() {
    let (_sandbox, hosting, home) = hosted();
    let origin = hosting.origin();
    let login = [
        "login",
        "--supervisor",
        &origin,
        "--email",
        "ann@example.com",
        "--code-stdin",
    ];

    let wrong = run_with_line(&home, &login, "000000");
    assert_eq!(wrong.code, Some(3), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("does not accept the code"),
        "{}",
        wrong.stderr
    );
    assert_eq!(status(&home)["signed_in"], false);

    let right = run_with_line(&home, &login, " 123 456 ");
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    assert_eq!(status(&home)["source"], "device");
    assert!(!hosting.state().devices_named[0].is_empty());
}

/// Runs a login at a terminal and types these lines.
#[cfg(target_os = "linux")]
fn at_a_terminal(home: &Home, login: &[&str], typed: &[&str]) -> (Option<i32>, String) {
    typed_at_a_terminal(&command(home, login), &(typed.join("\n") + "\n"))
}

/// Runs a command at a terminal and types these keys.
#[cfg(target_os = "linux")]
fn typed_at_a_terminal(own: &Command, typed: &str) -> (Option<i32>, String) {
    use std::io::Write;
    let words = std::iter::once(own.get_program()).chain(own.get_args());
    let line: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let mut child = Command::new("script")
        .args(["-qec", &line.join(" "), "/dev/null"])
        .envs(
            own.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open until the program has ended: its terminal hangs up otherwise.
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(typed.as_bytes()).unwrap();
    let mut shown = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut shown)
        .unwrap();
    (child.wait().unwrap().code(), shown)
}

#[cfg(target_os = "linux")]
#[test]
fn a_person_may_mistype_the_code_twice() {
    if !is_installed(&["script"]) {
        return;
    }
    let (_sandbox, hosting, home) = hosted();
    let login = ["login", "--supervisor", &hosting.origin()];
    let typed = |codes: [&'static str; 3]| [&["ann@example.com"][..], &codes].concat();

    let (code, shown) = at_a_terminal(&home, &login, &typed(["000000", "1234", "999999"]));
    assert_eq!(code, Some(3), "{shown}");
    assert!(
        shown.contains("not the code in the newest e-mail"),
        "{shown}"
    );
    assert!(shown.contains("Nothing was stored"), "{shown}");
    assert_eq!(status(&home)["signed_in"], false);

    let (code, shown) = at_a_terminal(&home, &login, &typed(["000000", "1234", CODE]));
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(status(&home)["source"], "device");
}

#[cfg(target_os = "linux")]
#[test]
fn the_end_of_input_stops_a_login_at_once() {
    if !is_installed(&["script"]) {
        return;
    }
    let (_sandbox, hosting, home) = hosted();
    let service = ["login", "--supervisor", &hosting.origin()];
    for (login, typed) in [
        (&service[..], "\u{4}"),
        (&service, "ann@example.com\n\u{4}"),
        (&["login"], "\u{4}"),
    ] {
        let (code, shown) = typed_at_a_terminal(&command(&home, login), typed);
        assert_eq!(code, Some(1), "{login:?}: {shown}");
        assert!(shown.contains("Stopped; nothing was stored."), "{shown}");
        assert!(!shown.contains("That was empty"), "{shown}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_at_the_hidden_question_leaves_a_terminal_that_shows_what_is_typed() {
    use std::io::Write;
    if !is_installed(&["script", "stty"]) {
        return;
    }
    let home = Home::new();
    let line = format!(
        "{} login --client-id x --api-url http://127.0.0.1:9; echo code $?; stty -a",
        env!("CARGO_BIN_EXE_sf-mcp")
    );
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("SF_MCP_HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut byte) = (String::new(), [0]);
    while !shown.ends_with("Client secret (not shown): ") {
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "{shown}");
        shown.push(char::from(byte[0]));
    }

    keys.write_all(b"half a sec\x03").unwrap();
    screen.read_to_string(&mut shown).unwrap();
    child.wait().unwrap();

    assert!(shown.contains("Stopped; nothing was stored."), "{shown}");
    assert!(shown.contains("code 1"), "{shown}");
    let words: Vec<&str> = shown.split_whitespace().collect();
    assert!(
        words.contains(&"echo") && words.contains(&"isig"),
        "{shown}"
    );
    assert!(!shown.contains("half"), "{shown}");
}

#[test]
fn an_address_of_several_companies_asks_which() {
    let (_sandbox, hosting, home) = hosted();
    hosting.state().two_companies = true;
    let origin = hosting.origin();
    let login = [
        "login",
        "--supervisor",
        &origin,
        "--email",
        "ann@example.com",
        "--code-stdin",
    ];

    let asked = run_with_line(&home, &login, CODE);
    assert_eq!(asked.code, Some(2), "{}", asked.stderr);
    assert!(
        asked.stderr.contains("t2 (Beta Heating)"),
        "{}",
        asked.stderr
    );

    let chosen = run_with_line(&home, &[&login[..], &["--tenant", "t2"]].concat(), CODE);
    assert_eq!(chosen.code, Some(0), "{}", chosen.stderr);
}

#[test]
fn eight_processes_ask_once_when_the_token_ends() {
    let (sandbox, hosting, home) = signed_in();
    let mut clients: Vec<McpClient> = (0..8).map(|_| serve(&home).start()).collect();
    for client in &mut clients {
        search(client);
    }

    for round in 0..3 {
        let before = hosting.count(TOKEN);
        expire_at_next_search(&sandbox);
        let sent: Vec<Vec<i64>> = clients
            .iter_mut()
            .map(|client| {
                let calls = 1..=4;
                calls
                    .map(|limit| client.send_call("search_jobs", &json!({"limit": limit})))
                    .collect()
            })
            .collect();
        for (client, ids) in clients.iter_mut().zip(sent) {
            for id in ids {
                assert!(client.called(id)["total"].is_number());
            }
        }
        assert_eq!(hosting.count(TOKEN) - before, 1, "round {round}");
    }
}

#[test]
fn eight_new_processes_of_a_bundle_ask_once() {
    let (_sandbox, hosting, home) = hosted();
    let mut clients: Vec<McpClient> = (0..8)
        .map(|_| hosting.serve_bundled(&home).start())
        .collect();

    let sent: Vec<i64> = clients
        .iter_mut()
        .map(|client| client.send_call("search_jobs", &json!({"limit": 1})))
        .collect();
    for (client, id) in clients.iter_mut().zip(sent) {
        assert!(client.called(id)["total"].is_number());
    }

    assert_eq!(hosting.count(TOKEN), 1);
}

#[test]
fn a_removed_device_is_told_and_stays_signed_out() {
    let (sandbox, hosting, home) = signed_in();
    let mut client = serve(&home).start();
    search(&mut client);
    hosting.state().revoked.push(DEVICE.to_owned());

    let (code, text) = refused(&sandbox, &mut client);

    assert_eq!(code, "signed_out");
    assert!(text.contains("no longer accepts this device"), "{text}");
    assert!(text.contains("sf-mcp login --supervisor"), "{text}");
    let found = status(&home);
    assert_eq!(found["signed_in"], false, "{found}");
    let before = hosting.count(TOKEN);
    client.refusal("search_jobs", &json!({"limit": 1}));
    assert_eq!(
        hosting.count(TOKEN),
        before,
        "it was asked again for nothing"
    );
    let doctor = run(&home, &["doctor"]);
    assert_eq!(doctor.code, Some(3), "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("login --supervisor"),
        "{}",
        doctor.stdout
    );

    hosting.state().revoked.clear();
    hosting.log_in(&home);
    search(&mut client);
}

#[test]
fn what_others_must_mend_does_not_end_the_sign_in() {
    let (sandbox, hosting, home) = signed_in();
    let mut client = serve(&home).start();
    search(&mut client);

    for (trouble, code, says) in [
        (
            Trouble::Problem(403, "tenant_suspended"),
            "suspended",
            "is suspended; ask whoever runs",
        ),
        (
            Trouble::Problem(409, "reconnect_required"),
            "reconnect_required",
            "the account's owner must connect it again",
        ),
        (
            Trouble::Problem(503, "upstream_unavailable"),
            "unreachable",
            "upstream_unavailable",
        ),
        (Trouble::Page(401), "unreachable", "status 401"),
        (
            Trouble::Page(200),
            "unreachable",
            "an answer without a token",
        ),
        (Trouble::Page(302), "unreachable", "status 302"),
        (Trouble::Down, "unreachable", "cannot be used right now"),
    ] {
        hosting.trouble("/api/token", trouble);
        let (found, text) = refused(&sandbox, &mut client);
        assert_eq!(found, code, "{trouble:?}: {text}");
        assert!(text.contains(says), "{trouble:?}: {text}");
        assert!(text.contains(&hosting.origin()), "{trouble:?}: {text}");
        assert_eq!(status(&home)["signed_in"], true, "{trouble:?}");
        hosting.mend();
        search(&mut client);
    }
}

#[test]
fn a_service_that_is_down_stops_no_call_while_the_token_lives() {
    let (sandbox, hosting, home) = signed_in();
    let mut client = serve(&home).start();
    search(&mut client);
    hosting.trouble("/api/token", Trouble::Down);

    search(&mut client);
    search(&mut serve(&home).start());
    assert_eq!(hosting.count(TOKEN), 1);

    let (code, text) = refused(&sandbox, &mut client);
    assert_eq!(code, "unreachable", "{text}");
    let ran = run(&home, &["call", "search_jobs", "limit=1"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    hosting.mend();
    search(&mut client);
}

/// What doctor says of the hosting service, and its exit code.
fn doctor(home: &Home) -> (Value, Option<i32>) {
    let ran = run(home, &["doctor", "--json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let checks = said["checks"].as_array().unwrap();
    let row = checks.iter().find(|row| row["check"] == "hosting service");
    (row.unwrap_or_else(|| panic!("{said}")).clone(), ran.code)
}

#[test]
fn doctor_asks_the_hosting_service_too() {
    let (_sandbox, hosting, home) = signed_in();
    let origin = hosting.origin();

    let (row, _) = doctor(&home);
    assert_eq!(row["text"], format!("{origin} accepts this device"));

    hosting.trouble("/api/token", Trouble::Down);
    let (row, _) = doctor(&home);
    let says = format!("{origin} cannot be reached; calls go on for another 59 min (");
    assert_eq!(row["state"], "note");
    assert!(row["text"].as_str().unwrap().starts_with(&says), "{row}");

    for (trouble, says) in [
        (Trouble::Problem(403, "tenant_suspended"), "is suspended"),
        (Trouble::Problem(401, "invalid_token"), "no longer accepts"),
    ] {
        hosting.trouble("/api/token", trouble);
        let (row, code) = doctor(&home);
        assert_eq!((&row["state"], code), (&json!("problem"), Some(3)), "{row}");
        assert!(row["text"].as_str().unwrap().contains(says), "{row}");
    }
}

#[test]
fn a_login_that_a_suspended_company_tries_ends_as_its_calls_do() {
    let (_sandbox, hosting, home) = hosted();
    let bundle = hosting.bundle(&home);
    hosting.trouble("/api/token", Trouble::Problem(403, "tenant_suspended"));

    let ran = run(&home, &["login", "--bundle", bundle.to_str().unwrap()]);

    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
}

#[test]
fn an_extension_is_opened_in_claude_desktop() {
    let home = Home::new();
    let ran = run(&home, &["login", "--bundle", "service-fusion.mcpb"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("is an extension; open it in Claude Desktop"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_bundles_environment_needs_no_login_and_touches_none() {
    let (sandbox, hosting, home) = hosted();
    log_in(&sandbox, &home);
    let before = hosting.count(TOKEN);

    search(&mut hosting.serve_bundled(&home).start());
    hosting.trouble("/api/token", Trouble::Down);
    search(&mut hosting.serve_bundled(&home).start());

    assert_eq!(
        hosting.count(TOKEN) - before,
        1,
        "the second process found the first one's"
    );
    search(&mut server(&sandbox, &home));
    let found: Value = {
        let mut command = command(&home, &["status", "--json"]);
        command.env("SF_MCP_SUPERVISOR_URL", hosting.origin());
        command.env("SF_MCP_DEVICE_TOKEN", DEVICE);
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(found["source"], "environment device");
    assert_eq!(found["supervisor"], hosting.origin());
    for file in files_below(home.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"planted"), "{file:?}");
    }
}

#[test]
fn half_a_bundle_in_the_environment_is_said() {
    let home = Home::new();
    let mut command = command(&home, &["call", "list_technicians"]);
    let out = command.env("SF_MCP_DEVICE_TOKEN", DEVICE).output().unwrap();
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("SF_MCP_SUPERVISOR_URL is not"), "{stderr}");
    assert!(!stderr.contains("planted"), "{stderr}");
}

#[test]
fn a_token_for_a_doubtful_address_is_sent_nowhere() {
    let (sandbox, hosting, home) = hosted();
    for address in [
        "http://example.com",
        "https://user@127.0.0.1:1",
        "ftp://127.0.0.1",
    ] {
        hosting.state().api_url = Some(address.to_owned());
        let mut client = hosting.serve_bundled(&home).start();
        let refusal = client.refusal("search_jobs", &json!({"limit": 1}));
        refusal.says("a token for an address that none is sent to");
    }
    assert_eq!(sandbox.count("GET", "/v1/jobs"), 0);
}

#[test]
fn a_logout_takes_the_device_off_the_list() {
    let (_sandbox, hosting, home) = signed_in();
    let ran = run(&home, &["logout"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("off the list of devices"),
        "{}",
        ran.stdout
    );
    assert_eq!(hosting.state().revoked, [DEVICE]);

    hosting.state().revoked.clear();
    hosting.log_in(&home);
    hosting.trouble("/api/devices/self", Trouble::Down);
    let ran = run(&home, &["logout"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("ask the account's owner to remove the device"),
        "{}",
        ran.stderr
    );
    assert_eq!(status(&home)["signed_in"], false);
}
