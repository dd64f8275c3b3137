//! The hosted MCP endpoint: one HTTP exchange with a client is one exchange with the tenant's child.

pub mod envelope;
pub mod era;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod meter;

mod access;
mod legacy;
mod mcp;
mod reply;
mod tier;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, routing::any};

use crate::app::App;

/// Longest message of a client, in bytes.
const BODY: usize = 4 * 1024 * 1024;

pub fn routes() -> Router<Arc<App>> {
    // Clients add and drop the slash; a redirect would lose the body.
    Router::new()
        .route("/mcp", any(mcp::handle))
        .route("/mcp/", any(mcp::handle))
        .layer(DefaultBodyLimit::max(BODY))
}
