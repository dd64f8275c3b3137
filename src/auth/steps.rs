//! The steps of a renewal and of a rotation at which a test may end the process, as a power cut would.

use std::sync::LazyLock;

/// `SF_MCP_STOP_AT`, for tests alone: the step after which this process ends at once.
static STOP_AT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("SF_MCP_STOP_AT").ok());

/// Marks a step that has been taken.
pub fn reached(step: &str) {
    if STOP_AT.as_deref() == Some(step) {
        std::process::abort();
    }
}
