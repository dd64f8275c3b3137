//! What a client is told when it fails (RFC 6749, 5.2): JSON that nobody keeps.

use axum::{
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{error::Problem, store};

/// A refused request of a program.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
    retry_after: Option<u64>,
    /// The client named itself in the Authorization header.
    basic: bool,
}

impl Refused {
    pub(super) fn new(code: &'static str, description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            description,
            retry_after: None,
            basic: false,
        }
    }

    /// A request that cannot be read.
    pub(super) fn request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }

    /// A code or refresh token that brings nothing: the client begins anew.
    pub(super) fn grant(description: &'static str) -> Self {
        Self::new("invalid_grant", description)
    }

    /// The client is not known, or not who it says.
    pub(super) fn client(basic: bool) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            basic,
            ..Self::new(
                "invalid_client",
                "the client is not registered here, or its secret is another one; register it again",
            )
        }
    }

    /// Something failed here; the client keeps its tokens and tries again.
    pub(super) fn passing() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: Some(2),
            ..Self::new(
                "temporarily_unavailable",
                "the service cannot do this right now; try again in a moment",
            )
        }
    }

    pub(super) fn too_many(seconds: u64) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(seconds),
            ..Self::new(
                "temporarily_unavailable",
                "too many requests; try again later",
            )
        }
    }
}

impl From<BytesRejection> for Refused {
    fn from(rejection: BytesRejection) -> Self {
        Self {
            status: rejection.status(),
            ..Self::request("the body is too long, or did not arrive whole")
        }
    }
}

impl From<store::Error> for Refused {
    fn from(problem: store::Error) -> Self {
        tracing::error!(%problem, "the database failed a request");
        Self::passing()
    }
}

impl From<getrandom::Error> for Refused {
    fn from(problem: getrandom::Error) -> Self {
        tracing::error!(%problem, "no random numbers");
        Self::passing()
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        tracing::error!(code = problem.code, "an OAuth request failed");
        Self::passing()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"error": self.code, "error_description": self.description});
        let mut response = answer(self.status, &body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.basic {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        response
    }
}

/// JSON that holds secrets or speaks of them.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ];
    (status, headers, body.to_string()).into_response()
}
