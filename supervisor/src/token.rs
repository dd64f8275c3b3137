//! `POST /api/token`: a device gets the company's access token for Service Fusion.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    broker::{self, Access, Broker},
    child::Lend,
    error::Problem,
    tokens::Kind,
    web::Caller,
};

/// The body, which may be left out.
#[derive(Debug, Deserialize)]
struct Asked {
    /// SHA-256, in hexadecimal, of an access token that Service Fusion answered with 401.
    rejected: Option<String>,
}

/// `{access_token, expires_in, api_url, time_zone}`: the token, the seconds it lasts, the only origin it may be sent to,
/// and the zone of the company's "today", or null.
#[utoipa::path(
    post,
    path = "/api/token",
    request_body(content = Option<Object>, description = "`rejected`, which may be left out: the SHA-256 of an access token that Service Fusion refused"),
    tag = "devices",
    security(("device" = [])),
    responses(
        (status = 200, description = "`{access_token, expires_in, api_url, time_zone}`"),
        (status = 401, description = "`invalid_token`"),
        (status = 403, description = "`tenant_suspended`"),
        (status = 409, description = "`reconnect_required`"),
        (status = 503, description = "`upstream_unavailable`, with Retry-After")
    )
)]
pub async fn token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Device]).await?;
    let rejected = rejected(&body)?;
    let access = app
        .broker
        .other_than(&caller.tenant.id, rejected.as_deref())
        .await?;
    let mut answer = lent(&access, &app.config.api_url);
    answer["time_zone"] = json!(caller.tenant.time_zone);
    let mut response = (StatusCode::OK, answer.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn lent(access: &Access, api_url: &str) -> Value {
    json!({
        "access_token": access.access_token.expose_secret(),
        "expires_in": access.expires_in.as_secs(),
        "api_url": api_url,
    })
}

/// The same for the tenants' children, over their private lines: `{status, body}`.
pub fn lend(broker: Broker, api_url: String) -> Lend {
    Arc::new(move |tenant_id, asked| {
        let (broker, api_url) = (broker.clone(), api_url.clone());
        Box::pin(async move {
            let rejected = asked["rejected"].as_str();
            match broker.other_than(&tenant_id, rejected).await {
                Ok(access) => json!({"status": 200, "body": lent(&access, &api_url)}),
                Err(problem) => {
                    let problem = Problem::from(problem);
                    let status = problem.status.as_u16();
                    json!({"status": status, "body": {"code": problem.code, "detail": problem.detail}})
                }
            }
        })
    })
}

/// The hash of the token that was refused, where the body names one.
pub fn rejected(body: &[u8]) -> Result<Option<String>, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|problem| Problem::invalid(format!("The body cannot be read: {problem}.")))?;
    let mut rejected = asked.rejected;
    if let Some(rejected) = &mut rejected {
        if rejected.len() != 64 || !rejected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Problem::invalid(
                "`rejected` must be the SHA-256 of the refused access token, in hexadecimal.",
            ));
        }
        rejected.make_ascii_lowercase();
    }
    Ok(rejected)
}

/// Each way of having no token has its own code.
impl From<broker::Error> for Problem {
    fn from(problem: broker::Error) -> Self {
        let said = problem.to_string();
        match problem {
            broker::Error::NotConnected | broker::Error::Ended(_) => {
                Self::new(StatusCode::CONFLICT, "reconnect_required", said)
            }
            broker::Error::Suspended => Self::new(StatusCode::FORBIDDEN, "tenant_suspended", said),
            broker::Error::Unavailable { seconds, .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream_unavailable",
                said,
            )
            .retry_after(seconds),
            broker::Error::Vault(problem) => Self::from(&*problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_optional_and_names_a_token_by_its_hash() {
        assert_eq!(rejected(b"").unwrap(), None);
        assert_eq!(rejected(b" {} ").unwrap(), None);
        let hash = "AB".repeat(32);
        let body = json!({"rejected": hash}).to_string();
        assert_eq!(rejected(body.as_bytes()).unwrap(), Some("ab".repeat(32)));
        for body in [
            "[",
            r#"{"rejected": "the token itself"}"#,
            r#"{"rejected": 1}"#,
        ] {
            assert_eq!(
                rejected(body.as_bytes()).unwrap_err().code,
                "invalid_request"
            );
        }
    }
}
