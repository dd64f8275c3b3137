//! Step three by the browser: a person allows an OAuth App at Service Fusion, which sends the browser to `callback`.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    activate::{Activated, Credentials, actor, allowed, finished},
    proof::Client,
};
use crate::{
    account::set_time_zone,
    app::App,
    error::{Problem, ProblemDetails},
    store::BrowserGrant,
    time_zone,
    tokens::{self, Kind},
    web::{Caller, Json, to_the_end},
};

/// How long a consent may take.
const LIFE: i64 = 10 * 60_000;
pub(super) const ACTIVATED: &str = "activated";
/// What the activation token of a person is called who is signed in to the pages.
pub(super) const PAGE: &str = "activation page";
/// What pending secrets are sealed under is derived with this from the master key.
pub(super) const PENDING: &str = "sf-supervisor browser grants";

/// Where to send the person.
#[derive(Serialize, ToSchema)]
pub struct Begun {
    /// Service Fusion's page that asks for consent.
    pub(super) authorize_url: String,
    /// What the OAuth App must have as its redirect address.
    redirect_uri: String,
    /// Seconds for which it is good.
    expires_in: u64,
}

/// How the consent goes.
#[derive(Serialize, ToSchema)]
pub struct Progress {
    /// `none`, `pending`, `failed` or `activated`.
    state: &'static str,
    /// Why it failed: `credentials_rejected`, `access_denied`, `upstream_unavailable` or `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Once, with `activated`.
    #[serde(flatten)]
    activated: Option<Activated>,
}

/// Begin the browser's way
///
/// For an OAuth App. Open `authorize_url` in a browser, then ask `GET /api/activate` until it says `activated`.
#[utoipa::path(
    post, path = "/api/activate/browser", tag = "sign-up", request_body = Credentials, security(("activation" = [])),
    responses(
        (status = 200, description = "Where to send the person", body = Begun),
        (status = 401, description = "`invalid_token`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn begin(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(form): Json<Credentials>,
) -> Result<axum::Json<Begun>, Problem> {
    let caller = allowed(&app, &headers).await?;
    let client = Client::new(&form.client_id, &form.client_secret)?;
    if let Some(zone) = form.time_zone.as_deref() {
        let (zone, actor) = (time_zone::named(zone)?, actor(&app, &caller).await?);
        set_time_zone(&app, &caller.tenant.id, &actor, &zone).await?;
    }
    Ok(axum::Json(begun(&app, &caller, &client).await?))
}

/// Keeps what the person's consent needs later.
pub(super) async fn begun(app: &App, caller: &Caller, client: &Client) -> Result<Begun, Problem> {
    // 256 random bits; that it looks like an activation token does no harm, for it is none.
    let state = tokens::generate(Kind::Activation)?;
    let now = app.clock.now();
    let place = |column| place(&state.hash, column);
    let master = app.vault.sealing_key().await?;
    let key = master.derive(PENDING);
    let seal = |column, text: &SecretString| {
        key.seal(text.expose_secret().as_bytes(), &place(column))
            .map(|sealed| STANDARD.encode(sealed))
            .map_err(|_| Problem::internal())
    };
    let grant = BrowserGrant {
        client_id: seal("client_id", &client.id)?,
        client_secret: seal("client_secret", &client.secret)?,
        key_id: master.id(),
        state_hash: state.hash.clone(),
        token_id: caller.token.id.clone(),
        tenant_id: caller.tenant.id.clone(),
        created_at: now,
        expires_at: now + LIFE,
        outcome: None,
    };
    app.store.add_browser_grant(&grant).await?;
    let redirect_uri = redirect_uri(app);
    let authorize_url = url::Url::parse_with_params(
        &format!("{}/oauth/authorize", app.config.api_url),
        [
            ("response_type", "code"),
            ("client_id", client.id.expose_secret()),
            ("redirect_uri", &redirect_uri),
            ("state", state.token.expose_secret()),
        ],
    )
    .map_err(|_| Problem::internal())?;
    Ok(Begun {
        authorize_url: authorize_url.into(),
        redirect_uri,
        expires_in: (LIFE / 1000).unsigned_abs(),
    })
}

/// How it goes
///
/// The result of the browser's way is handed out once; the activation token is used up by it.
#[utoipa::path(
    get, path = "/api/activate", tag = "sign-up", security(("activation" = [])),
    responses(
        (status = 200, description = "How it goes, and in the end the result", body = Progress),
        (status = 401, description = "`invalid_token`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn progress(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<axum::Json<Progress>, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Activation]).await?;
    let simply = |state, code| {
        axum::Json(Progress {
            state,
            code,
            activated: None,
        })
    };
    let Some(grant) = app.store.browser_grant_of(&caller.token.id).await? else {
        return Ok(simply("none", None));
    };
    match grant.outcome.as_deref() {
        Some(ACTIVATED) => {
            let told = to_the_end(async move { handed_out(&app, &caller).await }).await?;
            Ok(axum::Json(Progress {
                state: ACTIVATED,
                code: None,
                activated: Some(told),
            }))
        }
        Some(code) => Ok(simply("failed", Some(code.to_owned()))),
        None if grant.expires_at < app.clock.now() => {
            Ok(simply("failed", Some("expired".to_owned())))
        }
        None => Ok(simply("pending", None)),
    }
}

/// The result, for the one who uses up the activation token.
async fn handed_out(app: &App, caller: &Caller) -> Result<Activated, Problem> {
    let now = app.clock.now();
    if !app.store.use_token(&caller.token.id, now).await? {
        return Err(Problem::unauthorized());
    }
    let account = app.vault.account(&caller.tenant.id).await?;
    finished(app, caller, account.unwrap_or_default()).await
}

pub(super) fn redirect_uri(app: &App) -> String {
    format!("{}/api/activate/callback", app.config.public_url)
}

pub(super) fn place(state_hash: &str, column: &str) -> String {
    format!("sf-supervisor browser grant 1\n{column}\n{state_hash}")
}
