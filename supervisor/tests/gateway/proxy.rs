//! What comes back is what was asked for, whatever clients call their requests and however they write them.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    ask, company, modern, post,
    scripted::{Scripted, call},
};
use crate::support::{Service, offered, sf_mcp, until};

/// The answer's body as it came over the wire.
async fn raw(scripted: &Scripted, token: &str, body: &str) -> (u16, String) {
    let request = scripted
        .service
        .http
        .post(format!("{}/mcp", scripted.service.url));
    let answer = request
        .bearer_auth(token)
        .header("content-type", "application/json; charset=utf-8")
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Messages of an event stream.
fn events(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn named(id: &str, name: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
    )
}

#[tokio::test]
async fn ids_come_back_as_they_were_written() {
    let scripted = Scripted::start().await;
    let token = company(&scripted.service, "owner@example.com").await;
    for id in [
        "1",
        "\"1\"",
        "0",
        "-1",
        "9007199254740993",
        "-9223372036854775808",
        "18446744073709551615",
        "\"\"",
        "\"a\\u0041\\n\\\"\"",
        "\"\\ud83d\\ude00 \u{1f600}\"",
        "\"01\"",
    ] {
        let (status, text) = raw(&scripted, &token, &named(id, "echo", "{}")).await;
        assert_eq!(status, 200, "{text}");
        let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":");
        assert!(text.starts_with(&start), "{id}: {text}");
    }
    for id in ["null", "1.0", "1e3", "true", "{}", "[1]"] {
        let (status, text) = raw(&scripted, &token, &named(id, "echo", "{}")).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("-32600"), "{text}");
    }
}

#[tokio::test]
async fn what_the_child_gets_is_one_line_with_a_fresh_envelope() {
    let scripted = Scripted::start().await;
    let token = company(&scripted.service, "owner@example.com").await;
    let body = "{\r\n  \"method\": \"tools/call\",\n\t\"extra\": 1, \"id\": 5,\n  \"jsonrpc\": \"2.0\",\n  \"params\": {\n    \"name\": \"line\",\n\
        \"arguments\": {\n \"b\": 2.0,\n \"a\": 12345678901234567890123,\r\n \"a\": [1,\n 2] },\n \"other\": {\"kept\": 1e40},\n\
        \"_meta\": {\"com.servicefusion-mcp/scopes\": \"sf:write sf:everything\", \"x\": 1.50, \"progressToken\": \"p\"}}}";
    let (status, text) = raw(&scripted, &token, body).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let line = answer["result"]["line"].as_str().unwrap();
    assert!(line.ends_with("}\n") && line.matches('\n').count() == 1 && !line.contains('\r'));
    assert!(line.contains("12345678901234567890123"), "{line}");
    assert!(
        line.contains("2.0") && line.contains("1e40") && line.contains("1.50"),
        "{line}"
    );
    assert!(
        !line.contains("extra") && !line.contains("sf:everything"),
        "{line}"
    );
    assert!(!line.contains(&token) && !line.contains("\"p\""), "{line}");
    assert!(
        line.contains(r#""com.servicefusion-mcp/scopes":"sf:read"#),
        "{line}"
    );
}

#[tokio::test]
async fn numbers_and_errors_of_the_child_keep_their_text() {
    let scripted = Scripted::start().await;
    let token = company(&scripted.service, "owner@example.com").await;
    let (_, text) = raw(
        &scripted,
        &token,
        &named("1", "error", r#"{"code":-32602}"#),
    )
    .await;
    assert_eq!(
        text,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"m","data":{"big":12345678901234567890123}}}"#
    );
    // Only the newest revision says errors with the status too, and only some.
    for (code, status) in [
        (-32601, 404),
        (-32602, 200),
        (-32603, 200),
        (-32021, 400),
        (7, 200),
    ] {
        let asked = json!({"name": "error", "arguments": {"code": code}});
        let (said, answer) = ask(
            &scripted.service,
            &token,
            &modern(&json!(1), "tools/call", asked),
        )
        .await;
        assert_eq!(said, status, "{answer}");
        let legacy = call(1, "error", json!({"code": code}));
        assert_eq!(ask(&scripted.service, &token, &legacy).await.0, 200);
    }
}

#[tokio::test]
async fn sixteen_companies_count_from_one_at_the_same_time() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let mut companies = Vec::new();
    for number in 0..16 {
        companies.push(company(service, &format!("owner{number}@example.com")).await);
    }
    let asking = companies.iter().enumerate().flat_map(|(number, token)| {
        // Two conversations of each company, with the same ids.
        (0..2).map(move |client| async move {
            let mut processes = HashSet::new();
            for id in 1..=12 {
                let mine = json!({"tenant": number, "client": client, "n": id});
                let (status, answer) = ask(service, token, &call(id, "echo", mine.clone())).await;
                assert_eq!(status, 200, "{answer}");
                assert_eq!(answer["id"], id);
                assert_eq!(answer["result"]["said"], mine, "{answer}");
                assert_eq!(answer["result"]["owner"], number, "{answer}");
                processes.insert(answer["result"]["process"].as_u64().unwrap());
            }
            processes
        })
    });
    let processes: HashSet<u64> = futures_util::future::join_all(asking)
        .await
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(processes.len(), 16, "one child for each company");
    assert_eq!(scripted.diary.who("started").len(), 16);
}

#[tokio::test]
async fn progress_tokens_that_collide_reach_their_own_callers() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let asking = (0..12).map(|client: u64| {
        let token = &token;
        async move {
            // The official TypeScript client counts its tokens from nought, others use texts.
            let progress = if client.is_multiple_of(3) {
                json!("0")
            } else {
                json!(0)
            };
            let steps = client + 1;
            let mut message = call(1, "steps", json!({"steps": steps, "client": client}));
            message["params"]["_meta"] = json!({"progressToken": progress});
            let answer = post(service, token, &message).send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            assert_eq!(answer.headers()["x-accel-buffering"], "no");
            let events = events(&answer.text().await.unwrap());
            let (last, notes) = events.split_last().unwrap();
            assert_eq!(notes.len() as u64, steps);
            for (step, note) in notes.iter().enumerate() {
                assert_eq!(
                    note["params"],
                    json!({"progressToken": progress, "progress": step})
                );
            }
            assert_eq!(last["result"]["said"]["client"], client);
        }
    });
    futures_util::future::join_all(asking).await;
    // Without a token there is nothing to report to.
    let quiet = post(service, &token, &call(1, "steps", json!({"steps": 3})))
        .send()
        .await
        .unwrap();
    assert_eq!(quiet.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn names_that_occur_twice_and_deep_nesting_are_refused() {
    let scripted = Scripted::start().await;
    let token = company(&scripted.service, "owner@example.com").await;
    let deep = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    for (body, code) in [
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#.to_owned(), "-32600"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#.to_owned(), "-32600"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","n\u0061me":"write"}}"#.to_owned(), "-32600"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{},"_meta":{}}}"#.to_owned(), "-32600"),
        (named("1", "echo", &deep(98)), "-32700"),
        (named("1", "echo", &deep(100_000)), "-32700"),
        ("[".repeat(1_000_000), "-32700"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#.to_owned(), "-32600"),
        (String::new(), "-32700"),
    ] {
        let shown: String = body.chars().take(120).collect();
        let (status, text) = raw(&scripted, &token, &body).await;
        assert_eq!(status, 400, "{shown}: {text}");
        assert!(text.contains(code), "{shown}: {text}");
    }
    let (status, text) = raw(&scripted, &token, &named("1", "echo", &deep(90))).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(scripted.diary.who("started").len(), 1);
}

#[tokio::test]
async fn bodies_may_have_four_megabytes_and_answers_more() {
    let scripted = Scripted::start().await;
    let token = company(&scripted.service, "owner@example.com").await;
    let most = 4 * 1024 * 1024;
    let frame = named("1", "echo", r#"{"x":""}"#).len();
    let with = |bytes: usize| named("1", "echo", &format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes)));
    let (status, text) = raw(&scripted, &token, &with(most - frame)).await;
    assert_eq!(status, 200);
    assert!(text.len() > most - 200);
    let (status, text) = raw(&scripted, &token, &with(most - frame + 1)).await;
    assert_eq!(status, 413);
    assert!(text.contains("too_large"), "{text}");
    let wide = named("1", "wide", &format!(r#"{{"bytes":{}}}"#, 6 * 1024 * 1024));
    let (status, text) = raw(&scripted, &token, &wide).await;
    assert_eq!((status, text.len() > 6 * 1024 * 1024), (200, true));
}

/// A connection of a client that reads and leaves as it likes.
async fn connection(scripted: &Scripted, token: &str, body: &Value) -> tokio::net::TcpStream {
    let address = scripted.service.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let modern = if body.contains("2026-07-28") {
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: hold\r\n"
    } else {
        ""
    };
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\ncontent-type: application/json\r\n{modern}\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_up_nobody() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let wide = call(1, "wide", json!({"bytes": 7 * 1024 * 1024, "mark": "end"}));
    let mut slow = connection(&scripted, &token, &wide).await;
    let mut first = [0; 1];
    slow.read_exact(&mut first).await.unwrap();
    for id in 0..20 {
        assert_eq!(
            ask(service, &token, &call(id, "echo", json!({}))).await.0,
            200
        );
    }
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(
        String::from_utf8(rest)
            .unwrap()
            .ends_with(r#""said": "end"}}"#)
    );
}

async fn cancelled(scripted: &Scripted, token: &str) -> Value {
    let (_, answer) = ask(&scripted.service, token, &call(99, "cancelled", json!({}))).await;
    answer["result"].clone()
}

#[tokio::test]
async fn a_modern_client_that_leaves_cancels_its_call_and_no_other() {
    let scripted = Scripted::start().await;
    let token = company(&scripted.service, "owner@example.com").await;
    for (round, progress) in [None, Some(json!("p"))].into_iter().enumerate() {
        let mut params = json!({"name": "hold", "arguments": {}});
        if let Some(progress) = &progress {
            params["_meta"] = json!({"progressToken": progress});
        }
        let message = modern(&json!(1), "tools/call", params);
        let leaving = connection(&scripted, &token, &message).await;
        let staying = connection(&scripted, &token, &message).await;
        scripted.diary.written("held", 2 * (round + 1)).await;
        drop(leaving);
        scripted.diary.written("cancelled", round + 1).await;
        assert_eq!(cancelled(&scripted, &token).await["held"], 1);
        ask(&scripted.service, &token, &call(1, "release", json!({}))).await;
        drop(staying);
    }
    assert_eq!(scripted.diary.who("cancelled").len(), 2);
}

#[tokio::test]
async fn a_legacy_client_that_leaves_cancels_nothing() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let leaving = connection(&scripted, &token, &call(1, "hold", json!({}))).await;
    scripted.diary.written("held", 1).await;
    drop(leaving);
    // The service has noticed the end of that connection once it has answered others.
    for _ in 0..20 {
        let said = cancelled(&scripted, &token).await;
        assert_eq!(said, json!({"cancelled": [], "held": 1}));
    }
    ask(service, &token, &call(1, "release", json!({}))).await;
    let tenant = &service.app.children.list()[0].0;
    let child = service.app.children.living(tenant).unwrap();
    until("call to end", async || {
        (child.in_flight() == 0).then_some(())
    })
    .await;
}

fn cancel(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
}

#[tokio::test]
async fn a_legacy_cancel_ends_exactly_the_call_it_names() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let other = company(service, "other@example.com").await;
    let hold = |token: &str, id: Value| {
        let request = post(service, token, &call(id, "hold", json!({})));
        tokio::spawn(request.send())
    };
    let number = hold(&token, json!(7));
    let text = hold(&token, json!("7"));
    let theirs = hold(&other, json!(7));
    scripted.diary.written("held", 3).await;
    // Nobody's, and not in flight.
    for id in [json!(8), json!("8"), json!(null)] {
        assert_eq!(ask(service, &token, &cancel(&id)).await.0, 202);
    }
    assert_eq!(ask(service, &token, &cancel(&json!("7"))).await.0, 202);
    let answer: Value = text
        .await
        .unwrap()
        .unwrap()
        .text()
        .await
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(answer["id"], "7");
    assert!(answer["error"].is_object(), "{answer}");
    scripted.diary.written("cancelled", 1).await;
    assert_eq!(cancelled(&scripted, &token).await["held"], 1);
    assert_eq!(cancelled(&scripted, &other).await["held"], 1);

    // Two conversations with the same id: the wrong write must not end.
    let twin = hold(&token, json!(7));
    scripted.diary.written("held", 4).await;
    assert_eq!(ask(service, &token, &cancel(&json!(7))).await.0, 202);
    assert_eq!(cancelled(&scripted, &token).await["held"], 2);
    for token in [&token, &other] {
        ask(service, token, &call(1, "release", json!({}))).await;
    }
    for call in [number, twin, theirs] {
        assert!(
            call.await
                .unwrap()
                .unwrap()
                .text()
                .await
                .unwrap()
                .contains("\"result\"")
        );
    }
}

#[tokio::test]
async fn a_modern_cancel_by_notification_ends_nothing() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let message = modern(
        &json!(7),
        "tools/call",
        json!({"name": "hold", "arguments": {}}),
    );
    let held = tokio::spawn(post(service, &token, &message).send());
    scripted.diary.written("held", 1).await;
    assert_eq!(ask(service, &token, &cancel(&json!(7))).await.0, 202);
    assert_eq!(cancelled(&scripted, &token).await["held"], 1);
    ask(service, &token, &call(1, "release", json!({}))).await;
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_thousand_calls_at_once_get_their_own_answers() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let asking = (0..1000).map(|n| {
        let token = &token;
        async move {
            let (status, answer) = ask(service, token, &call(1, "echo", json!({"n": n}))).await;
            assert_eq!(
                (status, &answer["result"]["said"]["n"]),
                (200, &json!(n)),
                "{answer}"
            );
        }
    });
    futures_util::future::join_all(asking).await;
    assert_eq!(scripted.diary.who("started").len(), 1);
}

#[tokio::test]
async fn a_token_that_may_only_read_sees_and_calls_no_tool_that_creates() {
    let service = Service::with(|config| config.child = sf_mcp()).await;
    let token = company(&service, "owner@example.com").await;
    let database = &service.around.database;
    database.run("UPDATE tokens SET scopes = 'sf:read'").await;
    let list = modern(&json!(1), "tools/list", json!({}));
    let (_, answer) = ask(&service, &token, &list).await;
    let tools = answer["result"]["tools"].as_array().unwrap().clone();
    let creates = |tool: &Value| tool["name"].as_str().unwrap().starts_with("create_");
    assert_eq!(tools.len(), offered(true), "{answer}");
    assert!(!tools.iter().any(creates));
    let create = json!({"name": "create_customer", "arguments": {"name": "A"}});
    let (status, answer) = ask(&service, &token, &modern(&json!(2), "tools/call", create)).await;
    assert!(
        status == 403 || answer["result"]["structuredContent"]["code"] == "forbidden",
        "{status} {answer}"
    );

    database
        .run("UPDATE tokens SET scopes = 'sf:read sf:write'")
        .await;
    let seen = until("the tools that create", async || {
        let (_, answer) = ask(&service, &token, &list).await;
        let tools = answer["result"]["tools"].as_array().unwrap().clone();
        (tools.len() == offered(false)).then_some(tools)
    });
    assert!(seen.await.iter().any(creates));
}
