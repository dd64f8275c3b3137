//! sf-mcp: Service Fusion for AI clients, one company per process.
//!
//! `docs/architecture.md` says who may import whom; nothing imports upwards.

pub mod answer;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
pub mod confine;
pub mod database;
pub mod dates;
pub mod extension;
pub mod logging;
pub mod origin;
pub mod paths;
pub mod sandbox;
pub mod schedule;
pub mod seal;
pub mod server;
pub mod service_fusion;
pub mod told_zone;
pub mod tools;
pub mod trace_context;
pub mod usage;
