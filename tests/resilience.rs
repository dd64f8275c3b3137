//! What the network and Service Fusion do on a bad day, and what a dispatcher notices of it.

use serde_json::{Value, json};

use crate::support::{Home, McpClient, Refusal, Sandbox, Serve, catalogue, names, rows};

/// Ids of jobs, read from a company like the one under test, so that no request of its allowance is spent.
fn job_ids() -> Vec<Value> {
    let jobs = Sandbox::start().all("jobs", "fields=id");
    jobs.iter().map(|job| job["id"].clone()).collect()
}

fn search(client: &mut McpClient) -> Value {
    client.call("search_jobs", &json!({"limit": 3}))
}

#[test]
fn a_read_survives_every_passing_failure() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for fault in [
        json!({"kind": "status", "status": 503, "html": true}),
        json!({"kind": "status", "status": 502}),
        json!({"kind": "status", "status": 504}),
        json!({"kind": "status", "status": 500}),
        json!({"kind": "html"}),
        json!({"kind": "malformed"}),
        json!({"kind": "truncate"}),
        json!({"kind": "empty"}),
        json!({"kind": "drop_before"}),
        json!({"kind": "drop_after"}),
    ] {
        sandbox.fault("GET", "/v1/jobs", 1, &fault);
        let before = sandbox.state()["by_path"]["/v1/jobs"].as_u64().unwrap_or(0);

        let answer = search(&mut client);

        assert_eq!(rows(&answer, "jobs").len(), 3, "{fault}");
        let after = sandbox.state()["by_path"]["/v1/jobs"].as_u64().unwrap();
        assert_eq!(after - before, 2, "{fault}");
    }
}

#[test]
fn two_failures_in_a_row_are_survived() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    sandbox.fault(
        "GET",
        "/v1/jobs",
        2,
        &json!({"kind": "status", "status": 503}),
    );

    let answer = search(&mut client);

    assert_eq!(rows(&answer, "jobs").len(), 3);
    assert_eq!(sandbox.state()["by_path"]["/v1/jobs"], 3);
}

#[test]
fn a_lasting_failure_is_told_in_words_and_the_next_call_is_fresh() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let kinds = ["job_statuses", "job_categories", "sources", "payment_types"];
    let paths = ["job-statuses", "job-categories", "sources", "payment-types"];
    let faults = [
        json!({"kind": "status", "status": 503, "html": true}),
        json!({"kind": "html"}),
        json!({"kind": "malformed"}),
        json!({"kind": "drop_before"}),
    ];
    for (path, fault) in paths.iter().zip(&faults) {
        sandbox.fault("GET", path, 50, fault);
    }

    let sent: Vec<i64> = kinds
        .iter()
        .map(|kind| client.send_call("list_reference_data", &json!({"kind": kind})))
        .collect();
    let refused: Vec<Refusal> = sent.iter().map(|id| client.refused(*id)).collect();
    sandbox.clear_faults();

    let codes: Vec<&str> = refused.iter().map(Refusal::code).collect();
    assert_eq!(
        codes,
        [
            "upstream_failure",
            "upstream_failure",
            "upstream_failure",
            "unreachable"
        ]
    );
    for refused in &refused {
        assert_eq!(refused.fields["retryable"], true, "{refused:?}");
        assert!(!refused.text.contains('<'), "{refused:?}");
        assert!(!refused.text.contains("127.0.0.1"), "{refused:?}");
        refused.says("try again");
    }
    refused[0].says("503");
    refused[1].says("web page");
    for kind in kinds {
        let answer = client.call("list_reference_data", &json!({"kind": kind}));
        assert!(answer["total"].as_u64().unwrap() > 0);
    }
}

#[test]
fn a_refusal_is_not_tried_again() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (status, code) in [
        (403, "forbidden"),
        (400, "upstream_failure"),
        (404, "not_found"),
    ] {
        let before = sandbox.count("GET", "/v1/customers/7");
        let fault = json!({"kind": "status", "status": status});
        sandbox.fault("GET", "/v1/customers/7", 1, &fault);

        let refused = client.refusal("get_customer", &json!({"customer_id": 7}));

        assert_eq!(refused.code(), code, "{refused:?}");
        assert_eq!(sandbox.count("GET", "/v1/customers/7"), before + 1);
    }
}

#[test]
fn a_429_is_waited_out() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let busy = json!({"kind": "status", "status": 429, "retry_after": 1});
    sandbox.fault("GET", "/v1/jobs", 1, &busy);

    let answer = search(&mut client);

    assert_eq!(rows(&answer, "jobs").len(), 3);
    assert_eq!(sandbox.state()["too_many"], 1);
}

#[test]
fn a_page_that_stays_lost_fails_the_walk_instead_of_shortening_it() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "120"]);
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    search(&mut client);
    sandbox.fault(
        "GET",
        "/v1/jobs",
        500,
        &json!({"kind": "status", "status": 503}),
    );

    let refused = client.refusal("search_jobs", &json!({"unassigned": true}));

    assert_eq!(refused.code(), "upstream_failure");
}

#[test]
fn a_token_that_dies_early_is_renewed_once_for_all_calls() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let ids = job_ids();
    search(&mut client);
    assert_eq!(sandbox.state()["token_requests"], 1);
    sandbox.fault("GET", "/v1/jobs", 1, &json!({"kind": "expire_tokens"}));

    let sent: Vec<i64> = ids
        .iter()
        .take(16)
        .map(|id| client.send_call("get_job", &json!({"job_id": id, "include": []})))
        .collect();

    for id in sent {
        assert!(client.called(id)["job_id"].is_i64());
    }
    assert_eq!(sandbox.state()["token_requests"], 2);
}

#[test]
fn calls_that_start_together_sign_in_once() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let ids = job_ids();

    let sent: Vec<i64> = ids
        .iter()
        .take(16)
        .map(|id| client.send_call("get_job", &json!({"job_id": id, "include": []})))
        .collect();

    for id in sent {
        client.called(id);
    }
    assert_eq!(sandbox.state()["token_requests"], 1);
}

#[test]
fn a_sign_in_service_that_is_down_is_said_to_be_and_is_asked_again() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for fault in [
        json!({"kind": "status", "status": 503, "html": true}),
        json!({"kind": "html"}),
    ] {
        sandbox.fault("POST", "/oauth/access_token", 50, &fault);
        let refused = client.refusal("search_jobs", &json!({}));
        assert_eq!(refused.code(), "unreachable", "{refused:?}");
        refused.says("sign-in service");
        sandbox.clear_faults();
    }
    sandbox.fault(
        "POST",
        "/oauth/access_token",
        1,
        &json!({"kind": "drop_before"}),
    );

    assert_eq!(rows(&search(&mut client), "jobs").len(), 3);
}

#[test]
fn wrong_credentials_are_told_with_what_to_do_and_never_shown() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_CLIENT_SECRET", "not-the-secret-4711")
        .env("SF_MCP_LOG", "trace")
        .start();

    let refused = client.refusal("search_jobs", &json!({}));
    let ended = client.finish();

    assert_eq!(refused.code(), "signed_out", "{refused:?}");
    assert_eq!(refused.fields["retryable"], false);
    refused.says("client id and secret");
    assert!(!refused.text.contains("4711"));
    assert!(!ended.stderr.contains("4711"), "the secret is in the log");
}

#[test]
fn signed_out_the_catalogue_works_and_calls_say_how_to_sign_in() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let unset = "${user_config.client_id}";
    for credentials in [None, Some(""), Some(unset)] {
        let mut serve = Serve::signed_out(&home).env("SF_MCP_API_URL", &sandbox.origin());
        if let Some(text) = credentials {
            serve = serve
                .env("SF_MCP_CLIENT_ID", text)
                .env("SF_MCP_CLIENT_SECRET", text);
        }
        let mut client = serve.start();

        let tools = client.result("tools/list", json!({}));
        let refused = client.refusal("search_jobs", &json!({}));
        let create = client.refusal(
            "create_customer",
            &json!({"name": "A", "allow_duplicate": true}),
        );
        let board = client.refusal("get_dispatch_board", &json!({}));

        assert_eq!(names(&tools), catalogue(&[]));
        for refused in [refused, create, board] {
            assert_eq!(refused.code(), "signed_out", "{refused:?}");
            refused.says("sf-mcp login");
        }
    }
    assert_eq!(sandbox.state()["requests"], 0);
}

#[test]
fn a_company_that_cannot_be_reached_is_said_to_be() {
    let home = Home::new();
    let sandbox = Sandbox::start();
    let mut client = McpClient::start(&sandbox, &home);
    search(&mut client);
    drop(sandbox);

    let refused = client.refusal("search_jobs", &json!({"limit": 4}));

    assert_eq!(refused.code(), "unreachable", "{refused:?}");
    refused.says("network");
}

#[test]
fn a_call_ends_at_its_deadline_and_says_so() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_TIMEOUT", "1")
        .start();
    sandbox.fault("GET", "/v1/jobs", 1, &json!({"kind": "hang"}));
    sandbox.fault(
        "GET",
        "/v1/customers",
        1,
        &json!({"kind": "latency", "ms": 20_000}),
    );

    let hanging = client.send_call("search_jobs", &json!({}));
    let slow = client.send_call("search_customers", &json!({}));

    for id in [hanging, slow] {
        let refused = client.refused(id);
        assert_eq!(refused.code(), "timeout", "{refused:?}");
        refused.says("within 1 s");
    }
    sandbox.wait_for(|state| state["in_flight"] == 0);
    assert_eq!(rows(&search(&mut client), "jobs").len(), 3);
}

#[test]
fn equal_reads_in_flight_are_one_request() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    sandbox.fault("GET", "/v1/jobs", 1, &json!({"kind": "latency", "ms": 400}));

    let sent: Vec<i64> = (0..20)
        .map(|_| client.send_call("search_jobs", &json!({"limit": 5})))
        .collect();
    let answers: Vec<Value> = sent.iter().map(|id| client.called(*id)).collect();

    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(sandbox.state()["by_path"]["/v1/jobs"], 1);
}

#[test]
fn reference_lists_are_read_once() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for _ in 0..5 {
        client.call("list_reference_data", &json!({"kind": "job_statuses"}));
        client.call("search_jobs", &json!({"status": "open", "limit": 1}));
    }

    assert_eq!(sandbox.state()["by_path"]["/v1/job-statuses"], 1);
}

#[test]
fn a_burst_of_200_calls_against_60_a_window_succeeds_without_one_429() {
    let ids = job_ids();
    let sandbox = Sandbox::with(&["--requests", "60", "--window-ms", "1500"]);
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_RATE_WINDOW_MS", "1500")
        .start();

    let sent: Vec<i64> = ids
        .iter()
        .take(200)
        .map(|id| client.send_call("get_job", &json!({"job_id": id, "include": []})))
        .collect();
    for id in &sent {
        client.called(*id);
    }

    assert_eq!(sent.len(), 200);
    let state = sandbox.state();
    assert_eq!(state["too_many"], 0);
    assert_eq!(state["by_operation"]["GET /jobs/{job-id}"], 200);
}

#[test]
fn several_processes_of_one_profile_share_the_allowance() {
    let ids = job_ids();
    let sandbox = Sandbox::with(&["--requests", "60", "--window-ms", "1500"]);
    let home = Home::new();
    let mut clients: Vec<McpClient> = (0..4)
        .map(|_| {
            Serve::to(&sandbox, &home)
                .env("SF_MCP_RATE_WINDOW_MS", "1500")
                .start()
        })
        .collect();

    let sent: Vec<(usize, i64)> = ids
        .iter()
        .take(160)
        .enumerate()
        .map(|(index, id)| {
            let arguments = json!({"job_id": id, "include": []});
            (
                index % 4,
                clients[index % 4].send_call("get_job", &arguments),
            )
        })
        .collect();
    for (index, id) in sent {
        clients[index].called(id);
    }

    assert_eq!(sandbox.state()["too_many"], 0);
}

#[test]
fn a_call_whose_turn_comes_too_late_is_told_how_long_to_wait() {
    let ids = job_ids();
    let sandbox = Sandbox::with(&["--requests", "60"]);
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_TIMEOUT", "5")
        .start();

    let sent: Vec<i64> = ids
        .iter()
        .take(70)
        .map(|id| client.send_call("get_job", &json!({"job_id": id, "include": []})))
        .collect();
    let answers: Vec<Value> = sent.iter().map(|id| client.answer(*id)).collect();

    let failed: Vec<&Value> = answers
        .iter()
        .map(|answer| &answer["result"])
        .filter(|result| result["isError"] == true)
        .collect();
    assert_eq!(failed.len(), 10);
    for result in failed {
        let fields = &result["structuredContent"];
        assert_eq!(fields["code"], "rate_limited");
        assert_eq!(fields["retryable"], true);
        let seconds = fields["retry_after_s"].as_u64().unwrap();
        assert!((1..=62).contains(&seconds), "{seconds}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(&format!("{seconds} s")), "{text}");
    }
    assert_eq!(sandbox.state()["too_many"], 0);
}
