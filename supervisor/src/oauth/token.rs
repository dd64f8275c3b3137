//! `/oauth/token`: codes and refresh tokens become access tokens.
//!
//! Each refresh gives a new refresh token. Real clients refresh twice at once and lose answers, so within the grace the
//! last but one brings a further access token and the refresh token that took its place, never a second branch. Whoever
//! comes later with a former one may be a thief, so everything that came of that consent ends.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{
    authorize::is_resource,
    client,
    consent::IDLE,
    error::{Refused, answer},
    pkce,
};
use crate::{
    app::App,
    params::{Params, is_form},
    scopes,
    store::{Family, Issue, Successor},
    tokens::{self, New},
};

/// The longest life of an access token (ms).
const ACCESS: i64 = 3_600_000;
/// How often one refresh token may be repeated within its grace.
const REPEATS: i64 = 16;

pub(super) async fn token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let answer = async { granted(&app, &headers, &body?).await };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

async fn granted(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refused> {
    if !is_form(headers) {
        return Err(Refused::request(
            "the body must be a form: application/x-www-form-urlencoded",
        ));
    }
    let params = Params::parse(body);
    if params.repeated().is_some() {
        return Err(Refused::request("a parameter comes twice"));
    }
    let client_id = client::authenticated(app, headers, &params).await?;
    if !is_resource(app, params.get("resource")) {
        return Err(Refused::new(
            "invalid_target",
            "`resource` must be the address of this MCP server",
        ));
    }
    match params.get("grant_type") {
        Some("authorization_code") => exchange(app, &client_id, &params).await,
        Some("refresh_token") => refresh(app, &client_id, &params).await,
        Some(_) => Err(Refused::new(
            "unsupported_grant_type",
            "`grant_type` must be authorization_code or refresh_token",
        )),
        None => Err(Refused::request("`grant_type` is missing")),
    }
}

async fn exchange(app: &App, client_id: &str, params: &Params) -> Result<Response, Refused> {
    let bad = || {
        Refused::grant(
            "the code is wrong, used, or older than a minute, or is not this client's; begin anew",
        )
    };
    let code = params
        .get("code")
        .ok_or_else(|| Refused::request("`code` is missing"))?;
    let verifier = params
        .get("code_verifier")
        .ok_or_else(|| Refused::request("`code_verifier` is missing"))?;
    let (hash, now) = (tokens::hash(code), app.clock.now());
    let Some(taken) = app.store.take_oauth_code(&hash, now).await? else {
        if let Some(id) = app.store.family_of_used_code(&hash).await? {
            end(app, &id, "a code was used twice").await?;
        }
        return Err(bad());
    };
    let family = app.store.family(&taken.family_id).await?.ok_or_else(bad)?;
    let fits = family.client_id == client_id
        && params
            .get("redirect_uri")
            .is_none_or(|uri| uri == taken.redirect_uri)
        && pkce::fits(verifier, &taken.challenge);
    if !fits {
        end(app, &family.id, "a code was used by another").await?;
        return Err(bad());
    }
    let allowed = allowed(app, &family, None).await?;
    let fresh = Fresh::new(app, &family, allowed)?;
    if app.store.rotate(&family.id, None, &fresh.issue()).await? {
        Ok(fresh.answer(fresh.refresh.token.expose_secret()))
    } else {
        Err(bad())
    }
}

async fn refresh(app: &App, client_id: &str, params: &Params) -> Result<Response, Refused> {
    let over = || {
        Refused::grant("the refresh token is wrong, used, or its connection has ended; begin anew")
    };
    let token = params
        .get("refresh_token")
        .ok_or_else(|| Refused::request("`refresh_token` is missing"))?;
    let hash = tokens::hash(token);
    let family = app.store.family_of_refresh(&hash).await?;
    let family = family
        .filter(|family| family.client_id == client_id && family.resource == app.config.resource())
        .ok_or_else(over)?;
    let allowed = allowed(app, &family, params.get("scope")).await?;
    let fresh = Fresh::new(app, &family, allowed)?;
    let issue = fresh.issue();
    if app.store.rotate(&family.id, Some(&hash), &issue).await? {
        return Ok(fresh.answer(fresh.refresh.token.expose_secret()));
    }
    let since = issue.now - app.config.refresh_grace;
    let repeated = app
        .store
        .repeat(&family.id, &hash, since, REPEATS, &issue)
        .await?;
    if let Some(successor) = repeated {
        let current = opened(app, &family.id, &successor)?;
        return Ok(fresh.answer(current.expose_secret()));
    }
    end(app, &family.id, "a former refresh token was used").await?;
    Err(over())
}

/// What the family's person may do now, narrowed to what is asked for.
async fn allowed(app: &App, family: &Family, asked: Option<&str>) -> Result<&'static str, Refused> {
    let over = || Refused::grant("the connection has ended; begin anew");
    let now = app.clock.now();
    if family.revoked_at.is_some() || family.expires_at <= now || family.idle_until <= now {
        return Err(over());
    }
    let member = app
        .store
        .member(&family.tenant_id, &family.member_id)
        .await?
        .ok_or_else(over)?;
    let tenant = app.store.tenant(&family.tenant_id).await?;
    if tenant.is_none_or(|tenant| tenant.suspended_at.is_some()) {
        return Err(Refused::grant("the company's access is suspended"));
    }
    let granted = scopes::both(&family.scopes, &member.scopes);
    let Some(asked) = asked else {
        return Ok(granted);
    };
    let beyond = Refused::new("invalid_scope", "`scope` goes beyond what was allowed");
    match scopes::asked(Some(asked)) {
        Some(asked) if scopes::writes(granted) || !scopes::writes(asked) => Ok(asked),
        _ => Err(beyond),
    }
}

async fn end(app: &App, family_id: &str, why: &str) -> Result<(), Refused> {
    if let Some(family) = app.store.family(family_id).await? {
        let now = app.clock.now();
        if app.store.revoke_family(&family, "system", why, now).await? {
            tracing::warn!(connection = family.id, why, "a connection was ended");
            metrics::counter!("sf_supervisor_oauth_reuse_total").increment(1);
        }
    }
    Ok(())
}

/// New tokens that are not stored yet.
struct Fresh {
    access: New,
    refresh: New,
    sealed: String,
    key_id: String,
    scopes: &'static str,
    now: i64,
    access_until: i64,
    idle_until: i64,
}

impl Fresh {
    fn new(app: &App, family: &Family, scopes: &'static str) -> Result<Self, Refused> {
        let refresh = tokens::with_prefix("sfr_")?;
        let master = app.master.current();
        let sealed = master
            .derive(PURPOSE)
            .seal(refresh.token.expose_secret().as_bytes(), &place(&family.id))
            .map_err(|_| Refused::passing())?;
        let now = app.clock.now();
        Ok(Self {
            access: tokens::with_prefix("sfo_")?,
            refresh,
            sealed: STANDARD.encode(sealed),
            key_id: master.id(),
            scopes,
            now,
            access_until: (now + ACCESS).min(family.expires_at),
            idle_until: (now + IDLE).min(family.expires_at),
        })
    }

    fn issue(&self) -> Issue<'_> {
        Issue {
            access_hash: &self.access.hash,
            access_until: self.access_until,
            scopes: self.scopes,
            refresh_hash: &self.refresh.hash,
            successor: &self.sealed,
            key_id: &self.key_id,
            idle_until: self.idle_until,
            now: self.now,
        }
    }

    fn answer(&self, refresh_token: &str) -> Response {
        answer(
            StatusCode::OK,
            &json!({
                "access_token": self.access.token.expose_secret(),
                "token_type": "Bearer",
                "expires_in": (self.access_until - self.now) / 1000,
                "refresh_token": refresh_token,
                "scope": self.scopes,
            }),
        )
    }
}

const PURPOSE: &str = "sf-supervisor refresh tokens";

fn place(family_id: &str) -> String {
    format!("sf-supervisor refresh token 1\n{family_id}")
}

/// The refresh token that took another's place.
fn opened(app: &App, family_id: &str, successor: &Successor) -> Result<SecretString, Refused> {
    let master = app
        .master
        .with_id(&successor.key_id)
        .ok_or_else(Refused::passing)?;
    let sealed = STANDARD.decode(&successor.sealed).unwrap_or_default();
    let plain = master
        .derive(PURPOSE)
        .open(&sealed, &place(family_id))
        .map_err(|_| Refused::passing())?;
    let text = std::str::from_utf8(&plain).map_err(|_| Refused::passing())?;
    Ok(SecretString::from(text.to_owned()))
}
