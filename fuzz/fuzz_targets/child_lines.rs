//! Lines of a child that misbehaves: each client gets at most one answer, which is its own, under its own id, and in a
//! stream nothing that another reader would take for a second event.

#![no_main]

use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sf_supervisor::{
    child::{Answer, Call, Said, fuzzing::Played},
    gateway::fuzzing::Client,
};

/// Ids and progress tokens of clients; a stranger's id may be the one that the child knows another call by.
const CLIENTS: [(&str, Option<&str>); 3] =
    [("\"alice\"", Some("\"a\"")), ("1", Some("3")), ("-7", None)];

fuzz_target!(|input: &[u8]| {
    let played = Played::begin();
    let mut calls: Vec<Call> = CLIENTS
        .iter()
        .map(|_| {
            let call = played
                .child
                .call(None, None, |id| id.to_string().into_bytes());
            call.now_or_never().unwrap().unwrap()
        })
        .collect();
    let lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
    for line in &lines {
        played.says(line);
    }
    let said: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(&String::from_utf8_lossy(line)).ok())
        .collect();
    for ((id, progress), call) in CLIENTS.into_iter().zip(&mut calls) {
        let client = Client::new(id, progress);
        let (id, progress) = (parsed(id), progress.map(parsed));
        while let Some(Ok(word)) = call.said().now_or_never() {
            let answer = match word {
                Said::Answer(answer) => answer,
                Said::Note(note) => {
                    if let Some(event) = client.noted(&note)
                        && let Some(message) = in_event(&event)
                    {
                        is_noted(&message, &id, progress.as_ref());
                    }
                    continue;
                }
            };
            let more = call.said().now_or_never();
            assert!(
                matches!(more, Some(Err(_))),
                "nothing comes after it: {more:?}"
            );
            let (Answer::Result(raw) | Answer::Error(raw)) = &answer;
            let told = in_event(&client.told(&answer));
            // No reader takes a number beyond all bounds, or half a character.
            let Ok(raw) = serde_json::from_slice::<Value>(raw) else {
                continue;
            };
            let alone: Value = serde_json::from_slice(&client.answered(&answer)).expect("JSON");
            assert_eq!(told, Some(alone.clone()));
            let name = if matches!(answer, Answer::Result(_)) {
                "result"
            } else {
                "error"
            };
            let said_so = |line: &Value| {
                let is_answer = line.get("method").is_none_or(Value::is_null);
                is_answer && line["id"] == json!(call.id()) && line[name] == raw
            };
            assert!(said.iter().any(said_so), "{alone}");
            is_answered(&alone, &id, name, raw);
        }
    }
});

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The one event that these bytes are, as a reader splits them: at any of the three ends of a line.
fn in_event(event: &[u8]) -> Option<Value> {
    let line = event
        .strip_prefix(b"data: ")
        .and_then(|rest| rest.strip_suffix(b"\n\n"));
    let line = line.expect("one event");
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    serde_json::from_slice(line).ok()
}

fn is_answered(message: &Value, id: &Value, name: &str, mut said: Value) {
    let names: Vec<_> = message.as_object().unwrap().keys().collect();
    assert_eq!(names, ["jsonrpc", "id", name]);
    assert_eq!(&message["id"], id);
    if said != message[name] {
        // It said to us what it had asked Service Fusion for; clients do not see that.
        let meta = said.as_object_mut().and_then(|said| said.remove("_meta"));
        let meta = meta.expect("only that is taken out");
        assert!(meta["com.servicefusion-mcp/endpoint"].is_string());
        assert_eq!(meta.as_object().map(serde_json::Map::len), Some(1));
    }
    assert_eq!(said, message[name]);
}

fn is_noted(message: &Value, id: &Value, progress: Option<&Value>) {
    let names: Vec<_> = message.as_object().unwrap().keys().collect();
    assert_eq!(names, ["jsonrpc", "method", "params"]);
    let subscription = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    let token = message["params"].get("progressToken");
    assert!(token.is_none() || token == progress, "{message}");
    assert!(subscription.is_null() || subscription == id, "{message}");
}
