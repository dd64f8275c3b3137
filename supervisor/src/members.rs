//! People of a company: its owners invite colleagues by e-mail address, each with scopes of their own.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::App,
    email::Email,
    error::{Problem, ProblemDetails},
    limits::{self, Limit},
    mailer::{Kind as Mail, Letter},
    scopes,
    store::{Member, Role, Tenant},
    tokens::Kind,
    web::{Caller, Json},
};

/// A mail server that is down for so long has lost the invitation; the colleague can sign in all the same.
const WORTH_SENDING: Duration = Duration::from_hours(12);
const INVITATIONS: Limit = Limit {
    name: "invitations/tenant",
    most: 30,
    window: 3_600_000,
};

/// A colleague to be.
#[derive(Deserialize, ToSchema)]
pub struct Invitation {
    #[schema(example = "bert@example.com")]
    email: String,
    /// `sf:read`, or `sf:read sf:write` for somebody who may create; nothing said is `sf:read`.
    #[schema(example = "sf:read")]
    scopes: Option<String>,
}

/// The people of a company, the oldest first.
#[derive(Serialize, ToSchema)]
pub struct People {
    members: Vec<Person>,
}

/// One person; times are Unix milliseconds.
#[derive(Serialize, ToSchema)]
pub struct Person {
    id: String,
    email: String,
    /// `owner` or `member`.
    role: &'static str,
    scopes: String,
    created_at: i64,
}

impl From<Member> for Person {
    fn from(member: Member) -> Self {
        Self {
            role: member.role.word(),
            id: member.id,
            email: member.email,
            scopes: member.scopes,
            created_at: member.created_at,
        }
    }
}

/// Invite a colleague
///
/// The colleague gets a mail and signs in with a code, on machines and in AI clients.
#[utoipa::path(
    post, path = "/api/members", tag = "company", request_body = Invitation, security(("bearer" = [])),
    responses(
        (status = 201, description = "Invited", body = Person),
        (status = 400, description = "`invalid_request`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`already_member`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn invite(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(form): Json<Invitation>,
) -> Result<(StatusCode, axum::Json<Person>), Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let owner = caller.owner(&app).await?;
    let scopes = asked(form.scopes.as_deref())?;
    let invited = invited(&app, &caller.tenant, &owner.email, &form.email, scopes).await?;
    Ok((StatusCode::CREATED, axum::Json(invited.into())))
}

fn asked(scopes: Option<&str>) -> Result<&'static str, Problem> {
    scopes::asked(scopes).ok_or_else(|| {
        Problem::invalid(
            "`scopes` must be `sf:read`, or `sf:read sf:write` for somebody who may create.",
        )
    })
}

/// Lets an address in and writes to it.
pub async fn invited(
    app: &App,
    tenant: &Tenant,
    actor: &str,
    email: &str,
    scopes: &str,
) -> Result<Member, Problem> {
    let email = Email::parse(email).map_err(Problem::from)?;
    let now = app.clock.now();
    if let Some(reached) = limits::take(&app.store, INVITATIONS, &tenant.id, now).await? {
        return Err(Problem::too_many(reached.seconds));
    }
    let invited = app
        .store
        .invite(&tenant.id, email.as_str(), scopes, actor, now)
        .await?
        .ok_or_else(|| {
            Problem::new(
                StatusCode::CONFLICT,
                "already_member",
                "This address is in the company already; change what it may do in the list of people.",
            )
        })?;
    app.mailer.send(Letter {
        to: email,
        kind: Mail::Invited {
            company: tenant.company.clone(),
        },
        good_for: WORTH_SENDING,
    });
    Ok(invited)
}

/// What somebody may do from now on; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// `owner` or `member`. A company keeps at least one owner.
    #[schema(example = "owner")]
    role: Option<String>,
    /// `sf:read` or `sf:read sf:write`.
    scopes: Option<String>,
}

/// Change what a person may do
///
/// Less holds at once, for machines, tokens and AI clients that are theirs too; for more they connect these again.
#[utoipa::path(
    patch, path = "/api/members/{id}", tag = "company", request_body = Changes, security(("bearer" = [])),
    params(("id" = String, Path, description = "As the list says it")),
    responses(
        (status = 200, description = "As it is now", body = Person),
        (status = 400, description = "`invalid_request`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`owner_stays`: it is the only owner", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(form): Json<Changes>,
) -> Result<axum::Json<Person>, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let owner = caller.owner(&app).await?;
    let role = match form.role.as_deref() {
        None => None,
        Some("owner") => Some(Role::Owner),
        Some("member") => Some(Role::Member),
        Some(_) => return Err(Problem::invalid("`role` must be `owner` or `member`.")),
    };
    let scopes = form.scopes.as_deref().map(|text| asked(Some(text)));
    let scopes = scopes.transpose()?;
    let changed = changed(&app, &caller.tenant.id, &owner.email, &id, (role, scopes)).await?;
    Ok(axum::Json(changed.into()))
}

/// Gives a person another role or other scopes.
pub async fn changed(
    app: &App,
    tenant_id: &str,
    actor: &str,
    id: &str,
    (role, scopes): (Option<Role>, Option<&str>),
) -> Result<Member, Problem> {
    let before = app.store.member(tenant_id, id).await?;
    let before = before.ok_or_else(|| Problem::not_found("member"))?;
    let after = Member {
        role: role.unwrap_or(before.role),
        scopes: scopes.unwrap_or(&before.scopes).to_owned(),
        ..before.clone()
    };
    let now = app.clock.now();
    if app.store.change_member(&before, &after, actor, now).await? {
        return Ok(after);
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "owner_stays",
        "A company keeps at least one owner; make somebody else an owner first.",
    ))
}

/// List the people
#[utoipa::path(
    get, path = "/api/members", tag = "company", security(("bearer" = [])),
    responses(
        (status = 200, description = "The company's people", body = People),
        (status = 401, description = "`invalid_token`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<axum::Json<People>, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    caller.member(&app).await?;
    let members = app.store.members(&caller.tenant.id).await?;
    let members = members.into_iter().map(Person::from).collect();
    Ok(axum::Json(People { members }))
}

/// Remove a colleague
///
/// With all machines, tokens and AI clients that are theirs, at once. An owner cannot be removed.
#[utoipa::path(
    delete, path = "/api/members/{id}", tag = "company", security(("bearer" = [])),
    params(("id" = String, Path, description = "As the list says it")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`owner_stays`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let owner = caller.owner(&app).await?;
    removed(&app, &caller.tenant.id, &owner.email, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a person out; who they were.
pub async fn removed(app: &App, tenant_id: &str, actor: &str, id: &str) -> Result<Member, Problem> {
    let member = app.store.member(tenant_id, id).await?;
    let member = member.ok_or_else(|| Problem::not_found("member"))?;
    if member.is_owner() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "owner_stays",
            "An owner cannot be removed; make them a member first, or delete the company.",
        ));
    }
    let now = app.clock.now();
    if app.store.remove_member(&member, actor, now).await? {
        Ok(member)
    } else {
        Err(Problem::not_found("member"))
    }
}
