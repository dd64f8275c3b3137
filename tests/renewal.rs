//! Renewing the sign-in: once for all processes, and never at the price of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sf_mcp::auth::vault::Secrets;

use crate::support::{
    HANG_GUARD, Home, McpClient, Sandbox, moments, rounds,
    sign_in::{
        GRANTS, Grant, command, expire_at_next_search, log_in, login_with, profile, serve, server,
        status, token_requests, wait_for_token_requests,
    },
};

/// A company without a request limit, and somebody signed in to it.
fn signed_in(grant: Grant) -> (Sandbox, Home) {
    signed_in_with(grant, &[])
}

fn signed_in_with(grant: Grant, flags: &[&str]) -> (Sandbox, Home) {
    let sandbox = Sandbox::with(&[&["--requests", "0"], flags].concat());
    let home = Home::new();
    grant.log_in(&sandbox, &home);
    (sandbox, home)
}

fn search(client: &mut McpClient) -> Value {
    client.call("search_jobs", &json!({"limit": 1}))
}

/// `Err` holds what a call that failed says.
fn try_search(client: &mut McpClient) -> Result<(), String> {
    let answer = client.answer_to_call("search_jobs", &json!({"limit": 1}));
    let result = &answer["result"];
    if result["isError"] == true {
        return Err(result["content"][0]["text"].as_str().unwrap().to_owned());
    }
    assert!(result["structuredContent"]["total"].is_number(), "{answer}");
    Ok(())
}

fn spoil_renewals(sandbox: &Sandbox, grant: Grant, times: u32, fault: &Value) {
    let mut fault = fault.clone();
    fault["match"] = json!({"grant": grant.of_renewal()});
    fault["times"] = json!(times);
    sandbox.faults(&json!([fault]));
}

fn nothing_was_spent_twice(sandbox: &Sandbox) {
    assert_eq!(sandbox.state()["refresh_reuse"], 0);
}

fn sixteen_processes_renew_once_each_round(grant: Grant) {
    let (sandbox, home) = signed_in(grant);
    let mut clients: Vec<McpClient> = (0..16).map(|_| server(&sandbox, &home)).collect();
    for client in &mut clients {
        search(client);
    }

    for round in 0..rounds(2) {
        let before = token_requests(&sandbox);
        expire_at_next_search(&sandbox);
        let calls: Vec<Vec<i64>> = clients
            .iter_mut()
            .map(|client| {
                (1..=8)
                    .map(|limit| client.send_call("search_jobs", &json!({"limit": limit})))
                    .collect()
            })
            .collect();
        for (client, calls) in clients.iter_mut().zip(calls) {
            for id in calls {
                assert!(client.called(id)["total"].is_number());
            }
        }
        assert_eq!(token_requests(&sandbox) - before, 1, "round {round}");
    }

    nothing_was_spent_twice(&sandbox);
}

#[test]
fn sixteen_processes_with_a_secret_renew_once_each_round() {
    sixteen_processes_renew_once_each_round(Grant::ClientCredentials);
}

#[test]
fn sixteen_processes_with_a_browser_login_renew_once_each_round() {
    sixteen_processes_renew_once_each_round(Grant::Browser);
}

/// Kills a server somewhere in a renewal and returns what the one beside it says then.
fn kill_in_a_renewal(
    sandbox: &Sandbox,
    home: &Home,
    witness: &mut McpClient,
    grant: Grant,
    moment: Duration,
) -> Result<(), String> {
    let mut victim = server(sandbox, home);
    search(&mut victim);
    let before = token_requests(sandbox);
    spoil_renewals(
        sandbox,
        grant,
        1,
        &json!({"kind": "latency", "ms": moment.as_millis() % 7}),
    );
    expire_at_next_search(sandbox);
    victim.send_call("search_jobs", &json!({"limit": 1}));
    if moment.as_micros().is_multiple_of(2) {
        wait_for_token_requests(sandbox, before + 1);
    }
    victim.wait_at_most(moment);
    drop(victim);
    sandbox.clear_faults();

    let found = status(sandbox, home);
    assert!(found["account"].is_string(), "{found}");
    let outcome = try_search(witness);
    nothing_was_spent_twice(sandbox);
    outcome
}

/// Moments of up to 15 ms, other ones in every run.
fn moments_of_renewals() -> impl Iterator<Item = Duration> {
    moments(rounds(50), Duration::from_millis(15))
}

#[test]
fn a_server_killed_in_a_renewal_costs_a_secret_nothing() {
    let grant = Grant::ClientCredentials;
    let (sandbox, home) = signed_in(grant);
    let mut witness = server(&sandbox, &home);

    for moment in moments_of_renewals() {
        let outcome = kill_in_a_renewal(&sandbox, &home, &mut witness, grant, moment);
        assert_eq!(outcome, Ok(()), "killed after {moment:?}");
    }
}

#[test]
fn a_server_killed_in_a_renewal_costs_a_browser_login_at_most_another_login() {
    let grant = Grant::Browser;
    let (sandbox, home) = signed_in(grant);
    let mut witness = server(&sandbox, &home);

    for moment in moments_of_renewals() {
        let outcome = kill_in_a_renewal(&sandbox, &home, &mut witness, grant, moment);
        if let Err(text) = outcome {
            assert!(text.contains("sf-mcp login"), "{moment:?}: {text}");
            assert_eq!(status(&sandbox, &home)["signed_in"], false);
            grant.log_in(&sandbox, &home);
            search(&mut witness);
        }
    }
}

/// A server that ends at that step of a renewal, as if killed.
fn die_in_a_renewal(sandbox: &Sandbox, home: &Home, step: &str) {
    let mut victim = serve(sandbox, home).env("SF_MCP_STOP_AT", step).start();
    search(&mut victim);
    expire_at_next_search(sandbox);
    victim.send_call("search_jobs", &json!({"limit": 1}));
    let code = victim.ended().status.code();
    assert!(!matches!(code, Some(0..=4)), "{step}: {code:?}");
}

#[test]
fn a_server_that_dies_at_a_step_of_a_renewal_costs_no_more_than_it_must() {
    const STEPS: [(&str, bool); 5] = [
        ("lock taken", true),
        ("intent written", false),
        ("answer received", false),
        ("tokens written", true),
        ("lock released", true),
    ];
    of_both_grants(|grant| {
        for (step, is_kept) in STEPS {
            let (sandbox, home) = signed_in(grant);
            let mut witness = server(&sandbox, &home);
            search(&mut witness);

            die_in_a_renewal(&sandbox, &home, step);

            assert!(status(&sandbox, &home)["account"].is_string(), "{step}");
            let outcomes = [
                try_search(&mut witness),
                try_search(&mut server(&sandbox, &home)),
            ];
            if is_kept || grant == Grant::ClientCredentials {
                assert_eq!(outcomes, [Ok(()), Ok(())], "{grant:?} {step}");
            } else {
                for outcome in outcomes {
                    let text = outcome.unwrap_err();
                    assert!(text.contains("sf-mcp login"), "{step}: {text}");
                }
                grant.log_in(&sandbox, &home);
                search(&mut witness);
            }
            nothing_was_spent_twice(&sandbox);
        }
    });
}

/// Runs the test of both grants at once: they wait more than they work.
fn of_both_grants(test: impl Fn(Grant) + Sync) {
    std::thread::scope(|scope| {
        for grant in GRANTS {
            scope.spawn({
                let test = &test;
                move || test(grant)
            });
        }
    });
}

#[test]
fn short_lived_tokens_are_renewed_about_once_in_a_life() {
    const LIFE: u32 = 2;
    of_both_grants(|grant| {
        let (sandbox, home) = signed_in_with(grant, &["--token-life", &LIFE.to_string()]);
        let mut clients = [server(&sandbox, &home), server(&sandbox, &home)];
        let before = token_requests(&sandbox);
        let asked = || u32::try_from(token_requests(&sandbox) - before).unwrap();

        let started = Instant::now();
        while asked() < 3 {
            for client in &mut clients {
                search(client);
                client.wait_at_most(Duration::from_millis(20));
            }
            assert!(started.elapsed() < HANG_GUARD, "{grant:?}: {}", asked());
        }

        // Renewing begins before the end of a life, at the earliest after half of it.
        let lives = started.elapsed().as_secs_f64() / f64::from(LIFE);
        assert!(
            f64::from(asked()) <= 2.0 * lives + 1.0,
            "{grant:?}: {} in {lives} lives",
            asked()
        );
        nothing_was_spent_twice(&sandbox);
    });
}

#[test]
fn a_renewal_ahead_of_time_keeps_no_call_waiting() {
    of_both_grants(|grant| {
        let (sandbox, home) = signed_in(grant);
        let profile = profile(&sandbox, &home);
        let opened = profile.open(None).unwrap();
        // It is time to renew, and to wait for that only in three minutes.
        let secrets = Secrets {
            expires_at: jiff::Timestamp::now().as_millisecond() + 4 * 60_000,
            ..opened.secrets
        };
        let (kind, place) = (opened.head.kind, opened.head.place);
        profile
            .vault
            .store(kind, place, &opened.key, &secrets)
            .unwrap();
        let before = token_requests(&sandbox);
        spoil_renewals(&sandbox, grant, 1, &json!({"kind": "hang"}));
        let mut client = server(&sandbox, &home);

        // The first call reads the token, the second one finds that its end is near.
        search(&mut client);
        search(&mut client);
        wait_for_token_requests(&sandbox, before + 1);
        for limit in 1..=8 {
            let answer = client.call("search_jobs", &json!({"limit": limit}));
            assert!(answer["total"].is_number());
        }

        assert_eq!(token_requests(&sandbox), before + 1, "{grant:?}");
    });
}

#[test]
fn an_api_that_accepts_no_token_is_told_and_not_answered_with_a_flood() {
    for grant in GRANTS {
        let (sandbox, home) = signed_in(grant);
        let mut client = server(&sandbox, &home);
        search(&mut client);
        let before = token_requests(&sandbox);
        sandbox.fault(
            "GET",
            "/v1/",
            10_000,
            &json!({"kind": "status", "status": 401}),
        );

        for _ in 0..4 {
            let sent: Vec<i64> = (1..=8)
                .map(|limit| client.send_call("search_jobs", &json!({"limit": limit})))
                .collect();
            for id in sent {
                let refused = client.refused(id);
                assert_eq!(refused.code(), "signed_out", "{refused:?}");
                refused.says("no longer accepts the sign-in");
            }
        }

        let asked = token_requests(&sandbox) - before;
        assert!(asked <= 8, "{grant:?}: {asked} token requests for 32 calls");
        sandbox.clear_faults();
        search(&mut client);
        nothing_was_spent_twice(&sandbox);
    }
}

#[test]
fn a_token_endpoint_that_refuses_for_now_costs_nothing() {
    of_both_grants(|grant| {
        for fault in [
            json!({"kind": "status", "status": 500}),
            json!({"kind": "status", "status": 503, "html": true}),
            json!({"kind": "status", "status": 403, "html": true}),
            json!({"kind": "status", "status": 429, "retry_after": 1}),
        ] {
            let (sandbox, home) = signed_in(grant);
            let mut client = server(&sandbox, &home);
            search(&mut client);
            spoil_renewals(&sandbox, grant, 1_000, &fault);
            expire_at_next_search(&sandbox);

            let refused = client.refusal("search_jobs", &json!({"limit": 1}));

            assert_eq!(
                refused.fields["retryable"], true,
                "{grant:?} {fault}: {refused:?}"
            );
            assert!(
                token_requests(&sandbox) <= 9,
                "{grant:?} {fault}: the endpoint was flooded"
            );
            assert_eq!(
                status(&sandbox, &home)["signed_in"],
                true,
                "{grant:?} {fault}"
            );
            sandbox.clear_faults();
            search(&mut client);
            nothing_was_spent_twice(&sandbox);
        }
    });
}

#[test]
fn a_renewal_without_a_readable_answer_is_healed_or_asks_for_a_login() {
    for grant in GRANTS {
        for fault in [
            json!({"kind": "html"}),
            json!({"kind": "malformed"}),
            json!({"kind": "empty"}),
            json!({"kind": "drop_before"}),
            json!({"kind": "drop_after"}),
            json!({"kind": "status", "status": 502, "html": true}),
            json!({"kind": "status", "status": 504}),
        ] {
            let (sandbox, home) = signed_in(grant);
            let mut client = server(&sandbox, &home);
            search(&mut client);
            spoil_renewals(&sandbox, grant, 1, &fault);
            expire_at_next_search(&sandbox);

            let first = try_search(&mut client);
            let second = try_search(&mut client);

            match grant {
                Grant::ClientCredentials => assert_eq!(second, Ok(()), "{fault}: {first:?}"),
                Grant::Browser => {
                    for text in [first, second].into_iter().filter_map(Result::err) {
                        assert!(text.contains("sf-mcp login"), "{fault}: {text}");
                    }
                }
            }
            nothing_was_spent_twice(&sandbox);
        }
    }
}

#[test]
fn a_token_endpoint_that_never_answers_holds_a_call_no_longer_than_it_may_take() {
    of_both_grants(|grant| {
        let (sandbox, home) = signed_in(grant);
        let mut client = serve(&sandbox, &home).env("SF_MCP_TIMEOUT", "2").start();
        search(&mut client);
        spoil_renewals(&sandbox, grant, 1, &json!({"kind": "hang"}));
        expire_at_next_search(&sandbox);

        // The token request itself would go on for half a minute and say so otherwise.
        let refused = client.refusal("search_jobs", &json!({"limit": 1}));

        assert_eq!(refused.code(), "timeout", "{grant:?}: {refused:?}");
        nothing_was_spent_twice(&sandbox);
    });
}

/// A browser login whose renewal is under way and takes a while.
fn amid_a_slow_renewal() -> (Sandbox, Home, McpClient, i64) {
    let (sandbox, home) = signed_in(Grant::Browser);
    let mut client = server(&sandbox, &home);
    search(&mut client);
    let before = token_requests(&sandbox);
    let slow = json!({"kind": "latency", "ms": 700});
    spoil_renewals(&sandbox, Grant::Browser, 1, &slow);
    expire_at_next_search(&sandbox);
    let id = client.send_call("search_jobs", &json!({"limit": 1}));
    wait_for_token_requests(&sandbox, before + 1);
    (sandbox, home, client, id)
}

#[test]
fn a_call_given_up_in_a_renewal_does_not_cost_the_sign_in() {
    let (sandbox, _home, mut client, id) = amid_a_slow_renewal();

    client.notify("notifications/cancelled", &json!({"requestId": id}));

    assert_eq!(try_search(&mut client), Ok(()));
    nothing_was_spent_twice(&sandbox);
}

#[test]
fn a_call_out_of_time_in_a_renewal_does_not_cost_the_sign_in() {
    let (sandbox, home) = signed_in(Grant::Browser);
    let mut client = serve(&sandbox, &home).env("SF_MCP_TIMEOUT", "1").start();
    search(&mut client);
    let slow = json!({"kind": "latency", "ms": 1500});
    spoil_renewals(&sandbox, Grant::Browser, 1, &slow);
    expire_at_next_search(&sandbox);

    let refused = client.refusal("search_jobs", &json!({"limit": 1}));

    assert_eq!(refused.code(), "timeout", "{refused:?}");
    assert_eq!(try_search(&mut client), Ok(()));
    nothing_was_spent_twice(&sandbox);
}

#[test]
fn a_client_that_leaves_in_a_renewal_does_not_cost_the_sign_in() {
    let (sandbox, home, client, _) = amid_a_slow_renewal();

    client.finish();

    assert_eq!(try_search(&mut server(&sandbox, &home)), Ok(()));
    nothing_was_spent_twice(&sandbox);
}

#[test]
fn a_login_during_a_renewal_wins() {
    let (sandbox, home, mut client, id) = amid_a_slow_renewal();

    let ran = login_with(&sandbox, &home, "sandbox-consumer-secret");

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(client.called(id)["total"].is_number());
    assert_eq!(status(&sandbox, &home)["source"], "client_credentials");
    expire_at_next_search(&sandbox);
    search(&mut client);
    assert_eq!(status(&sandbox, &home)["source"], "client_credentials");
    nothing_was_spent_twice(&sandbox);
}

#[test]
fn a_logout_during_a_renewal_wins() {
    let (sandbox, home, mut client, id) = amid_a_slow_renewal();

    let out = command(&sandbox, &home, &["logout"]).output().unwrap();

    assert!(out.status.success());
    client.answer(id);
    client
        .refusal("search_jobs", &json!({"limit": 1}))
        .says("nobody is signed in");
    let found = status(&sandbox, &home);
    assert_eq!(found["signed_in"], false);
    assert!(found["account"].is_null(), "{found}");

    log_in(&sandbox, &home);
    search(&mut client);
}
