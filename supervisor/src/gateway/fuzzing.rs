//! For the targets in `fuzz/` alone: a message on its way to a child and what comes back, without HTTP around them.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    envelope::Message,
    mcp,
    reply::{Exchange, event},
};
use crate::child::{Answer, Note};

/// What a child is given.
pub fn line(id: u64, message: &Message<'_>, version: &str, scopes: &str) -> Vec<u8> {
    mcp::line(id, message, version, scopes)
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
