//! The traps of stdio: whatever comes down the pipe, the process answers or ignores it as the protocol says, and lives.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Home, McpClient, Sandbox, Serve, sf_mcp};

/// A request that shows that the server still lives.
fn lives(client: &mut McpClient) {
    let list = client.result("tools/list", json!({}));
    assert!(list["tools"].is_array());
}

#[test]
fn a_notification_before_the_first_request_is_ignored() {
    let home = Home::new();
    let mut modern = Serve::signed_out(&home).start();
    let mut legacy = Serve::signed_out(&home).start();

    modern.notify("notifications/cancelled", &json!({"requestId": 1}));
    modern.notify("notifications/initialized", &json!({}));
    modern.notify("notifications/made_up", &json!({}));
    legacy.notify("notifications/cancelled", &json!({"requestId": 1}));

    lives(&mut modern);
    assert!(legacy.initialize("2025-11-25")["result"].is_object());
}

#[test]
fn a_result_stands_in_its_line_as_a_hosting_service_takes_it_out() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    for method in ["server/discover", "tools/list"] {
        let id = client.send(method, json!({}));
        let line = client.line(id);

        // Another form is read as well, but each call takes longer then.
        let begin = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"#);
        assert!(line.starts_with(&begin), "{line}");
        let result = &line.trim_end()[begin.len() - 1..line.trim_end().len() - 1];
        assert!(serde_json::from_str::<Value>(result).is_ok(), "{result}");
    }
}

#[test]
fn a_cancelled_probe_may_be_followed_by_a_handshake() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    client.result("server/discover", json!({}));
    client.notify(
        "notifications/cancelled",
        &json!({"requestId": 1, "reason": "timeout"}),
    );
    let answer = client.initialize("2025-11-25");

    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
}

#[test]
fn a_response_that_nobody_asked_for_is_ignored() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    client.write(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
    client.write(r#"{"jsonrpc":"2.0","id":98,"error":{"code":1,"message":"x"}}"#);
    lives(&mut client);
    client.write(r#"{"jsonrpc":"2.0","id":97,"result":{}}"#);

    lives(&mut client);
}

#[test]
fn a_client_that_leaves_at_once_is_no_failure() {
    let home = Home::new();

    let ended = Serve::signed_out(&home).start().finish();

    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.messages.is_empty());
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_client_that_leaves_after_its_answer_ends_the_process() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    lives(&mut client);
    let ended = client.finish();

    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn a_client_that_leaves_during_a_call_ends_the_process_and_the_request() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    sandbox.fault("GET", "/v1/jobs", 1, &json!({"kind": "hang"}));

    client.send_call("search_jobs", &json!({}));
    sandbox.wait_for(|state| state["by_path"]["/v1/jobs"] == 1);
    let ended = client.finish();

    assert_eq!(ended.status.code(), Some(0));
    sandbox.wait_for(|state| state["cancelled"] == 1 && state["in_flight"] == 0);
}

#[cfg(unix)]
#[test]
fn a_signal_to_stop_is_followed_even_during_a_call() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    for signal in ["-TERM", "-INT"] {
        let mut idle = McpClient::start(&sandbox, &home);
        lives(&mut idle);
        let mut busy = McpClient::start(&sandbox, &home);
        sandbox.fault("GET", "/v1/jobs", 1, &json!({"kind": "hang"}));
        busy.send_call("search_jobs", &json!({}));
        sandbox.wait_for(|state| state["in_flight"] == 1);

        for client in [idle, busy] {
            let id = client.process_id().to_string();
            let killed = Command::new("kill").args([signal, &id]).status();
            assert!(killed.unwrap().success());
            let ended = client.ended();

            assert_eq!(ended.status.code(), Some(0), "{signal}");
        }
        sandbox.wait_for(|state| state["in_flight"] == 0);
    }
}

#[test]
fn lines_that_are_no_messages_do_no_harm() {
    let home = Home::new();
    let garbage: [&[u8]; 12] = [
        b"",
        b"   ",
        b"garbage",
        b"{",
        b"}",
        b"null",
        b"7",
        b"\"text\"",
        b"{}",
        b"{\"jsonrpc\":\"2.0\"}",
        b"\xff\xfe\x00\x01",
        b"Content-Length: 2\r",
    ];
    let mut first = Serve::signed_out(&home).start();
    let mut later = Serve::signed_out(&home).start();
    lives(&mut later);

    for line in garbage {
        first.write(line);
        later.write(line);
    }

    lives(&mut first);
    lives(&mut later);
    assert_eq!(first.finish().status.code(), Some(0));
}

#[test]
fn a_byte_order_mark_does_not_hide_the_first_request() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    client.write("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}");

    assert!(client.answer(1)["result"].is_object());
}

#[test]
fn a_line_end_may_be_that_of_windows() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    client.write("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}\r");

    assert!(client.answer(1)["result"].is_object());
}

#[test]
fn a_line_of_six_megabytes_is_dropped_and_the_next_one_read() {
    let home = Home::new();
    let long = json!({
        "jsonrpc": "2.0", "id": 1000, "method": "tools/call",
        "params": {"name": "search_jobs", "arguments": {"query": "x".repeat(6 * 1024 * 1024)}},
    })
    .to_string();
    let mut first = Serve::signed_out(&home).start();
    let mut later = Serve::signed_out(&home).start();
    lives(&mut later);

    first.write(&long);
    later.write(&long);

    lives(&mut first);
    lives(&mut later);
}

#[test]
fn json_of_ten_thousand_levels_does_no_harm() {
    let home = Home::new();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let mut client = Serve::signed_out(&home).start();
    lives(&mut client);

    for value in [&deep, &objects] {
        client.write(value);
        client.write(format!(
            r#"{{"jsonrpc":"2.0","id":500,"method":"tools/call","params":{{"name":"search_jobs","arguments":{{"query":{value}}}}}}}"#
        ));
    }

    lives(&mut client);
    assert_eq!(client.finish().status.code(), Some(0));
}

#[test]
fn an_id_comes_back_as_it_was_sent() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();
    client.initialize("2025-11-25");

    let ids = [
        json!("abc"),
        json!("7"),
        json!(7),
        json!(0),
        json!(-3),
        json!(9_007_199_254_740_991_i64),
        json!(""),
        json!("日本 \" \\ \u{1}"),
    ];
    for id in ids {
        client.write(json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string());

        assert_eq!(client.answer(id.clone())["result"], json!({}), "{id}");
    }
}

#[test]
fn a_null_id_and_a_batch_are_refused_and_the_session_goes_on() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();
    client.initialize("2025-11-25");

    client.write(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#);
    client.write(
        r#"[{"jsonrpc":"2.0","id":5,"method":"ping"},{"jsonrpc":"2.0","id":6,"method":"ping"}]"#,
    );
    client.write("[]");
    let id = client.send_legacy("ping", &json!({}));
    client.answer(id);
    let ended = client.finish();

    let answered = |id: &Value| ended.messages.iter().any(|message| &message["id"] == id);
    assert!(!answered(&json!(5)) && !answered(&json!(6)));
    let refused = ended
        .messages
        .iter()
        .filter(|message| message["error"]["code"] == -32600);
    assert!(refused.count() >= 2);
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn parameters_of_the_wrong_kind_are_an_error_not_an_end() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();
    client.initialize("2025-11-25");

    for params in [
        json!({}),
        json!({"name": 7}),
        json!({"name": "search_jobs", "arguments": []}),
        json!({"name": "search_jobs", "arguments": "status=open"}),
        json!({"name": null, "arguments": null}),
    ] {
        let id = client.send_legacy("tools/call", &params);
        let answer = client.answer(id);
        assert!(answer["error"]["code"].is_i64(), "{params}: {answer}");
    }
}

#[test]
fn a_storm_of_cancellations_leaves_the_answers_of_others_alone() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    lives(&mut client);

    let wanted = client.send_call("list_reference_data", &json!({"kind": "sources"}));
    for n in 0..1000 {
        let id = match n % 4 {
            0 => json!(100_000 + n),
            1 => json!(format!("unknown-{n}")),
            2 => json!(1),
            _ => json!(-n),
        };
        client.notify("notifications/cancelled", &json!({"requestId": id}));
    }
    client.notify("notifications/cancelled", &json!({}));
    client.notify("notifications/cancelled", &json!({"requestId": {"a": 1}}));

    assert_eq!(client.called(wanted)["total"], 8);
    lives(&mut client);
}

#[test]
fn a_cancelled_call_stops_its_request_and_is_not_answered() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    sandbox.fault("GET", "/v1/jobs", 1, &json!({"kind": "hang"}));

    let id = client.send_call("search_jobs", &json!({}));
    sandbox.wait_for(|state| state["by_path"]["/v1/jobs"] == 1);
    client.notify(
        "notifications/cancelled",
        &json!({"requestId": id, "reason": "the user changed their mind"}),
    );
    let state = sandbox.wait_for(|state| state["cancelled"] == 1);
    let again = client.call("search_jobs", &json!({}));
    let ended = client.finish();

    assert_eq!(state["in_flight"], 0);
    assert!(again["total"].as_u64().unwrap() > 0);
    assert!(!ended.messages.iter().any(|message| message["id"] == id));
}

#[test]
fn a_cancelled_call_does_not_stop_the_same_read_of_another() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    client.call("list_reference_data", &json!({"kind": "sources"}));
    sandbox.fault("GET", "/v1/jobs", 1, &json!({"kind": "latency", "ms": 500}));

    let first = client.send_call("search_jobs", &json!({"limit": 3}));
    sandbox.wait_for(|state| state["by_path"]["/v1/jobs"] == 1);
    let second = client.send_call("search_jobs", &json!({"limit": 3}));
    // Requests are taken in order: when this is answered, the second call has begun.
    lives(&mut client);
    client.notify("notifications/cancelled", &json!({"requestId": first}));

    assert_eq!(client.called(second)["jobs"].as_array().unwrap().len(), 3);
}

#[test]
fn stdout_holds_the_protocol_alone_even_when_everything_is_logged() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_LOG", "trace")
        .start();

    lives(&mut client);
    client.write("garbage");
    client.call("get_dispatch_board", &json!({}));
    client.refusal("search_jobs", &json!({"statuss": "open"}));
    let ended = client.finish();

    assert!(
        ended
            .messages
            .iter()
            .all(|message| message["jsonrpc"] == "2.0")
    );
    assert!(ended.stderr.contains("TRACE"), "nothing was logged");
    assert!(!ended.stderr.contains("sandbox-consumer-secret"));
    assert!(!ended.stderr.to_lowercase().contains("bearer "));
}

#[test]
fn an_unreadable_log_level_is_reported_and_does_no_harm() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home)
        .env("SF_MCP_LOG", "sf_mcp=[")
        .start();

    lives(&mut client);
    let ended = client.finish();

    assert!(ended.stderr.contains("cannot be read"), "{}", ended.stderr);
}

#[test]
fn without_a_subcommand_the_program_serves() {
    let home = Home::new();

    let ended = sf_mcp().env("SF_MCP_HOME", home.path()).output().unwrap();

    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stdout.is_empty());
}

#[test]
fn progress_grows_and_ends_before_the_answer() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "600"]);
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let id = client.send(
        "tools/call",
        json!({
            "name": "search_jobs", "arguments": {"unassigned": true},
            "_meta": {"progressToken": "p-1"},
        }),
    );
    client.called(id);
    let steps = client.notifications("notifications/progress");
    let ended = client.finish();

    assert!(!steps.is_empty());
    assert!(steps.iter().all(|step| step["progressToken"] == "p-1"));
    let done: Vec<f64> = steps
        .iter()
        .map(|step| step["progress"].as_f64().unwrap())
        .collect();
    assert!(done.windows(2).all(|pair| pair[0] < pair[1]), "{done:?}");
    let all = ended
        .messages
        .iter()
        .filter(|message| message["method"] == "notifications/progress");
    assert_eq!(all.count(), steps.len(), "progress after the answer");
}

#[test]
fn a_start_touches_neither_network_nor_disk() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    lives(&mut client);
    client.result("prompts/list", json!({}));
    client.result("resources/list", json!({}));

    assert_eq!(sandbox.state()["requests"], 0);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
