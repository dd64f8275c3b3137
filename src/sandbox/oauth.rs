//! Sign-in: the consent page at `/oauth/authorize` and the tokens at `/oauth/access_token`.

mod consent;
pub(crate) mod tokens;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::sandbox::oauth::tokens::{Client, Pair};
use crate::sandbox::payload::{self, Answer};
use crate::sandbox::server::{Received, Server};

const TOKEN_PATH: &str = "/oauth/access_token";

/// Why no token was issued: its OAuth code and a description.
type Refusal = (&'static str, &'static str);
const WRONG_CLIENT: Refusal = ("invalid_client", "The client credentials are invalid.");

pub(crate) fn answer(server: &Server, received: &Received) -> Answer {
    match (received.path(), received.method()) {
        (TOKEN_PATH, "POST") => token_answer(server, received),
        ("/oauth/authorize", "GET") => consent::page(received),
        ("/oauth/authorize", "POST") => consent::decision(server, received),
        _ => payload::error_page(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The grant a token request asks for, so that a fault can be meant for one kind.
pub(crate) fn grant(received: &Received) -> Option<String> {
    (received.path() == TOKEN_PATH).then(|| parameters(received).remove("grant_type"))?
}

fn token_answer(server: &Server, received: &Received) -> Answer {
    server
        .traffic
        .count(|counters| counters.token_requests += 1);
    let mut answer = match issue(server, received) {
        Ok(pair) => payload::json(StatusCode::OK, &shown(server, &pair)),
        Err(refusal) => refused(refusal),
    };
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn shown(server: &Server, pair: &Pair) -> Value {
    json!({
        "access_token": pair.access,
        "token_type": "Bearer",
        "expires_in": server.tokens.life.as_secs(),
        "refresh_token": pair.refresh,
    })
}

fn refused((code, description): Refusal) -> Answer {
    let status = if code == WRONG_CLIENT.0 {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::BAD_REQUEST
    };
    let mut answer = payload::json(
        status,
        &json!({"error": code, "error_description": description}),
    );
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"Service\""),
        );
    }
    answer
}

fn issue(server: &Server, received: &Received) -> Result<Pair, Refusal> {
    let parameters = parameters(received);
    let parameter = |name: &str| parameters.get(name).map(String::as_str);
    let client = client(received, &parameters)?;
    match parameter("grant_type") {
        Some("client_credentials") => match client.ok_or(WRONG_CLIENT)? {
            Client::Consumer => {
                server
                    .traffic
                    .count(|counters| counters.client_credentials += 1);
                Ok(server.tokens.issue(Client::Consumer))
            }
            Client::App => Err((
                "unauthorized_client",
                "This client may not use this grant type.",
            )),
        },
        Some("authorization_code") => match client.ok_or(WRONG_CLIENT)? {
            Client::App => {
                let code = parameter("code").ok_or(("invalid_request", "The code is missing."))?;
                let pair = server.tokens.spend_code(code, parameter("redirect_uri"));
                pair.ok_or((
                    "invalid_grant",
                    "The authorization code is invalid or has expired.",
                ))
            }
            Client::Consumer => Err((
                "unauthorized_client",
                "This client may not use this grant type.",
            )),
        },
        Some("refresh_token") => {
            let token = parameter("refresh_token")
                .ok_or(("invalid_request", "The refresh token is missing."))?;
            refresh(server, token, client)
        }
        Some(_) => Err(("unsupported_grant_type", "The grant type is not supported.")),
        None => Err((
            "invalid_request",
            "The grant type was not specified in the request.",
        )),
    }
}

fn refresh(server: &Server, token: &str, client: Option<Client>) -> Result<Pair, Refusal> {
    match server.tokens.refresh(token, client) {
        tokens::Refresh::Rotated(pair) => {
            server.traffic.count(|counters| counters.refreshes += 1);
            return Ok(pair);
        }
        tokens::Refresh::Reused => server.traffic.count(|counters| counters.refresh_reuse += 1),
        tokens::Refresh::Unknown => {}
    }
    Err(("invalid_grant", "Invalid refresh token."))
}

/// JSON and form bodies both come with whole numbers and text only.
fn parameters(received: &Received) -> BTreeMap<String, String> {
    if received
        .header("content-type")
        .starts_with("application/json")
    {
        let object: BTreeMap<String, Value> =
            serde_json::from_slice(&received.body).unwrap_or_default();
        let text = |value: Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        return object
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect();
    }
    form_urlencoded::parse(&received.body)
        .into_owned()
        .collect()
}

/// None when the request names no client, which refreshing allows.
fn client(
    received: &Received,
    parameters: &BTreeMap<String, String>,
) -> Result<Option<Client>, Refusal> {
    let (id, secret) = match received.header("authorization").strip_prefix("Basic ") {
        Some(encoded) => basic(encoded).ok_or(WRONG_CLIENT)?,
        None => match parameters.get("client_id") {
            Some(id) => (
                id.clone(),
                parameters.get("client_secret").cloned().unwrap_or_default(),
            ),
            None => return Ok(None),
        },
    };
    Client::with_secret(&id, &secret)
        .map(Some)
        .ok_or(WRONG_CLIENT)
}

/// The two halves are form-encoded before they are joined (RFC 6749, 2.3.1).
fn basic(encoded: &str) -> Option<(String, String)> {
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decoded(id), decoded(secret)))
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}
