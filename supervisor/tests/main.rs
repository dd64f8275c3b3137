//! The hosting service, seen from outside: real HTTP, a real database, a real mail conversation.
//!
//! With `SF_SUPERVISOR_TEST_POSTGRES` set (`tests/with-postgres` does that) everything runs on PostgreSQL, else on SQLite.

#![expect(
    clippy::unwrap_used,
    reason = "what a test's support cannot do fails the test"
)]

mod activation;
mod admin;
mod backup;
mod broker;
mod bundles;
mod capacity;
mod database_restarts;
mod devices;
mod gateway;
mod killed;
mod mail;
mod oauth;
mod pages;
mod panel;
mod roles;
mod scale_out;
mod serving;
mod signup;
mod soak;
mod support;
mod tiers;
mod time_zones;
mod usage;
mod usage_crashes;
mod vault;
mod whole_way;
