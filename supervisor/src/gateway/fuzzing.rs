//! For the targets in `fuzz/` alone: a message on its way to a child and what comes back, without HTTP around them.

use std::time::Duration;

use axum::http::HeaderMap;
use tokio::time::Instant;

use super::{
    asked::{self, Told},
    envelope::Message,
    era::Era,
    mcp, meter,
    reply::{Exchange, event},
};
use crate::child::{Answer, Note};

/// The id that the child is to see.
pub const ID: u64 = 987_654_321;

/// What a child is given of a message that came with these headers.
pub fn line(message: &Message<'_>, headers: &HeaderMap, era: Era, scopes: &str) -> Vec<u8> {
    let trace = asked::trace(message, headers);
    let told = Told {
        version: era.word(),
        scopes,
        trace: trace.as_ref(),
    };
    mcp::line(ID, message, &told)
}

/// What a call is counted as: the tool, and the client.
pub fn counted(message: &Message<'_>, headers: &HeaderMap, era: Era) -> (String, String) {
    let client = meter::client(era, message, headers);
    (meter::tool(message).to_owned(), client)
}

/// The client of an exchange, by its own id and progress token.
#[derive(Debug)]
pub struct Client(Exchange);

impl Client {
    pub fn new(id: &str, progress: Option<&str>) -> Self {
        Self(Exchange {
            id: id.to_owned(),
            progress: progress.map(str::to_owned),
            is_modern: true,
            deadline: Instant::now(),
            limit: Duration::ZERO,
        })
    }

    /// An answer as it is sent where nothing came before it.
    pub fn answered(&self, answer: &Answer) -> Vec<u8> {
        self.0.message(answer).0
    }

    /// An answer as the event that ends a stream.
    pub fn told(&self, answer: &Answer) -> Vec<u8> {
        event(&self.0.message(answer).0).to_vec()
    }

    /// A notification as an event of a stream.
    pub fn noted(&self, note: &Note) -> Option<Vec<u8>> {
        self.0.note(note).map(|line| event(&line).to_vec())
    }
}
