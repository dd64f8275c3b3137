//! Starts and stops the real things.
#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "not every test file uses everything"
)]

pub(crate) mod collector;
pub(crate) mod command;
mod database;
pub(crate) mod mailbox;
pub(crate) mod nginx;
mod postgres;
mod program;
mod replica;
pub(crate) mod service;
pub(crate) mod statements;
pub(crate) mod usage;

pub(crate) use self::{
    database::Database,
    postgres::Postgres,
    program::{offered, sf_mcp},
    replica::Replica,
    service::{Around, Service},
};

/// Waits until `check` answers something, for a limited time.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "no {what} within 20 s"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
