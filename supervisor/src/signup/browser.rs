//! Step three by the browser: a person allows an OAuth App at Service Fusion, which sends the browser back here.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    activate::{Activated, Credentials, actor, allowed, finished, store},
    proof::Client,
};
use crate::{
    account::set_time_zone,
    app::App,
    browser::Browser,
    error::{Problem, ProblemDetails},
    pages::{self, Frame},
    store::BrowserGrant,
    time_zone,
    tokens::{self, Kind},
    web::{Caller, Json, to_the_end},
};

/// How long a consent may take.
const LIFE: i64 = 10 * 60_000;
const ACTIVATED: &str = "activated";
/// What the activation token of a person is called who is signed in to the pages.
pub(super) const PAGE: &str = "activation page";
/// What pending secrets are sealed under is derived with this from the master key.
const PENDING: &str = "sf-supervisor browser grants";

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

/// What Service Fusion sends the browser back with.
#[derive(Deserialize)]
pub struct Answer {
    code: Option<String>,
    state: Option<String>,
}

/// Where the browser comes back to
///
/// A small page for the person; the result is at `GET /api/activate`.
#[utoipa::path(
    get, path = "/api/activate/callback", tag = "sign-up",
    params(("code" = Option<String>, Query), ("state" = String, Query), ("error" = Option<String>, Query)),
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html"),
        (status = 400, description = "A page that says what went wrong", body = String, content_type = "text/html"),
    )
)]
pub async fn callback(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    answer: Result<Query<Answer>, axum::extract::rejection::QueryRejection>,
) -> Response {
    // Twice the same parameter does not come from Service Fusion.
    let Ok(Query(answer)) = answer else {
        let problem = Problem::invalid("The address is not as Service Fusion makes it.");
        return failed(&problem, None);
    };
    let email = match Browser::of(&app, &headers).await {
        Ok(browser) => browser.email,
        Err(problem) => return failed(&problem, None),
    };
    let (whole, who) = (app.clone(), email.clone());
    let completed = to_the_end(async move { complete(&whole, answer, who.as_deref()).await });
    match completed.await {
        Ok(tenant_id) if is_member(&app, email.as_deref(), &tenant_id).await => {
            pages::see_other(&format!("/app/{tenant_id}/install?done=connected"), None)
        }
        Ok(_) => pages::says(
            StatusCode::OK,
            Frame::plain("Service Fusion is connected"),
            "You can close this page and go back to where you came from.",
            None,
        ),
        Err(problem) => failed(&problem, email.as_deref()),
    }
}

/// Whether the company's own pages are for this person, who may have come from a terminal.
async fn is_member(app: &App, email: Option<&str>, tenant_id: &str) -> bool {
    let known = app.store.memberships(email.unwrap_or_default()).await;
    known.is_ok_and(|known| known.iter().any(|member| member.tenant_id == tenant_id))
}

fn failed(problem: &Problem, email: Option<&str>) -> Response {
    let frame = Frame::plain("Service Fusion is not connected");
    let again = email.map(|_| ("/sign-up/connect", "Try again"));
    pages::says(StatusCode::BAD_REQUEST, frame, &problem.detail, again)
}

async fn complete(app: &App, answer: Answer, email: Option<&str>) -> Result<String, Problem> {
    let over = || {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "expired",
            "This consent was used before, or took longer than ten minutes. Begin again where you came from.",
        )
    };
    let state = answer.state.ok_or_else(over)?;
    let now = app.clock.now();
    let grant = app
        .store
        .take_browser_grant(&tokens::hash(&state), now)
        .await?
        .ok_or_else(over)?;
    let code = answer.code.map(SecretString::from);
    let done = connect(app, &grant, code, email).await;
    let outcome = done
        .as_ref()
        .map_or_else(|problem| problem.code, |_| ACTIVATED);
    app.store
        .finish_browser_grant(&grant.state_hash, outcome)
        .await?;
    done
}

async fn connect(
    app: &App,
    grant: &BrowserGrant,
    code: Option<SecretString>,
    email: Option<&str>,
) -> Result<String, Problem> {
    let caller = Caller::of_token(app, &grant.token_id)
        .await?
        .ok_or_else(Problem::unauthorized)?;
    // Somebody else's consent must not connect this company: whoever began on a page comes back to the same browser.
    if caller.token.name == PAGE && email != Some(&actor(app, &caller).await?) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "other_browser",
            "This was begun in another browser or by somebody else, so nothing was connected. Sign in here and begin again.",
        ));
    }
    let code = code.ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "access_denied",
            "Service Fusion was not allowed to connect. Nothing was stored; begin again if that was a mistake.",
        )
    })?;
    let master = app.master.with_id(&grant.key_id);
    let key = master.ok_or_else(Problem::internal)?.derive(PENDING);
    let open = |column, sealed: &str| {
        let sealed = STANDARD.decode(sealed).unwrap_or_default();
        let plain = key
            .open(&sealed, &place(&grant.state_hash, column))
            .map_err(|_| Problem::internal())?;
        let text = std::str::from_utf8(&plain).map_err(|_| Problem::internal())?;
        Ok::<_, Problem>(SecretString::from(text.to_owned()))
    };
    let client = Client {
        id: open("client_id", &grant.client_id)?,
        secret: open("client_secret", &grant.client_secret)?,
    };
    let credentials = client.prove_code(app, &code, &redirect_uri(app)).await?;
    let actor = actor(app, &caller).await?;
    store(app, &caller.tenant, &actor, &credentials, None).await?;
    Ok(caller.tenant.id)
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

fn place(state_hash: &str, column: &str) -> String {
    format!("sf-supervisor browser grant 1\n{column}\n{state_hash}")
}
