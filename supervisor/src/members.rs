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
    store::Member,
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
    let email = Email::parse(&form.email).map_err(Problem::from)?;
    let scopes = scopes::asked(form.scopes.as_deref()).ok_or_else(|| {
        Problem::invalid(
            "`scopes` must be `sf:read`, or `sf:read sf:write` for somebody who may create.",
        )
    })?;
    let (tenant, now) = (&caller.tenant, app.clock.now());
    if let Some(reached) = limits::take(&app.store, INVITATIONS, &tenant.id, now).await? {
        return Err(Problem::too_many(reached.seconds));
    }
    let invited = app
        .store
        .invite(&tenant.id, email.as_str(), scopes, &owner.email, now)
        .await?
        .ok_or_else(|| {
            Problem::new(
                StatusCode::CONFLICT,
                "already_member",
                "This address is in the company already; to change what it may do, remove it and invite it again.",
            )
        })?;
    app.mailer.send(Letter {
        to: email,
        kind: Mail::Invited {
            company: tenant.company.clone(),
        },
        good_for: WORTH_SENDING,
    });
    Ok((StatusCode::CREATED, axum::Json(invited.into())))
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
    let member = app.store.member(&caller.tenant.id, &id).await?;
    let member = member.ok_or_else(|| Problem::not_found("member"))?;
    if member.is_owner() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "owner_stays",
            "An owner cannot be removed; an owner can delete the company.",
        ));
    }
    let now = app.clock.now();
    if app.store.remove_member(&member, &owner.email, now).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("member"))
    }
}
