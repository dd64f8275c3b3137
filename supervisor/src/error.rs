//! What a request is told when it fails: RFC 9457 problem details with a stable `code`.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{email, one_time_codes, store, vault, web};

/// A failed request. `code` is stable; `detail` is for a person and says what to do.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: Cow<'static, str>,
    /// Seconds until asking again makes sense.
    pub retry_after: Option<u64>,
    /// Further members of the answer.
    pub more: Option<Box<serde_json::Map<String, serde_json::Value>>>,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            more: None,
        }
    }

    /// A request that says something it may not.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "A valid token must come in the Authorization header, as `Bearer …`; this one is missing, revoked or expired.",
        )
    }

    pub fn too_many(seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                format!("Too many requests; try again in {seconds} s."),
            )
        }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("There is no such {what}."),
        )
    }

    /// Something failed here; the log has the cause under the same request id.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something failed on our side; try again, and name the request id if it stays.",
        )
    }

    fn database(problem: &store::Error) -> Self {
        tracing::error!(%problem, "the database failed a request");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database_unavailable",
            "The service cannot reach its database; try again in a moment.",
        )
        .retry_after(2)
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: serde_json::Value) -> Self {
        self.more
            .get_or_insert_default()
            .insert(name.to_owned(), value);
        self
    }
}

/// The body of a failed request (RFC 9457).
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ProblemDetails {
    /// `urn:sf-supervisor:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// For a person: what happened, and what mends it.
    detail: String,
    /// For programs; it stays what it is.
    code: String,
    /// Ties the answer to the log.
    request_id: String,
}

/// Strangers learn nothing of the database; the operator finds it in the log.
impl From<store::Error> for Problem {
    fn from(problem: store::Error) -> Self {
        Self::database(&problem)
    }
}

/// One answer for every code that does not count.
impl From<one_time_codes::Refused> for Problem {
    fn from(refused: one_time_codes::Refused) -> Self {
        match refused {
            one_time_codes::Refused::TooMany(reached) => Self::too_many(reached.seconds),
            one_time_codes::Refused::Wrong => Self::new(
                StatusCode::BAD_REQUEST,
                "invalid_code",
                "This code is wrong, used, replaced by a newer one, or older than ten minutes; use the newest mail, or ask for another code.",
            ),
            one_time_codes::Refused::Store(problem) => problem.into(),
            one_time_codes::Refused::Vault(problem) => problem.into(),
            one_time_codes::Refused::NoRandom(problem) => problem.into(),
        }
    }
}

impl From<email::NotOne> for Problem {
    fn from(_: email::NotOne) -> Self {
        Self::invalid("`email` must be one e-mail address, such as `name@example.com`.")
    }
}

/// What does not open is for the operator to mend, and the log says what it is.
impl From<&vault::Error> for Problem {
    fn from(problem: &vault::Error) -> Self {
        match problem {
            vault::Error::Store(problem) => Self::database(problem),
            problem => {
                tracing::error!(%problem, "the vault failed a request");
                Self::internal()
            }
        }
    }
}

impl From<vault::Error> for Problem {
    fn from(problem: vault::Error) -> Self {
        Self::from(&problem)
    }
}

impl From<getrandom::Error> for Problem {
    fn from(problem: getrandom::Error) -> Self {
        tracing::error!(%problem, "no random numbers");
        Self::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:sf-supervisor:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": web::request_id(),
        });
        if let (Some(more), Some(members)) = (self.more, body.as_object_mut()) {
            members.extend(*more);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
