//! AI clients that people of a company have connected: each is one consent, and ends on its own.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    error::{Problem, ProblemDetails},
    store::{Family, Member},
    tokens::Kind,
    web::{Caller, owner_required},
};

/// A company's connections, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Connections {
    connections: Vec<Connection>,
}

/// One AI client of one person; times are Unix milliseconds.
#[derive(Serialize, ToSchema)]
pub struct Connection {
    id: String,
    member_id: String,
    /// As the client calls itself.
    client: String,
    /// The host of its document, else where its people are sent back to.
    host: String,
    scopes: String,
    created_at: i64,
    last_used_at: Option<i64>,
    /// It ends then at the latest.
    expires_at: i64,
}

impl From<Family> for Connection {
    fn from(family: Family) -> Self {
        Self {
            id: family.id,
            member_id: family.member_id,
            client: family.client_name,
            host: family.client_host,
            scopes: family.scopes,
            created_at: family.created_at,
            last_used_at: family.last_used_at,
            expires_at: family.expires_at,
        }
    }
}

/// List the AI clients
///
/// Those that people have allowed in their browser.
#[utoipa::path(
    get, path = "/api/connections", tag = "company", security(("bearer" = [])),
    responses(
        (status = 200, description = "The company's connections", body = Connections),
        (status = 401, description = "`invalid_token`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<axum::Json<Connections>, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    caller.member(&app).await?;
    let now = app.clock.now();
    let families = app.store.families_of(&caller.tenant.id, now).await?;
    let connections = families.into_iter().map(Connection::from).collect();
    Ok(axum::Json(Connections { connections }))
}

/// Disconnect an AI client
///
/// At its next request it is refused. Owners may end all, others their own.
#[utoipa::path(
    delete, path = "/api/connections/{id}", tag = "company", security(("bearer" = [])),
    params(("id" = String, Path, description = "As the list says it")),
    responses(
        (status = 204, description = "Ended"),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn end(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let member = caller.member(&app).await?;
    ended(&app, &member, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One of the company's connections, if this person may end it.
pub async fn of_person(app: &App, member: &Member, id: &str) -> Result<Family, Problem> {
    let now = app.clock.now();
    let families = app.store.families_of(&member.tenant_id, now).await?;
    let family = families
        .into_iter()
        .find(|family| family.id == id)
        .ok_or_else(|| Problem::not_found("connection"))?;
    if !member.is_owner() && family.member_id != member.id {
        return Err(owner_required());
    }
    Ok(family)
}

/// Ends it; what it was.
pub async fn ended(app: &App, member: &Member, id: &str) -> Result<Family, Problem> {
    let family = of_person(app, member, id).await?;
    let now = app.clock.now();
    let ended = app
        .store
        .revoke_family(&family, &member.email, "a person ended it", now);
    if ended.await? {
        Ok(family)
    } else {
        Err(Problem::not_found("connection"))
    }
}
