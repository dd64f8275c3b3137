//! What Service Fusion's REST API offers: list, get and create, and nothing else.

pub mod budget;
pub mod client;
pub mod error;
pub mod journal;
pub mod query;
pub mod record;
pub mod reference;
pub mod status;
pub mod walk;
