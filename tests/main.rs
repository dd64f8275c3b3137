//! sf-mcp as its users meet it: the real program over stdio, against the sandbox company over real HTTP.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test's support cannot do fails the test"
)]

mod cli;
mod creating;
mod dispatch;
mod handshake;
mod keychain;
mod login;
mod readme;
mod renewal;
mod resilience;
mod rotation;
mod searching;
mod snapshots;
mod support;
mod tampering;
mod wire;
