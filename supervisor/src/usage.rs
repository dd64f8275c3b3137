//! Usage: events of calls come in, figures go out. An event says what was called and how it ended, never with what or
//! about whom.

pub mod csv;
pub mod event;
pub mod ingest;
pub mod period;
pub mod report;
