//! sf-mcp as its users meet it: the real program over stdio, against the sandbox company over real HTTP.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test's support cannot do fails the test"
)]

mod broker;
mod cli;
mod creating;
mod disks;
mod dispatch;
mod handshake;
mod keychain;
mod login;
mod ordinary_call;
mod readme;
mod renewal;
mod resilience;
mod rotation;
mod searching;
mod snapshots;
mod support;
mod tampering;
mod traces;
mod usage_spool;
mod wire;
