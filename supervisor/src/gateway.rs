//! The hosted MCP endpoint: one HTTP exchange with a client is one exchange with the tenant's child.

pub mod envelope;
pub mod era;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod meter;

mod access;
mod asked;
mod legacy;
mod mcp;
mod reply;
mod span;
mod tier;

pub use mcp::answered;

/// Longest message of a client, in bytes.
const BODY: usize = 4 * 1024 * 1024;

/// Clients add and drop the slash; a redirect would lose the body.
pub fn is_at(path: &str) -> bool {
    matches!(path, "/mcp" | "/mcp/")
}
