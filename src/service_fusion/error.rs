//! Why there is no record.

/// One rejected field of a create, in Service Fusion's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

/// Why Service Fusion did not answer with a record. Each variant is something a caller does something else about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("Service Fusion has no record at {path}")]
    NotFound { path: String },

    #[error("Service Fusion rejected the record: {}", list(.0))]
    Rejected(Vec<FieldError>),

    #[error(
        "the 60 requests a minute that Service Fusion allows are used up; the next free one would come in {seconds} s, \
         later than this call may take. Try again in {seconds} s, or ask for less at once"
    )]
    BudgetSpent { seconds: u64 },

    #[error("Service Fusion allows no more requests for {seconds} s; try again then")]
    RateLimited { seconds: u64 },

    #[error("{reason}")]
    SignedOut { reason: String },

    /// A hosting service lends no token; `code` is its own word for why.
    #[error("{reason}")]
    NotLent { code: &'static str, reason: String },

    /// The hosting service cannot be used for now.
    #[error("{reason}")]
    NoLender { reason: String },

    #[error(
        "Service Fusion refuses this to the signed-in user; ask the account's administrator for the permission"
    )]
    Forbidden,

    #[error("Service Fusion cannot be reached ({reason}); check the network and try again")]
    Unreachable { reason: String },

    #[error("Service Fusion failed with status {status}{}; this is usually over in a minute, try again then", detail(.message))]
    Upstream { status: u16, message: String },

    #[error("Service Fusion's answer to {path} could not be read ({reason}); try again")]
    Malformed { path: String, reason: String },

    #[error(
        "Service Fusion did not answer within {seconds} s; ask for a shorter date range or fewer records"
    )]
    Timeout { seconds: u64 },

    /// The request may or may not have created the record: it must not be sent again.
    #[error(
        "the connection broke after the request was sent ({reason}), so it is unknown whether the record exists"
    )]
    UnknownOutcome { reason: String },

    #[error("the call was cancelled")]
    Cancelled,
}

impl Error {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Rejected(_) => "rejected",
            Self::BudgetSpent { .. } | Self::RateLimited { .. } => "rate_limited",
            Self::SignedOut { .. } => "signed_out",
            Self::Forbidden => "forbidden",
            Self::NotLent { code, .. } => code,
            Self::Unreachable { .. } | Self::NoLender { .. } => "unreachable",
            Self::Upstream { .. } | Self::Malformed { .. } => "upstream_failure",
            Self::Timeout { .. } => "timeout",
            Self::UnknownOutcome { .. } => "unknown_outcome",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same call may succeed later without a change.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::BudgetSpent { .. }
                | Self::RateLimited { .. }
                | Self::Unreachable { .. }
                | Self::NoLender { .. }
                | Self::Upstream { .. }
                | Self::Malformed { .. }
                | Self::Timeout { .. }
        )
    }

    /// Seconds after which a retry makes sense, where that is known.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::BudgetSpent { seconds } | Self::RateLimited { seconds } => Some(*seconds),
            _ => None,
        }
    }
}

fn list(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect::<Vec<_>>()
        .join("; ")
}

fn detail(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(" ({message})")
    }
}
