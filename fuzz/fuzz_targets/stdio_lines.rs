//! What a client writes to sf-mcp's standard input, as the session gets it: the same however the bytes arrive, and
//! nothing but requests until a session has begun.

#![no_main]

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use libfuzzer_sys::fuzz_target;
use rmcp::{model::ClientJsonRpcMessage, transport::Transport};
use serde_json::Value;
use sf_fuzz::wait_for;
use sf_mcp::server::transport::Opening;
use tokio::io::{AsyncRead, ReadBuf};

fuzz_target!(|input: &[u8]| {
    let messages = wait_for(received(std::io::Cursor::new(input.to_vec())));
    // Read in pieces of one to eight bytes.
    let size = 1 + input.first().map_or(0, |byte| usize::from(*byte % 8));
    assert_eq!(
        wait_for(received(Pieces {
            left: input.to_vec(),
            size
        })),
        messages
    );

    let lines = input.split(|byte| *byte == b'\n').count();
    assert!(messages.len() < lines);
    let mut begun = false;
    for message in &messages {
        let is_request = message.get("id").is_some() && message.get("method").is_some();
        assert!(begun || is_request, "{message}");
        begun |= is_request
            && !["ping", "server/discover"]
                .contains(&message["method"].as_str().unwrap_or_default());
        said(message, input);
    }
});

async fn received(input: impl AsyncRead + Send + Unpin + 'static) -> Vec<Value> {
    let mut lines = Opening::new(input, tokio::io::sink());
    let mut messages = Vec::new();
    while let Some(message) = lines.receive().await {
        messages.push(serde_json::to_value::<ClientJsonRpcMessage>(message).unwrap());
    }
    messages
}

/// One of the lines is this message: its id and method stand there.
fn said(message: &Value, input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(|line| {
        serde_json::from_slice::<Value>(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)).ok()
    });
    let is_it = |line: Value| {
        line.get("id") == message.get("id") && line.get("method") == message.get("method")
    };
    assert!(lines.any(is_it), "{message}");
}

struct Pieces {
    left: Vec<u8>,
    size: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = self.size.min(self.left.len()).min(buffer.remaining());
        buffer.put_slice(&self.left[..count]);
        self.left.drain(..count);
        Poll::Ready(Ok(()))
    }
}
