//! What is counted of an exchange.

use crate::gateway::reply::Ended;

/// Counts an exchange that has ended.
pub(super) fn note(ended: Ended) {
    metrics::counter!(
        "sf_supervisor_mcp_calls_total",
        "status" => ended.status.as_u16().to_string(),
        "error" => ended.is_error.to_string(),
    )
    .increment(1);
    metrics::counter!("sf_supervisor_mcp_bytes_total").increment(ended.bytes as u64);
}
