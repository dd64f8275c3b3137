//! Usage events of lent tokens: one a call, each counted once, nothing of them for anybody else.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    HANG_GUARD, Home, McpClient, Sandbox,
    hosting::{Hosting, State, Trouble, run, serve},
    sign_in::{log_in, server},
};

fn signed_in() -> (Sandbox, Hosting, Home) {
    let sandbox = Sandbox::with(&["--requests", "0"]);
    let hosting = Hosting::before(&sandbox);
    let home = Home::new();
    hosting.log_in(&home);
    (sandbox, hosting, home)
}

fn search(client: &mut McpClient, times: usize) {
    for _ in 0..times {
        client.call("search_jobs", &json!({"limit": 1}));
    }
}

fn spool(home: &Home) -> Option<PathBuf> {
    let folder = home.path().join("state/default");
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    paths.find(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("usage-") && path.extension().unwrap() == "db"
    })
}

fn spooled(home: &Home) -> i64 {
    let Some(path) = spool(home) else { return 0 };
    let connection = rusqlite::Connection::open(path).unwrap();
    let count = connection.query_row("SELECT COUNT(*) FROM events", [], |row| row.get(0));
    // The tables come a moment after the file.
    count.unwrap_or(0)
}

fn wait_for_spooled(home: &Home, count: i64) {
    let started = Instant::now();
    while spooled(home) < count {
        assert!(
            started.elapsed() < HANG_GUARD,
            "{} of {count}",
            spooled(home)
        );
        std::thread::yield_now();
    }
}

fn wait_for_events(hosting: &Hosting, count: usize) {
    hosting.wait_for(&format!("{count} events"), |state| {
        state.events.len() >= count
    });
}

fn sent_twice(state: &State) -> usize {
    state
        .events
        .values()
        .filter(|(times, _)| *times > 1)
        .count()
}

#[test]
fn a_call_is_one_event_that_says_nothing_of_what_was_asked() {
    let (_sandbox, hosting, home) = signed_in();
    let mut client = serve(&home).start();
    let query = json!({"query": "Alvarez"});
    client.call("search_customers", &query);
    client.refusal("get_job", &json!({"job_id": 999_999_999}));
    client.refusal("search_jobs", &json!({"statuss": "open"}));
    client.request(
        "tools/call",
        json!({"name": "no_such_tool", "arguments": {}}),
    );

    wait_for_events(&hosting, 3);
    client.finish();

    let state = hosting.state();
    let find = |tool: &str| {
        let mut events = state.events.values().map(|(_, event)| event);
        events.find(|event| event["tool"] == tool).unwrap().clone()
    };
    assert_eq!(state.events.len(), 3);
    let found = find("search_customers");
    assert_eq!(found["status"], "ok");
    assert_eq!(found["endpoint"], "GET /v1/customers");
    assert_eq!(found["client"], "tests/1");
    assert_eq!(found["era"], "2026-07-28");
    assert!(found["bytes"].as_u64().unwrap() > 100, "{found}");
    assert!(found["at"].as_i64().unwrap() > 1_700_000_000_000, "{found}");
    assert_eq!(found["id"].as_str().unwrap().len(), 32);
    assert_eq!(find("get_job")["status"], "refused");
    assert_eq!(find("get_job")["endpoint"], "GET /v1/jobs/{id}");
    assert_eq!(find("search_jobs")["endpoint"], "");
    let all = json!(
        state
            .events
            .values()
            .map(|(_, event)| event)
            .collect::<Vec<&Value>>()
    );
    for private in ["Alvarez", "999999999", "statuss", "planted"] {
        assert!(!all.to_string().contains(private), "{private}: {all}");
    }
}

#[test]
fn a_call_from_the_terminal_is_sent_before_it_ends() {
    let (_sandbox, hosting, home) = signed_in();
    let ran = run(&home, &["call", "list_technicians"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let state = hosting.state();
    let (_, event) = state.events.values().next().unwrap();
    assert_eq!(event["tool"], "list_technicians");
    assert_eq!(
        event["client"],
        format!("sf-mcp/{}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_login_of_service_fusions_own_has_no_spool() {
    let sandbox = Sandbox::with(&["--requests", "0"]);
    let home = Home::new();
    log_in(&sandbox, &home);
    let mut client = server(&sandbox, &home);
    search(&mut client, 3);
    client.finish();
    assert_eq!(spool(&home), None);
}

#[test]
fn the_environments_device_counts_as_well() {
    let sandbox = Sandbox::with(&["--requests", "0"]);
    let hosting = Hosting::before(&sandbox);
    let home = Home::new();
    let mut client = hosting.serve_bundled(&home).start();
    search(&mut client, 2);
    wait_for_events(&hosting, 2);
}

#[test]
fn events_outlive_kills_and_a_service_that_is_down_and_count_once() {
    let (_sandbox, hosting, home) = signed_in();
    hosting.trouble("/api/usage", Trouble::Down);
    for round in 1..=3 {
        let mut client = serve(&home).start();
        search(&mut client, 20);
        wait_for_spooled(&home, round * 20);
        // Dropped without a word: killed.
        drop(client);
    }
    assert_eq!(hosting.state().events.len(), 0);

    hosting.mend();
    let mut client = serve(&home).start();
    search(&mut client, 1);
    wait_for_events(&hosting, 61);
    client.finish();

    assert_eq!(hosting.state().events.len(), 61);
    assert_eq!(sent_twice(&hosting.state()), 0);
    assert_eq!(spooled(&home), 0);
}

#[test]
fn a_service_that_never_answers_keeps_no_event_from_the_spool() {
    let (_sandbox, hosting, home) = signed_in();
    hosting.trouble("/api/usage", Trouble::Hangs);
    let mut client = serve(&home).start();
    search(&mut client, 1);
    hosting.wait_for("an attempt", |state| {
        state.requests.iter().any(|line| line == "POST /api/usage")
    });

    let started = Instant::now();
    search(&mut client, 5);
    wait_for_spooled(&home, 6);
    // An attempt is given up after 20 s.
    assert!(started.elapsed() < Duration::from_secs(10));
    client.finish();
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(spooled(&home), 6);
}

#[test]
fn lost_answers_send_events_again_under_the_same_ids() {
    let (_sandbox, hosting, home) = signed_in();
    hosting.trouble("/api/usage", Trouble::LosesAnswers);
    let mut client = serve(&home).start();
    search(&mut client, 30);
    hosting.wait_for("a batch that came twice", |state| sent_twice(state) > 0);
    hosting.mend();
    search(&mut client, 1);
    wait_for_events(&hosting, 31);
    client.finish();

    assert_eq!(hosting.state().events.len(), 31);
    assert_eq!(spooled(&home), 0);
}

#[test]
fn processes_share_the_spool_and_send_nothing_twice() {
    let (_sandbox, hosting, home) = signed_in();
    let mut clients: Vec<McpClient> = (0..4).map(|_| serve(&home).start()).collect();
    for _ in 0..5 {
        for client in &mut clients {
            search(client, 5);
        }
    }
    wait_for_events(&hosting, 100);
    for client in clients {
        client.finish();
    }

    assert_eq!(hosting.state().events.len(), 100);
    assert_eq!(sent_twice(&hosting.state()), 0);
}

#[test]
fn an_event_that_is_never_taken_holds_up_no_other() {
    let (_sandbox, hosting, home) = signed_in();
    hosting.trouble("/api/usage", Trouble::Down);
    let mut client = serve(&home).start();
    search(&mut client, 10);
    client.call("list_technicians", &json!({}));
    search(&mut client, 10);
    wait_for_spooled(&home, 21);
    hosting.state().refused_tool = Some("list_technicians");
    hosting.mend();

    wait_for_events(&hosting, 20);
    client.finish();

    assert_eq!(spooled(&home), 0);
    assert_eq!(hosting.state().events.len(), 20);
}

#[test]
fn a_page_of_a_gateway_takes_no_events() {
    let (_sandbox, hosting, home) = signed_in();
    hosting.trouble("/api/usage", Trouble::Page(200));
    let mut client = serve(&home).start();
    search(&mut client, 2);
    hosting.wait_for("an attempt", |state| {
        state.requests.iter().any(|line| line == "POST /api/usage")
    });
    client.finish();
    assert_eq!(spooled(&home), 2);
}

#[test]
fn a_logout_sends_what_is_left_first() {
    let (_sandbox, hosting, home) = signed_in();
    hosting.trouble("/api/usage", Trouble::Problem(503, "busy"));
    let mut client = serve(&home).start();
    search(&mut client, 3);
    client.finish();
    hosting.mend();

    let ran = run(&home, &["logout"]);

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(hosting.state().events.len(), 3);
    assert_eq!(spool(&home), None);
}
