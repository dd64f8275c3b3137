//! A whole session over stdio, with a company that nobody is signed in to: whatever lines come, what goes out are lines
//! of JSON-RPC, and each answers a request that was asked.

#![no_main]

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use rmcp::ServiceExt;
use serde_json::Value;
use sf_fuzz::{TOOLSETS, company, value, wait_for};
use sf_mcp::{
    server::{SfServer, transport::Opening},
    tools,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fuzz_target!(|input: &[u8]| {
    let output = wait_for(said(input.to_vec()));
    let mut asked: HashMap<String, i32> = HashMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if let Ok(message) = serde_json::from_slice::<Value>(line) {
            *asked.entry(message["id"].to_string()).or_default() += 1;
        }
    }
    for line in output.split_terminator('\n') {
        let message = value(line.as_bytes());
        assert_eq!(message["jsonrpc"], "2.0");
        if message.get("method").is_some() {
            assert!(message.get("id").is_none(), "it asks nothing: {line}");
            continue;
        }
        let id = message["id"].to_string();
        if id == "null" {
            assert!(message.get("error").is_some(), "{line}");
            continue;
        }
        let left = asked.entry(id).or_default();
        *left -= 1;
        assert!(*left >= 0, "nobody asked for {line}");
        assert_ne!(
            message.get("result").is_some(),
            message.get("error").is_some()
        );
    }
});

/// What the server writes until its input has ended and it has nothing more to do.
async fn said(input: Vec<u8>) -> String {
    static SERVER: LazyLock<SfServer> =
        LazyLock::new(|| SfServer::new(tools::catalog(&TOOLSETS, false), company()));
    let (mut client, theirs) = tokio::io::duplex(1 << 30);
    let (lines, answers) = tokio::io::split(theirs);
    let serving = tokio::spawn(async move {
        if let Ok(running) = SERVER.clone().serve(Opening::new(lines, answers)).await {
            let _ = running.waiting().await;
        }
    });
    client.write_all(&input).await.unwrap();
    // The clock of this runtime moves when nothing else does.
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.shutdown().await.unwrap();
    let mut output = String::new();
    client.read_to_string(&mut output).await.unwrap();
    serving.await.unwrap();
    output
}
