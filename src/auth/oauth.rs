//! Service Fusion's token endpoint.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// What a token request brings.
#[derive(Clone, Debug)]
pub struct Grant {
    pub access_token: SecretString,
    /// From the moment of the answer.
    pub expires_in: Duration,
    pub refresh_token: Option<SecretString>,
}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The credentials or the refresh token are not valid: asking again does not help.
    #[error("Service Fusion refused the sign-in: {0}")]
    Refused(String),
    /// The request certainly had no effect: asking again later may work.
    #[error("Service Fusion's sign-in service cannot be used right now ({0})")]
    Unavailable(String),
    /// The request was sent and no answer came, or none through a gateway: what it spent may be spent.
    #[error("Service Fusion's sign-in service did not answer ({0})")]
    Lost(String),
}

/// Documented life of an access token, for an answer that does not say it.
const USUAL_LIFE: Duration = Duration::from_hours(1);
/// No token counts as lasting longer, whatever an answer says.
pub(crate) const LONGEST_LIFE: Duration = Duration::from_hours(30 * 24);
/// The OAuth errors (RFC 6749, 5.2) that speak of the credentials or the grant; the others may pass.
const FINAL: [&str; 3] = ["invalid_grant", "invalid_client", "unauthorized_client"];

/// Asks for a token with a client's own credentials (an "OAuth Consumer" in Service Fusion's settings).
pub async fn client_credentials(
    http: &reqwest::Client,
    origin: &str,
    client_id: &str,
    client_secret: &SecretString,
) -> Result<Grant, Error> {
    let body = json!({
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.expose_secret(),
    });
    request(http, origin, &body).await
}

/// Exchanges the code of the authorization code grant. `redirect_uri` is repeated exactly as it was sent before.
pub async fn authorization_code(
    http: &reqwest::Client,
    origin: &str,
    client_id: &str,
    client_secret: &SecretString,
    code: &SecretString,
    redirect_uri: &str,
) -> Result<Grant, Error> {
    let body = json!({
        "grant_type": "authorization_code",
        "client_id": client_id,
        "client_secret": client_secret.expose_secret(),
        "code": code.expose_secret(),
        "redirect_uri": redirect_uri,
    });
    request(http, origin, &body).await
}

/// Spends a refresh token. It must never be sent again, whatever comes back.
pub async fn refresh(
    http: &reqwest::Client,
    origin: &str,
    client_id: &str,
    client_secret: &SecretString,
    refresh_token: &SecretString,
) -> Result<Grant, Error> {
    let body = json!({
        "grant_type": "refresh_token",
        "client_id": client_id,
        "client_secret": client_secret.expose_secret(),
        "refresh_token": refresh_token.expose_secret(),
    });
    request(http, origin, &body).await
}

async fn request(http: &reqwest::Client, origin: &str, body: &Value) -> Result<Grant, Error> {
    let response = http
        .post(format!("{origin}/oauth/access_token"))
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .timeout(Duration::from_secs(30))
        .body(body.to_string())
        .send()
        .await
        .map_err(|problem| {
            if problem.is_connect() {
                Error::Unavailable(without_address(problem))
            } else {
                Error::Lost(without_address(problem))
            }
        })?;
    let status = response.status();
    let bytes = response
        .bytes()
        .await
        .map_err(|problem| Error::Lost(without_address(problem)))?;
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if status.is_success() {
        return grant(&answer).ok_or_else(|| Error::Lost("an answer without a token".to_owned()));
    }
    Err(failure(status, &answer))
}

/// Only the endpoint's own words about the credentials are final; a gateway's page or a rate limit is not.
fn failure(status: reqwest::StatusCode, answer: &Value) -> Error {
    let number = status.as_u16();
    if matches!(number, 502 | 504) {
        // A gateway that got no answer may have passed the request on.
        return Error::Lost(format!("status {number}"));
    }
    match answer.get("error").and_then(Value::as_str) {
        Some(code) if status.is_client_error() && number != 429 && FINAL.contains(&code) => {
            Error::Refused(refusal(code, answer))
        }
        Some(code) => Error::Unavailable(format!("status {number}, {}", refusal(code, answer))),
        None => Error::Unavailable(format!("status {number}")),
    }
}

fn grant(answer: &Value) -> Option<Grant> {
    let text = |name: &str| {
        answer
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(|text| SecretString::from(text.to_owned()))
    };
    let life = match answer.get("expires_in") {
        Some(Value::Number(seconds)) => seconds.as_u64(),
        Some(Value::String(seconds)) => seconds.trim().parse().ok(),
        _ => None,
    };
    Some(Grant {
        access_token: text("access_token")?,
        expires_in: life.map_or(USUAL_LIFE, |life| {
            Duration::from_secs(life).min(LONGEST_LIFE)
        }),
        refresh_token: text("refresh_token"),
    })
}

/// The endpoint's own words, shortened: they may be shown to a person.
fn refusal(code: &str, answer: &Value) -> String {
    let description = answer
        .get("error_description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let words: String = format!("{code} {description}")
        .chars()
        .filter(|c| !c.is_control())
        .take(160)
        .collect();
    words.trim().trim_end_matches('.').to_owned()
}

/// A transport error without the address in it, and with its innermost cause.
pub fn without_address(problem: reqwest::Error) -> String {
    let problem = problem.without_url();
    let mut cause: &dyn std::error::Error = &problem;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    #[test]
    fn only_words_about_the_credentials_are_final() {
        let said = |code: &str| json!({"error": code});
        for code in FINAL {
            let problem = failure(StatusCode::BAD_REQUEST, &said(code));
            assert!(matches!(problem, Error::Refused(_)), "{code}");
        }
        for (status, answer) in [
            (400, said("invalid_request")),
            (400, said("temporarily_unavailable")),
            (403, said("Access denied by the firewall")),
            (429, said("invalid_grant")),
            (500, said("invalid_client")),
            (403, Value::Null),
        ] {
            let problem = failure(StatusCode::from_u16(status).unwrap(), &answer);
            assert!(
                matches!(problem, Error::Unavailable(_)),
                "{status} {answer}"
            );
        }
    }

    #[test]
    fn a_gateway_without_an_answer_may_have_passed_the_request_on() {
        let said = json!({"error": "temporarily_unavailable"});
        for status in [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT] {
            for answer in [&Value::Null, &said] {
                assert!(matches!(failure(status, answer), Error::Lost(_)));
            }
        }
        for answer in [&Value::Null, &said] {
            let problem = failure(StatusCode::SERVICE_UNAVAILABLE, answer);
            assert!(matches!(problem, Error::Unavailable(_)));
        }
    }

    #[test]
    fn a_token_lasts_a_month_at_most() {
        for (given, lasts) in [
            (json!(u64::MAX), LONGEST_LIFE),
            (json!("99999999999"), LONGEST_LIFE),
            (json!(60), Duration::from_mins(1)),
            (json!(-1), USUAL_LIFE),
        ] {
            let answer = json!({"access_token": "t", "expires_in": given});
            assert_eq!(grant(&answer).unwrap().expires_in, lasts);
        }
    }
}
