//! Who asks: a client by its document or its registration.

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{client_metadata, error::Refused, redirect};
use crate::{app::App, error::Problem, params::Params, store::OauthClient, tokens};

/// A client that a person may allow.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) id: String,
    /// Its own words.
    pub(super) name: String,
    pub(super) redirect_uris: Vec<String>,
    /// The host of its document; a registration proves none.
    pub(super) host: Option<String>,
}

impl From<OauthClient> for Client {
    fn from(stored: OauthClient) -> Self {
        let host = client_metadata::url(&stored.id).map(|_| redirect::host(&stored.id));
        Self {
            id: stored.id,
            name: stored.name,
            redirect_uris: stored.redirect_uris,
            host,
        }
    }
}

/// Finds the client; its document is read where there is one. `None` when nobody registered that id.
pub(super) async fn find(
    app: &App,
    id: &str,
    redirect_uri: &str,
    network: &str,
) -> Result<Option<Client>, Problem> {
    if id.contains("://") {
        return client_metadata::find(app, id, redirect_uri, network)
            .await
            .map(Some);
    }
    let registered = app.store.oauth_client(id).await?;
    Ok(registered.map(Client::from))
}

/// The id of the client that calls, once it has shown its secret where it has one.
pub(super) async fn authenticated(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
) -> Result<String, Refused> {
    let basic = basic(headers)?;
    let is_basic = basic.is_some();
    let (id, secret) = match basic {
        Some((id, secret)) => {
            if params.get("client_secret").is_some()
                || params.get("client_id").is_some_and(|other| other != id)
            {
                return Err(Refused::request("the client names itself in two ways"));
            }
            (id, Some(secret))
        }
        None => (
            params
                .get("client_id")
                .ok_or_else(|| Refused::request("`client_id` is missing"))?
                .to_owned(),
            params.get("client_secret").map(str::to_owned),
        ),
    };
    if client_metadata::url(&id).is_some() {
        // Whoever has the code and its verifier, or the refresh token, is the client.
        return Ok(id);
    }
    let stored = app.store.oauth_client(&id).await?;
    let stored = stored.ok_or_else(|| Refused::client(is_basic))?;
    let Some(expected) = stored.secret_hash else {
        return Ok(id);
    };
    let given = tokens::hash(secret.as_deref().unwrap_or_default());
    if bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
        Ok(id)
    } else {
        Err(Refused::client(is_basic))
    }
}

/// Id and secret of the Authorization header, each form-encoded (RFC 6749, 2.3.1).
pub(super) fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Refused> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let decoded = value
        .to_str()
        .ok()
        .filter(|_| values.next().is_none())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, text)| STANDARD.decode(text.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Refused::client(true))?;
    let (id, secret) = decoded
        .split_once(':')
        .ok_or_else(|| Refused::client(true))?;
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| Refused::client(true))
    };
    Ok(Some((plain(id)?, plain(secret)?)))
}
