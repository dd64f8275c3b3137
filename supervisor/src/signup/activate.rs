//! Step three: the credentials are proven, sealed and stored, and the first bearer token is handed out.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::proof;
use crate::{
    account::set_time_zone,
    app::App,
    clients::Client,
    error::{Problem, ProblemDetails},
    store::{Entry, NewToken, Tenant},
    time_zone,
    tokens::{self, Kind},
    vault::NewCredentials,
    web::{Caller, Json, to_the_end},
};

/// Proofs per activation token: each asks Service Fusion twice.
const PROOFS: crate::limits::Limit = crate::limits::Limit {
    name: "proofs/activation",
    most: 20,
    window: 30 * 60_000,
};

/// An OAuth Consumer's id and secret, from Service Fusion's developer settings.
#[derive(Deserialize, ToSchema)]
pub struct Credentials {
    pub(super) client_id: String,
    #[schema(format = Password)]
    pub(super) client_secret: String,
    /// Where the company's "today" is; it can be given later with `PATCH /api/tenant`.
    #[schema(example = "America/Chicago")]
    pub(super) time_zone: Option<String>,
}

/// The company is active.
#[derive(Serialize, ToSchema)]
pub struct Activated {
    tenant: TenantView,
    /// A bearer token, shown this once.
    token: String,
    /// Where AI clients reach this service.
    #[schema(example = "https://mcp.example.com/mcp")]
    mcp_url: String,
    /// By client: where its configuration is, for the bearer token.
    bundles: BTreeMap<&'static str, String>,
}

/// A company as it sees itself.
#[derive(Serialize, ToSchema)]
pub struct TenantView {
    id: String,
    company: String,
    tier: String,
    /// Whose Service Fusion account it is.
    account: String,
}

/// Bring the credentials
///
/// They are proven by a real token and `/v1/me` before anything is stored; a failure leaves the activation token good.
/// For a company that is active already they replace the former ones, and all that is connected goes on working.
#[utoipa::path(
    post, path = "/api/activate", tag = "sign-up", request_body = Credentials, security(("activation" = [])),
    responses(
        (status = 201, description = "The company is active", body = Activated),
        (status = 401, description = "`invalid_token`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`tenant_suspended`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "`credentials_rejected` by Service Fusion", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "`upstream_unavailable`: Service Fusion cannot be asked", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn activate(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(form): Json<Credentials>,
) -> Result<(StatusCode, axum::Json<Activated>), Problem> {
    let caller = allowed(&app, &headers).await?;
    let client = proof::Client::new(&form.client_id, &form.client_secret)?;
    let zone = form
        .time_zone
        .as_deref()
        .map(time_zone::named)
        .transpose()?;
    let credentials = client.prove(&app).await?;
    let activated = to_the_end(async move {
        let (tenant, token) = (&caller.tenant, &caller.token.id);
        let actor = actor(&app, &caller).await?;
        store(&app, tenant, &actor, &credentials, Some(token)).await?;
        if let Some(zone) = &zone {
            set_time_zone(&app, &tenant.id, &actor, zone).await?;
        }
        finished(&app, &caller, credentials.account).await
    })
    .await?;
    Ok((StatusCode::CREATED, axum::Json(activated)))
}

/// The holder of an activation token, which may try so often.
pub(super) async fn allowed(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let caller = Caller::with(app, headers, &[Kind::Activation]).await?;
    take_proof(app, &caller.token.id).await?;
    Ok(caller)
}

/// Counts a proof; `whom` is a token, or a member who is signed in.
pub(super) async fn take_proof(app: &App, whom: &str) -> Result<(), Problem> {
    let now = app.clock.now();
    match crate::limits::take(&app.store, PROOFS, whom, now).await? {
        Some(reached) => Err(Problem::too_many(reached.seconds)),
        None => Ok(()),
    }
}

/// Stores what was proven, and uses up the activation token if there is one in hand.
pub(super) async fn store(
    app: &App,
    tenant: &Tenant,
    actor: &str,
    credentials: &NewCredentials,
    activation: Option<&str>,
) -> Result<(), Problem> {
    match activation {
        Some(token) => {
            if !app.vault.activate(&tenant.id, token, credentials).await? {
                return Err(Problem::unauthorized());
            }
        }
        None => app.vault.replace(&tenant.id, credentials).await?,
    }
    note(app, tenant, actor, credentials).await
}

/// For the audit log.
async fn note(
    app: &App,
    tenant: &Tenant,
    actor: &str,
    credentials: &NewCredentials,
) -> Result<(), Problem> {
    let again = tenant.activated_at.is_some();
    let entry = Entry {
        at: app.clock.now(),
        actor: actor.to_owned(),
        action: if again {
            "tenant.reconnect"
        } else {
            "tenant.activate"
        }
        .to_owned(),
        tenant_id: Some(tenant.id.clone()),
        before: None,
        after: Some(serde_json::json!({"kind": credentials.kind.word()}).to_string()),
    };
    Ok(app.store.note(&entry).await?)
}

pub(super) async fn actor(app: &App, caller: &Caller) -> Result<String, Problem> {
    let id = caller.token.member_id.as_deref().unwrap_or_default();
    let member = app.store.member(&caller.tenant.id, id).await?;
    Ok(member.map_or_else(|| "system".to_owned(), |member| member.email))
}

/// Makes the first bearer token and says what comes next.
pub(super) async fn finished(
    app: &App,
    caller: &Caller,
    account: String,
) -> Result<Activated, Problem> {
    let new = tokens::generate(Kind::Bearer)?;
    let token = NewToken {
        tenant_id: &caller.tenant.id,
        member_id: caller.token.member_id.as_deref(),
        kind: Kind::Bearer,
        name: "sign-up",
        hash: &new.hash,
        client: None,
        form: None,
        scopes: "sf:read sf:write",
        created_at: app.clock.now(),
        expires_at: None,
    };
    app.store.add_token(&token).await?;
    let url = &app.config.public_url;
    let bundle = |client: Client| {
        let name = client.name();
        (name, format!("{url}/api/bundles/{name}"))
    };
    Ok(Activated {
        tenant: TenantView::new(&caller.tenant, account),
        token: new.token.expose_secret().to_owned(),
        mcp_url: format!("{url}/mcp"),
        bundles: Client::ALL.into_iter().map(bundle).collect(),
    })
}

impl TenantView {
    fn new(tenant: &Tenant, account: String) -> Self {
        Self {
            id: tenant.id.clone(),
            company: tenant.company.clone(),
            tier: tenant.tier.clone(),
            account,
        }
    }
}
