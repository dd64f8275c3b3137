//! Replicas that are killed, stopped and started again while calls come in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::{LEGACY, MODERN, ScaledOut, asked, customers, is_possible, marked, message, told};
use crate::support::until;

const CALLERS: usize = 12;

/// What became of the creates of one caller, by name.
#[derive(Debug, Default)]
struct Outcomes {
    made: Vec<String>,
    failed: Vec<String>,
}

/// Creates customers one after another; what fails is not tried again.
async fn create(scaled: &ScaledOut, caller: usize, token: &str, made: &AtomicUsize) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for number in 0..10 {
        let name = format!("Zq {caller} {number}");
        let arguments = json!({"name": name, "allow_duplicate": true});
        let era = if number % 2 == 0 { MODERN } else { LEGACY };
        let create = message(era, number, "create_customer", &arguments);
        let told = scaled.call(token, &create).await;
        let result = &told.body["result"];
        if result["structuredContent"]["created"] == true {
            assert_eq!(told.body["id"], number, "{}", told.text);
            made.fetch_add(1, Ordering::Relaxed);
            outcomes.made.push(name);
            continue;
        }
        // In words that a client and its model understand.
        assert!(matches!(told.status, 200 | 502), "{}", told.text);
        assert_eq!(told.body["error"]["code"], -32603, "{}", told.text);
        assert_eq!(told.body["error"]["data"]["retry"], "reads only");
        outcomes.failed.push(name);
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_fails_its_own_calls_in_words_and_nothing_is_created_twice() {
    if !is_possible() {
        return;
    }
    let mut scaled = ScaledOut::start().await;
    let tokens = scaled.connected("owner@example.com", CALLERS).await;
    let slow = json!([{"match": {"path_contains": "/v1/customers"}, "times": 100_000, "kind": "latency", "ms": 40}]);
    scaled.faults(&slow).await;
    // The one that the first caller's calls go to.
    let first = scaled.call(&tokens[0], &marked(LEGACY, 1, "Elm")).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let address = &scaled.nginx.logged(&first.headers).await.to[0];
    let number = scaled.number_of(address);
    let mut victim = scaled.replicas[number].take().unwrap();

    let made = AtomicUsize::new(0);
    let creating = tokens.iter().enumerate();
    let creating = creating.map(|(caller, token)| create(&scaled, caller, token, &made));
    let killing = async {
        until("some customers", async || {
            (made.load(Ordering::Relaxed) >= CALLERS).then_some(())
        })
        .await;
        victim.kill();
    };
    let (all, ()) = tokio::join!(futures_util::future::join_all(creating), killing);
    scaled.faults(&json!([])).await;
    let failed: usize = all.iter().map(|outcomes| outcomes.failed.len()).sum();
    assert!((1..=CALLERS).contains(&failed), "{all:?}");
    let customers = customers(&scaled).await;
    for outcomes in &all {
        assert!(
            outcomes.failed.len() <= 1,
            "the next call succeeds: {outcomes:?}"
        );
        for name in &outcomes.made {
            assert_eq!(customers.get(name), Some(&1), "{name}");
        }
        for name in &outcomes.failed {
            assert!(
                customers.get(name).is_none_or(|count| *count == 1),
                "{name}"
            );
        }
    }
}

/// A client of the site, while the replicas change hands.
struct Caller<'a> {
    http: reqwest::Client,
    url: String,
    number: usize,
    /// Used in turn: which replica a token leads to is chance.
    tokens: &'a [String],
}

impl Caller<'_> {
    /// Calls one after another until told to stop; returns how many there were, and what was not as it should be.
    async fn keep_calling(&self, stop: &AtomicBool) -> (u64, Vec<String>) {
        let (mut calls, mut wrong) = (0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            calls += 1;
            let era = if calls % 2 == 0 { MODERN } else { LEGACY };
            let mark = format!("Zq {} {calls}", self.number);
            let token = &self.tokens[usize::try_from(calls).unwrap() % self.tokens.len()];
            let request = asked(&self.http, &self.url, token, &marked(era, calls, &mark));
            let told = told(request).await;
            if told.status != 200 || told.body["id"] != calls || !told.text.contains(&mark) {
                wrong.push(format!("{}: {} {}", told.status, mark, told.text));
            }
        }
        (calls, wrong)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_and_every_call_is_counted_once() {
    if !is_possible() {
        return;
    }
    let mut scaled = ScaledOut::start().await;
    let tokens = scaled.connected("owner@example.com", CALLERS * 4).await;
    let stop = AtomicBool::new(false);
    let callers: Vec<Caller<'_>> = tokens
        .chunks(4)
        .enumerate()
        .map(|(number, tokens)| Caller {
            http: scaled.http.clone(),
            url: scaled.url.clone(),
            number,
            tokens,
        })
        .collect();
    let calling = callers.iter().map(|caller| caller.keep_calling(&stop));
    let restarting = async {
        for number in 0..3 {
            scaled.stop(number).await;
            scaled.start_again(number).await;
            // As the site says: not before nginx asks this one again.
            let before = scaled.answers_of(number);
            until("calls at the replica", async || {
                (scaled.answers_of(number) > before).then_some(())
            })
            .await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(calling), restarting);
    let mut calls = 0;
    for (made, wrong) in outcomes {
        assert!(wrong.is_empty(), "{wrong:?}: {}", scaled.nginx.errors());
        assert!(made > 0);
        calls += made;
    }
    for number in 0..3 {
        scaled.stop(number).await;
    }
    assert_eq!(scaled.counted().await, i64::try_from(calls).unwrap());
}
