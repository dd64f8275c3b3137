//! Children that die, hang, flood and lie: their own calls fail in words, and nobody else notices.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use sf_supervisor::{children, store::Setup};

use super::{
    ask, company, modern, post,
    scripted::{Diary, Scripted, call, children_of, gone, is_gone, keep, kill, runs},
};
use crate::support::until;

/// The process that serves the company.
async fn process(scripted: &Scripted, token: &str) -> u32 {
    let (_, answer) = ask(&scripted.service, token, &call(0, "echo", json!({}))).await;
    u32::try_from(answer["result"]["process"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_killed_child_fails_its_own_calls_in_words_and_the_next_call_works() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let other = company(service, "other@example.com").await;
    let undisturbed = process(&scripted, &other).await;
    let killed = process(&scripted, &token).await;
    let waiting: Vec<_> = (0..20)
        .map(|id| tokio::spawn(post(service, &token, &call(id, "hold", json!({}))).send()))
        .collect();
    let mut streamed = modern(
        &json!("s"),
        "tools/call",
        json!({"name": "hold", "arguments": {}}),
    );
    streamed["params"]["_meta"]["progressToken"] = json!(1);
    let streamed = post(service, &token, &streamed).send().await.unwrap();
    let theirs = tokio::spawn(post(service, &other, &call(1, "hold", json!({}))).send());
    scripted.diary.written("held", 22).await;

    kill(killed);
    for (id, call) in waiting.into_iter().enumerate() {
        let answer: Value = call
            .await
            .unwrap()
            .unwrap()
            .text()
            .await
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(answer["id"], id);
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(said.contains("stopped before it answered"), "{said}");
        assert_eq!(answer["error"]["data"]["retry"], "reads only");
    }
    let events = streamed.text().await.unwrap();
    assert!(events.contains("\"id\":\"s\",\"error\""), "{events}");
    let next = process(&scripted, &token).await;
    assert_ne!(next, killed);
    gone(killed).await;
    assert!(!theirs.is_finished());
    ask(service, &other, &call(1, "release", json!({}))).await;
    assert_eq!(theirs.await.unwrap().unwrap().status(), 200);
    assert_eq!(process(&scripted, &other).await, undisturbed);
}

#[tokio::test]
async fn a_write_is_never_sent_twice() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let (status, answer) = ask(service, &token, &call(1, "write", json!({}))).await;
    assert_eq!(status, 200);
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(said.contains("search whether it exists"), "{said}");
    process(&scripted, &token).await;
    assert_eq!(scripted.diary.who("written").len(), 1);
}

#[tokio::test]
async fn a_child_that_dies_again_and_again_is_given_a_rest() {
    let diary = Diary::new();
    let children = diary.children(&["exit"], keep(10, Duration::from_mins(10)));
    for _ in 0..3 {
        let problem = children.get("ten_1", Setup::default()).await.unwrap_err();
        assert!(matches!(problem, children::Error::Child(_)), "{problem}");
    }
    for _ in 0..50 {
        let problem = children
            .get("ten_1", Setup::default())
            .await
            .unwrap_err()
            .to_string();
        assert!(problem.contains("failed 3 times in a row"), "{problem}");
    }
    assert_eq!(diary.who("started").len(), 3);
    for process in diary.who("started") {
        gone(process).await;
    }
    assert!(children.list().is_empty());
}

#[tokio::test]
async fn a_child_that_does_not_serve_is_ended_at_once() {
    let diary = Diary::new();
    let children = diary.children(&["refuse"], keep(10, Duration::from_mins(10)));
    let problem = children
        .get("ten_1", Setup::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(problem.contains("does not speak MCP"), "{problem}");
    gone(diary.who("started")[0]).await;
}

#[tokio::test]
async fn a_caller_who_leaves_during_the_start_neither_ends_it_nor_loses_it() {
    let diary = Diary::new();
    let children = diary.children(&[], keep(10, Duration::from_mins(10)));
    for _ in 0..5 {
        let left =
            tokio::time::timeout(Duration::ZERO, children.get("ten_1", Setup::default())).await;
        assert!(left.is_err());
    }
    let child = children.get("ten_1", Setup::default()).await.unwrap();
    assert_eq!(diary.who("started"), [child.process()]);
    children.drain().await;
    assert!(is_gone(child.process()));
}

#[tokio::test]
async fn draining_ends_a_child_that_is_just_starting() {
    let diary = Diary::new();
    let children = diary.children(&[], keep(10, Duration::from_mins(10)));
    let left = tokio::time::timeout(Duration::ZERO, children.get("ten_1", Setup::default())).await;
    assert!(left.is_err());
    diary.written("started", 1).await;
    children.drain().await;
    assert!(is_gone(diary.who("started")[0]));
    assert_eq!(
        children.get("ten_1", Setup::default()).await.unwrap_err(),
        children::Error::Stopping
    );
}

#[tokio::test]
async fn callers_who_come_together_wait_for_one_start() {
    let diary = Diary::new();
    let children = diary.children(&[], keep(10, Duration::from_mins(10)));
    let all = (0..50).map(|_| children.get("ten_1", Setup::default()));
    let processes: HashSet<u32> = futures_util::future::join_all(all)
        .await
        .into_iter()
        .map(|child| child.unwrap().process())
        .collect();
    assert_eq!(processes.len(), 1);
    assert_eq!(diary.who("started").len(), 1);
    children.drain().await;
}

#[tokio::test]
async fn there_are_never_more_children_than_allowed() {
    let diary = Diary::new();
    let children = diary.children(&[], keep(4, Duration::from_mins(10)));
    let names: Vec<String> = (0..12).map(|number| format!("ten_{number}")).collect();
    let all = names
        .iter()
        .map(|name| children.get(name, Setup::default()));
    let outcomes = futures_util::future::join_all(all).await;
    assert!(children.list().len() <= 4, "{:?}", children.list());
    for outcome in outcomes {
        match outcome {
            Ok(_) | Err(children::Error::Full(4)) => {}
            Err(problem) => panic!("{problem}"),
        }
    }
    // One after another everybody is served, and those who wait longest make room.
    for round in 0..2 {
        for name in &names {
            let child = children.get(name, Setup::default()).await;
            assert!(child.is_ok(), "round {round}: {child:?}");
            assert!(children.list().len() <= 4);
        }
    }
    let oldest = children.list().into_iter().map(|(tenant, ..)| tenant);
    assert_eq!(
        oldest.collect::<Vec<_>>(),
        ["ten_10", "ten_11", "ten_8", "ten_9"]
    );
    children.drain().await;
    for process in diary.who("started") {
        gone(process).await;
    }
}

#[tokio::test]
async fn a_busy_child_makes_no_room() {
    let diary = Diary::new();
    let children = diary.children(&[], keep(1, Duration::from_mins(10)));
    let busy = children.get("ten_1", Setup::default()).await.unwrap();
    let call = busy.call(None, None, hold).await.unwrap();
    assert_eq!(
        children.get("ten_2", Setup::default()).await.unwrap_err(),
        children::Error::Full(1)
    );
    drop(call);
    let next = children.get("ten_2", Setup::default()).await.unwrap();
    assert_ne!(next.process(), busy.process());
    busy.stop().await;
    assert!(is_gone(busy.process()));
    children.drain().await;
}

fn hold(id: u64) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "hold", "arguments": {}, "_meta": {}}})
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn a_child_that_nobody_asks_ends_and_comes_back_when_asked() {
    let diary = Diary::new();
    let children = diary.children(&[], keep(10, Duration::from_millis(200)));
    let idle = children.get("ten_1", Setup::default()).await.unwrap();
    let busy = children.get("ten_2", Setup::default()).await.unwrap();
    let _call = busy.call(None, None, hold).await.unwrap();
    gone(idle.process()).await;
    assert!(runs(busy.process()));
    // Ended on purpose, it has not failed: it comes back as often as is needed.
    for _ in 0..4 {
        let child = children.get("ten_1", Setup::default()).await.unwrap();
        gone(child.process()).await;
    }
    children.drain().await;
    assert!(is_gone(busy.process()));
}

#[tokio::test]
async fn what_a_child_says_to_nobody_reaches_nobody() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let held = tokio::spawn(post(service, &token, &call("h", "hold", json!({}))).send());
    scripted.diary.written("held", 1).await;
    // Among other things it answers every number that may be in flight, and that is its right.
    let (status, answer) = ask(service, &token, &call(5, "junk", json!({"mine": true}))).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": 5, "result": {"said": {"mine": true}}})
    );
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    assert_eq!(
        ask(service, &token, &call(6, "echo", json!({"n": 1})))
            .await
            .1["result"]["said"]["n"],
        1
    );
    assert_eq!(scripted.diary.who("started").len(), 1);
}

#[tokio::test]
async fn foreign_ids_reach_no_other_company() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let other = company(service, "other@example.com").await;
    let theirs =
        tokio::spawn(post(service, &other, &call(2, "hold", json!({"their": "own"}))).send());
    scripted.diary.written("held", 1).await;
    ask(service, &token, &call(2, "junk", json!({}))).await;
    assert!(!theirs.is_finished());
    ask(service, &other, &call(3, "release", json!({}))).await;
    let answer: Value = theirs
        .await
        .unwrap()
        .unwrap()
        .text()
        .await
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(answer["result"]["said"], json!({"their": "own"}));
}

#[tokio::test]
async fn a_child_that_floods_disturbs_no_other_company() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let other = company(service, "other@example.com").await;
    let mut flood = call(1, "flood", json!({"mine": 1}));
    flood["params"]["_meta"] = json!({"progressToken": "p"});
    let flooded = tokio::spawn(post(service, &token, &flood).send());
    for id in 0..30 {
        assert_eq!(
            ask(service, &other, &call(id, "echo", json!({}))).await.0,
            200
        );
    }
    let text = flooded.await.unwrap().unwrap().text().await.unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.contains(r#""id":1,"result":"#), "{last}");
}

#[tokio::test]
async fn a_line_that_is_too_long_ends_the_child() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let first = process(&scripted, &token).await;
    let wide = call(1, "wide", json!({"bytes": 10 * 1024 * 1024}));
    let (_, answer) = ask(service, &token, &wide).await;
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    gone(first).await;
    assert_ne!(process(&scripted, &token).await, first);
}

#[tokio::test]
async fn a_child_that_closes_its_output_is_ended() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let first = process(&scripted, &token).await;
    let (_, answer) = ask(service, &token, &call(1, "close", json!({}))).await;
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    gone(first).await;
}

#[tokio::test]
async fn what_a_child_started_ends_with_it() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let first = process(&scripted, &token).await;
    ask(service, &token, &call(1, "child", json!({}))).await;
    let grandchildren = children_of(first);
    assert_eq!(grandchildren.len(), 1);
    kill(first);
    gone(first).await;
    until("end of the grandchild", async || {
        (!runs(grandchildren[0])).then_some(())
    })
    .await;
    assert_eq!(
        ask(service, &token, &call(1, "echo", json!({}))).await.0,
        200
    );
}

/// The paused clock jumps to the next timer whenever everybody waits.
#[tokio::test]
async fn a_child_that_hangs_is_replaced_once_a_call_is_late() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let first = process(&scripted, &token).await;
    let stuck = tokio::spawn(post(service, &token, &call(1, "stuck", json!({}))).send());
    scripted.diary.written("stuck", 1).await;
    let begin = tokio::time::Instant::now();
    tokio::time::pause();
    let answer = stuck.await.unwrap().unwrap();
    assert!(
        (54..=56).contains(&begin.elapsed().as_secs()),
        "{:?}",
        begin.elapsed()
    );
    let answer: Value = answer.text().await.unwrap().parse().unwrap();
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(said.contains("within 55 s"), "{said}");
    let tenant = service.app.children.list()[0].0.clone();
    let child = service.app.children.living(&tenant).unwrap();
    child.ended().await;
    tokio::time::resume();
    gone(first).await;
    assert_ne!(process(&scripted, &token).await, first);
}

#[tokio::test]
async fn a_slow_call_is_cancelled_at_its_deadline_and_the_child_stays() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let first = process(&scripted, &token).await;
    let message = modern(
        &json!(1),
        "tools/call",
        json!({"name": "hold", "arguments": {}}),
    );
    let slow = tokio::spawn(post(service, &token, &message).send());
    // A legacy client that left: its call does not go on for ever.
    let mut left = call(2, "hold", json!({}));
    left["params"]["_meta"] = json!({"progressToken": 1});
    drop(post(service, &token, &left).send().await.unwrap());
    scripted.diary.written("held", 2).await;
    tokio::time::pause();
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("within 55 s"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    tokio::time::resume();
    scripted.diary.written("cancelled", 2).await;
    assert_eq!(process(&scripted, &token).await, first);
    let tenant = service.app.children.list()[0].0.clone();
    assert_eq!(service.app.children.living(&tenant).unwrap().in_flight(), 0);
}

#[tokio::test]
async fn stopping_the_service_leaves_no_process() {
    let scripted = Scripted::start().await;
    for number in 0..5 {
        let token = company(&scripted.service, &format!("owner{number}@example.com")).await;
        process(&scripted, &token).await;
    }
    let processes = scripted.diary.who("started");
    assert_eq!(processes.len(), 5);
    scripted.service.stop().await;
    for process in processes {
        assert!(is_gone(process), "{process}");
    }
    assert_eq!(children_of(std::process::id()), Vec::<u32>::new());
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// One of four calls that a company makes at the same time, all under the same id: either era, as JSON and streamed.
struct Marked {
    tenant: usize,
    number: usize,
}

impl Marked {
    fn mark(&self) -> Value {
        json!({"tenant": self.tenant, "n": self.number, "steps": 2})
    }

    fn progress_token(&self) -> String {
        format!("{} of {}", self.number, self.tenant)
    }

    fn message(&self) -> Value {
        let is_streamed = self.number % 4 > 1;
        let name = if is_streamed { "steps" } else { "echo" };
        let mut message = if self.number.is_multiple_of(2) {
            call(1, name, self.mark())
        } else {
            let params = json!({"name": name, "arguments": self.mark()});
            modern(&json!(1), "tools/call", params)
        };
        if is_streamed {
            message["params"]["_meta"]["progressToken"] = json!(self.progress_token());
        }
        message
    }

    /// Whether it has its own answer; else it is told why not.
    async fn succeeds(&self, service: &crate::support::Service, token: &str) -> bool {
        let message = self.message();
        let asking = ask(service, token, &message);
        let answered = tokio::time::timeout(Duration::from_secs(50), asking).await;
        assert!(answered.is_ok(), "{message} hangs");
        let (status, answer) = answered.unwrap();
        if status == 503 {
            // Two hundred starts at once may leave the database no time.
            assert_eq!(answer["code"], "database_unavailable");
            return false;
        }
        let answer = self.last(&answer);
        assert_eq!((status, &answer["id"]), (200, &json!(1)), "{answer}");
        if answer["error"].is_object() {
            assert_eq!(answer["error"]["code"], -32603);
            assert!(answer["error"]["data"]["retry"].is_string(), "{answer}");
            return false;
        }
        assert_eq!(answer["result"]["said"], self.mark(), "{answer}");
        let owner = answer["result"].get("owner");
        assert!(owner.is_none_or(|owner| *owner == self.tenant), "{answer}");
        true
    }

    /// The answer, after events that are all of this call.
    fn last(&self, answer: &Value) -> Value {
        let Some(events) = answer.as_str() else {
            return answer.clone();
        };
        let events = events
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let mut events: Vec<Value> = events.map(|event| event.parse().unwrap()).collect();
        assert!(!events.is_empty(), "{answer}");
        let last = events.pop().unwrap();
        for event in events {
            assert_eq!(event["params"]["progressToken"], self.progress_token());
        }
        last
    }
}

/// A company's twenty calls, four at once; returns how many failed.
async fn twenty_calls(service: &crate::support::Service, tenant: usize, token: &str) -> usize {
    let mut failed = 0;
    for round in 0..5 {
        let calls = (round * 4..round * 4 + 4).map(|number| Marked { tenant, number });
        let calls = calls.map(async |call| call.succeeds(service, token).await);
        let succeeded = futures_util::future::join_all(calls).await;
        failed += succeeded.into_iter().filter(|succeeded| !succeeded).count();
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_companies_get_their_own_answers_while_children_are_killed() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let mut companies = Vec::new();
    for number in 0..200 {
        companies.push(company(service, &format!("owner{number}@example.com")).await);
    }
    let asking = companies
        .iter()
        .enumerate()
        .map(|(number, token)| twenty_calls(service, number, token));
    let killing = async {
        let mut dice = Dice(7);
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..150 {
            pace.tick().await;
            let living = service.app.children.list();
            if !living.is_empty() {
                kill(living[dice.below(living.len())].1);
            }
        }
    };
    let (failed, ()) = tokio::join!(futures_util::future::join_all(asking), killing);
    let failed: usize = failed.into_iter().sum();
    assert!((1..2000).contains(&failed), "{failed} of 4000 calls failed");
    let processes = scripted.diary.who("started");
    assert!(processes.len() > 200, "some were killed and replaced");
    scripted.service.stop().await;
    assert!(processes.into_iter().all(is_gone));
    assert_eq!(children_of(std::process::id()), Vec::<u32>::new());
}
