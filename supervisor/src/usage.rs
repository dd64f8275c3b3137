//! Usage: events of calls come in, figures go out. An event says what was called and how it ended, never with what or
//! about whom.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, routing::post};

use crate::app::App;

pub mod csv;
pub mod event;
pub mod ingest;
pub mod period;
pub mod report;
pub mod sheet;

/// Devices report calls, a tenant's people read the sums.
pub fn routes() -> Router<Arc<App>> {
    let route = post(ingest::post).layer(DefaultBodyLimit::max(ingest::BODY));
    Router::new().route("/api/usage", route.get(report::get))
}
