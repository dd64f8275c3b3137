//! The company itself: its owner takes all that is kept about it, or ends it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    app::App,
    error::{Problem, ProblemDetails},
    store::{self, Change, Tenant, Token},
    time_zone,
    tokens::Kind,
    web::{Caller, Json},
};

/// Events that are read at once.
const PAGE: i64 = 1_000;
/// Audit entries of one company that an export holds, the newest.
const ENTRIES: i64 = 10_000;

/// Export the company
///
/// All that is kept about it, without secrets: the company, its people, tokens, connection, audit entries, usage by
/// day, and every single call. Times are Unix milliseconds.
#[utoipa::path(
    get, path = "/api/export", tag = "company", security(("bearer" = [])),
    responses(
        (status = 200, description = "Everything, as one JSON object", body = Object),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn export(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    caller.owner(&app).await?;
    exported(app, caller.tenant).await
}

/// All that is kept about a company, as a download.
pub async fn exported(app: Arc<App>, tenant: Tenant) -> Result<Response, Problem> {
    let head = head(&app, &tenant).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"export.json\"",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(written(app, tenant.id, &head))).into_response())
}

/// All but the figures and the single calls.
async fn head(app: &App, tenant: &Tenant) -> Result<Value, Problem> {
    let store = &app.store;
    let connection = app.vault.head(&tenant.id).await?.map(|head| {
        json!({
            "kind": head.kind.word(), "expires_at": head.expires_at, "ended": head.ended,
            "created_at": head.created_at, "updated_at": head.updated_at,
        })
    });
    let mut tokens = Vec::new();
    for kind in Kind::ALL {
        let of_kind = store.tokens_of(&tenant.id, kind).await?;
        tokens.extend(of_kind.iter().map(token));
    }
    let members = store.members(&tenant.id).await?;
    let members: Vec<_> = members
        .iter()
        .map(|member| {
            json!({
                "id": member.id, "email": member.email, "role": member.role.word(), "scopes": member.scopes,
                "created_at": member.created_at,
            })
        })
        .collect();
    let connections = store.families_of(&tenant.id, app.clock.now()).await?;
    let connections: Vec<_> = connections
        .iter()
        .map(|family| {
            json!({
                "id": family.id, "member_id": family.member_id, "client_id": family.client_id,
                "client": family.client_name, "host": family.client_host, "scopes": family.scopes,
                "created_at": family.created_at, "last_used_at": family.last_used_at, "expires_at": family.expires_at,
            })
        })
        .collect();
    let entries = store.entries(Some(&tenant.id), ENTRIES).await?;
    let entries: Vec<_> = entries
        .iter()
        // The operators' words about a company are theirs.
        .filter(|entry| entry.action != "tenant.note")
        .map(|entry| {
            json!({
                "at": entry.at, "actor": entry.actor, "action": entry.action, "before": entry.before,
                "after": entry.after,
            })
        })
        .collect();
    Ok(json!({
        "exported_at": app.clock.now(),
        "tenant": {
            "id": tenant.id, "company": tenant.company, "tier": tenant.tier, "created_at": tenant.created_at,
            "activated_at": tenant.activated_at, "seen_at": tenant.seen_at, "time_zone": tenant.time_zone,
        },
        "connection": connection,
        "service_fusion_account": app.vault.account(&tenant.id).await?,
        "members": members,
        "connections": connections,
        "tokens": tokens,
        "audit": entries,
    }))
}

/// Never its hash.
fn token(token: &Token) -> Value {
    json!({
        "id": token.id, "kind": token.kind.word(), "member_id": token.member_id, "name": token.name,
        "client": token.client, "form": token.form, "scopes": token.scopes, "created_at": token.created_at,
        "expires_at": token.expires_at, "last_used_at": token.last_used_at,
    })
}

/// How far an export is written.
enum Next {
    Head(String),
    /// The days after this one.
    Days(i64),
    /// The calls after this one.
    Events(i64, String),
}

/// The object, and in it the figures day by day and the single calls page by page: there may be millions.
fn written(
    app: Arc<App>,
    tenant_id: String,
    head: &Value,
) -> impl futures_util::Stream<Item = Result<String, store::Error>> + use<> {
    let head = head.to_string();
    // The object goes on where it would end.
    let begin = format!(
        "{},\"usage_days\":[",
        head.strip_suffix('}').unwrap_or_default()
    );
    futures_util::stream::try_unfold(Some(Next::Head(begin)), move |next| {
        let (app, tenant_id) = (Arc::clone(&app), tenant_id.clone());
        async move {
            match next {
                Some(next) => Ok(Some(piece(&app, &tenant_id, next).await?)),
                None => Ok(None),
            }
        }
    })
}

/// One piece of the text, and what comes after it.
async fn piece(
    app: &App,
    tenant_id: &str,
    next: Next,
) -> Result<(String, Option<Next>), store::Error> {
    Ok(match next {
        Next::Head(text) => (text, Some(Next::Days(i64::MIN))),
        Next::Days(after) => {
            let days = app.store.day_after(tenant_id, after).await?;
            match days.first().and_then(|day| day["day"].as_i64()) {
                Some(day) => (listed(&days, after == i64::MIN), Some(Next::Days(day))),
                None => (
                    "],\"usage_events\":[".to_owned(),
                    Some(Next::Events(i64::MIN, String::new())),
                ),
            }
        }
        Next::Events(at, id) => {
            let (keys, events): (Vec<_>, Vec<_>) = (app.store)
                .events_of(tenant_id, (at, &id), PAGE)
                .await?
                .into_iter()
                .unzip();
            match keys.into_iter().next_back() {
                Some((last_at, last_id)) => (
                    listed(&events, id.is_empty()),
                    Some(Next::Events(last_at, last_id)),
                ),
                None => ("]}".to_owned(), None),
            }
        }
    })
}

/// Some more of a list.
fn listed(values: &[Value], begins: bool) -> String {
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 || !begins {
            text.push(',');
        }
        text.push_str(&value.to_string());
    }
    text
}

/// What an owner may set about the company.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the company's "today" is, by its name in the time zone database.
    #[schema(example = "America/Chicago")]
    time_zone: String,
}

/// The company as it is set now.
#[derive(Serialize, ToSchema)]
pub struct Set {
    time_zone: String,
}

/// Set the company's time zone
///
/// From the next request on "today" and "tomorrow" are days of that zone.
#[utoipa::path(
    patch, path = "/api/tenant", tag = "company", request_body = Settings, security(("bearer" = [])),
    responses(
        (status = 200, description = "As it is now", body = Set),
        (status = 400, description = "`invalid_request`: there is no such zone", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn set(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(settings): Json<Settings>,
) -> Result<axum::Json<Set>, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let owner = caller.owner(&app).await?;
    let zone = time_zone::named(&settings.time_zone)?;
    set_time_zone(&app, &caller.tenant.id, &owner.email, &zone).await?;
    Ok(axum::Json(Set { time_zone: zone }))
}

/// Children notice at their company's next request.
pub async fn set_time_zone(
    app: &App,
    tenant_id: &str,
    actor: &str,
    zone: &str,
) -> Result<(), Problem> {
    let (change, now) = (Change::TimeZone(zone), app.clock.now());
    let changed = app
        .store
        .change_tenant(tenant_id, change, actor, now)
        .await?;
    changed.map(|_| ()).ok_or_else(Problem::unauthorized)
}

/// What must be said before a company ends.
#[derive(Deserialize, ToSchema)]
pub struct Removal {
    /// The company's name, as it is written.
    #[schema(example = "Comfort Air")]
    confirm: String,
}

/// Delete the company
///
/// At once and for good: its credentials, people, machines and figures. What was done is kept in the audit log.
#[utoipa::path(
    delete, path = "/api/tenant", tag = "company", request_body = Removal, security(("bearer" = [])),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "`confirmation_required`: the name is another one", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(form): Json<Removal>,
) -> Result<StatusCode, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let owner = caller.owner(&app).await?;
    removed(&app, &caller.tenant, &owner.email, &form.confirm).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a company whose name was said again.
pub async fn removed(
    app: &App,
    tenant: &Tenant,
    actor: &str,
    confirm: &str,
) -> Result<(), Problem> {
    if confirm.trim() != tenant.company {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "confirmation_required",
            "`confirm` must be the company's name as it is written; nothing was deleted.",
        ));
    }
    let now = app.clock.now();
    let deleting = app
        .store
        .change_tenant(&tenant.id, Change::Delete, actor, now);
    deleting.await?.ok_or_else(Problem::unauthorized)?;
    app.children.stop(&tenant.id).await;
    Ok(())
}
