//! Dynamic client registration (RFC 7591): open to everybody, so it promises nothing and lapses when unused.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{
    client_metadata::{self, MOST_URIS},
    error::{Refused, answer},
    redirect,
};
use crate::{
    app::App,
    ids,
    limits::{self, Limit},
    store::OauthClient,
    tokens,
    web::Source,
};

const HOUR: i64 = 3_600_000;
/// Vendors register from few addresses for all their users.
const PER_NETWORK: Limit = Limit {
    name: "registrations/source",
    most: 300,
    window: HOUR,
};
const IN_TOTAL: Limit = Limit {
    name: "registrations/total",
    most: 3_000,
    window: HOUR,
};
/// What is repeated to the client as it said it; none of it is ever fetched.
const ECHOED: [&str; 8] = [
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
    "contacts",
    "software_id",
    "software_version",
    "application_type",
];

pub(super) async fn register(
    State(app): State<Arc<App>>,
    source: Source,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let answer = async { registered(&app, source, &body?).await };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

async fn registered(app: &App, source: Source, body: &[u8]) -> Result<Response, Refused> {
    let now = app.clock.now();
    for (limit, whom) in [(PER_NETWORK, source.network()), (IN_TOTAL, String::new())] {
        if let Some(reached) = limits::take(&app.store, limit, &whom, now).await? {
            return Err(Refused::too_many(reached.seconds));
        }
    }
    let Said {
        name,
        redirect_uris,
        method,
        whole,
    } = understood(body)?;
    let secret = (method != "none")
        .then(|| tokens::with_prefix("sfx_"))
        .transpose()?;
    // Each connection of some vendors registers anew; a client with a secret is always a new one.
    let fingerprint = secret
        .is_none()
        .then(|| tokens::hash(&json!([name, redirect_uris]).to_string()));
    let new = OauthClient {
        id: ids::new("cli")?,
        name,
        redirect_uris,
        auth_method: method,
        secret_hash: secret.as_ref().map(|secret| secret.hash.clone()),
        fingerprint,
        created_at: now,
        expires_at: None,
    };
    let client = app.store.register_client(&new).await?;
    let secret = secret.map(|secret| secret.token);
    Ok(answer(
        StatusCode::CREATED,
        &shown(&whole, &client, secret.as_ref()),
    ))
}

/// What a client says of itself, as far as it counts, and as a whole.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) name: String,
    pub(super) redirect_uris: Vec<String>,
    method: String,
    whole: Map<String, Value>,
}

pub(super) fn understood(body: &[u8]) -> Result<Said, Refused> {
    let whole: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| metadata("the body must be a JSON object"))?;
    let redirect_uris = redirect_uris(&whole)?;
    let name = name(&whole, &redirect_uris)?;
    expect_code(&whole)?;
    let method = whole
        .get("token_endpoint_auth_method")
        .and_then(Value::as_str)
        .filter(|method| ["client_secret_post", "client_secret_basic"].contains(method))
        .unwrap_or("none");
    Ok(Said {
        name,
        redirect_uris,
        method: method.to_owned(),
        whole,
    })
}

fn metadata(description: &'static str) -> Refused {
    Refused::new("invalid_client_metadata", description)
}

fn redirect_uris(said: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let bad = || {
        Refused::new(
            "invalid_redirect_uri",
            "`redirect_uris` must list 1 to 20 addresses: https, http on loopback, or a known program's own scheme; without fragment, user or wildcard",
        )
    };
    let uris = said
        .get("redirect_uris")
        .and_then(Value::as_array)
        .ok_or_else(bad)?;
    let uris: Option<Vec<String>> = uris
        .iter()
        .map(|uri| {
            uri.as_str()
                .filter(|uri| redirect::acceptable(uri))
                .map(str::to_owned)
        })
        .collect();
    uris.filter(|uris| (1..=MOST_URIS).contains(&uris.len()))
        .ok_or_else(bad)
}

fn name(said: &Map<String, Value>, redirect_uris: &[String]) -> Result<String, Refused> {
    let name = match said.get("client_name") {
        None | Some(Value::Null) => Some(redirect::host(&redirect_uris[0])),
        Some(name) => name.as_str().map(str::to_owned),
    };
    name.as_deref()
        .and_then(client_metadata::name)
        .ok_or_else(|| metadata("`client_name` must be 1 to 120 characters without invisible ones"))
}

/// Only the code flow and its refresh tokens exist here.
fn expect_code(said: &Map<String, Value>) -> Result<(), Refused> {
    let has = |member: &str, word: &str| match said.get(member) {
        None | Some(Value::Null) => true,
        Some(list) => list
            .as_array()
            .is_some_and(|list| list.iter().any(|known| known == word)),
    };
    if has("grant_types", "authorization_code") && has("response_types", "code") {
        return Ok(());
    }
    Err(metadata(
        "`grant_types` must have `authorization_code` and `response_types` must have `code`",
    ))
}

fn shown(said: &Map<String, Value>, client: &OauthClient, secret: Option<&SecretString>) -> Value {
    let mut shown = json!({
        "client_id": client.id,
        "client_id_issued_at": client.created_at / 1000,
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "token_endpoint_auth_method": client.auth_method,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": crate::scopes::ALL,
    });
    if let Some(secret) = secret {
        shown["client_secret"] = secret.expose_secret().into();
        shown["client_secret_expires_at"] = 0.into();
    }
    for member in ECHOED {
        if let Some(value) = said.get(member) {
            shown[member] = value.clone();
        }
    }
    shown
}
