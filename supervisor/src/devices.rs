//! Machines of a company: each gets a token of its own after a code by mail, and can be revoked on its own.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    app::App,
    email::Email,
    error::{Problem, ProblemDetails},
    mailer::{Kind as Mail, Letter},
    one_time_codes::{self, CodeSent, Use},
    store::{Entry, Member, NewToken, Tenant, Token},
    tokens::{self, Kind},
    web::{Caller, Json, Source, not_suspended, owner_required, to_the_end},
};

/// Characters of a device's name.
const LONGEST_NAME: usize = 80;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
pub struct SignIn {
    #[schema(example = "anna@example.com")]
    email: String,
}

/// Ask for a sign-in code
///
/// For people of a company that has signed up. The answer is the same for every address; the mail to an unknown one
/// says that it is unknown.
#[utoipa::path(
    post, path = "/api/sign-in", tag = "devices", request_body = SignIn,
    responses(
        (status = 202, description = "A mail is on its way", body = CodeSent),
        (status = 400, description = "`invalid_request`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn sign_in(
    State(app): State<Arc<App>>,
    source: Source,
    Json(form): Json<SignIn>,
) -> Result<(StatusCode, axum::Json<CodeSent>), Problem> {
    let email = Email::parse(&form.email).map_err(Problem::from)?;
    // An unknown address gets a code too that nobody is told: the same statements run either way.
    let code = app.codes.create(&email, &source.network(), None).await?;
    let known = app.store.memberships(email.as_str()).await?;
    let kind = if known.is_empty() {
        Mail::NoAccount
    } else {
        Mail::SignIn { code, client: None }
    };
    app.mailer.send(Letter {
        to: email,
        kind,
        good_for: one_time_codes::LIFE,
    });
    Ok((StatusCode::ACCEPTED, axum::Json(CodeSent::now())))
}

/// A machine to be.
#[derive(Deserialize, ToSchema)]
pub struct Enrolment {
    #[schema(example = "anna@example.com")]
    email: String,
    #[schema(example = "042137")]
    otp: String,
    /// What the person calls the machine, up to 80 characters.
    #[schema(example = "Anna's laptop", max_length = 80)]
    name: String,
    /// Which company, for somebody who is in several.
    tenant_id: Option<String>,
}

/// The machine may ask for access tokens.
#[derive(Serialize, ToSchema)]
pub struct Enrolled {
    /// Shown this once.
    device_token: String,
    device_id: String,
    tenant_id: String,
    company: String,
}

/// Enrol a machine
///
/// With the code of a sign-in. Somebody who is in several companies is told which, and says which with the same code.
#[utoipa::path(
    post, path = "/api/devices", tag = "devices", request_body = Enrolment,
    responses(
        (status = 201, description = "The machine has a token", body = Enrolled),
        (status = 400, description = "`invalid_code`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "`tenant_suspended`, or `no_account`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "`choose_tenant`; `tenants` lists them, and the code stays good", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn enrol(
    State(app): State<Arc<App>>,
    source: Source,
    Json(form): Json<Enrolment>,
) -> Result<(StatusCode, axum::Json<Enrolled>), Problem> {
    let email = Email::parse(&form.email).map_err(Problem::from)?;
    let name = device_name(&form.name)?;
    let enrolled = to_the_end(async move { enrolled(&app, &email, source, &form, &name).await });
    Ok((StatusCode::CREATED, axum::Json(enrolled.await?)))
}

async fn enrolled(
    app: &App,
    email: &Email,
    source: Source,
    form: &Enrolment,
    name: &str,
) -> Result<Enrolled, Problem> {
    let known = app.store.memberships(email.as_str()).await?;
    let chosen = chosen(&known, form.tenant_id.as_deref());
    let usage = if chosen.is_none() && known.len() > 1 {
        Use::Keep
    } else {
        Use::Spend
    };
    app.codes
        .check(email, &source.network(), &form.otp, usage)
        .await?;
    let Some(member) = chosen else {
        return Err(which(app, &known).await?);
    };
    let tenant = app
        .store
        .tenant(&member.tenant_id)
        .await?
        .ok_or_else(no_account)?;
    not_suspended(&tenant)?;
    add(app, &tenant, member, name).await
}

/// The membership that is meant, if that is clear.
fn chosen<'a>(known: &'a [Member], tenant_id: Option<&str>) -> Option<&'a Member> {
    match (known, tenant_id) {
        (_, Some(id)) => known.iter().find(|member| member.tenant_id == id),
        ([only], None) => Some(only),
        _ => None,
    }
}

async fn which(app: &App, known: &[Member]) -> Result<Problem, Problem> {
    let mut tenants = Vec::new();
    for member in known {
        if let Some(tenant) = app.store.tenant(&member.tenant_id).await? {
            tenants.push(json!({"id": tenant.id, "company": tenant.company}));
        }
    }
    if tenants.is_empty() {
        return Ok(no_account());
    }
    Ok(Problem::new(
        StatusCode::CONFLICT,
        "choose_tenant",
        "You are in several companies; send the same again with `tenant_id`.",
    )
    .with("tenants", tenants.into()))
}

fn no_account() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "no_account",
        "Nobody has signed up with this address; sign up first, or ask a colleague to invite you.",
    )
}

async fn add(app: &App, tenant: &Tenant, member: &Member, name: &str) -> Result<Enrolled, Problem> {
    let new = tokens::generate(Kind::Device)?;
    let token = NewToken {
        tenant_id: &tenant.id,
        member_id: Some(&member.id),
        kind: Kind::Device,
        name,
        hash: &new.hash,
        client: None,
        form: Some("local"),
        scopes: &member.scopes,
        created_at: app.clock.now(),
        expires_at: None,
    };
    let device_id = app.store.add_token(&token).await?;
    let entry = Entry {
        at: token.created_at,
        actor: member.email.clone(),
        action: "device.enrol".to_owned(),
        tenant_id: Some(tenant.id.clone()),
        before: None,
        after: Some(json!({"token": device_id, "name": name}).to_string()),
    };
    app.store.note(&entry).await?;
    Ok(Enrolled {
        device_token: new.token.expose_secret().to_owned(),
        device_id,
        tenant_id: tenant.id.clone(),
        company: tenant.company.clone(),
    })
}

fn device_name(text: &str) -> Result<String, Problem> {
    let name = text.trim();
    let length = name.chars().count();
    if length == 0 || length > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "`name` must have 1 to {LONGEST_NAME} characters, such as `Anna's laptop`."
        )));
    }
    Ok(name.to_owned())
}

/// The machines of a company and its other tokens, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Devices {
    devices: Vec<Device>,
}

/// One machine, or one token of a person or a program; times are Unix milliseconds.
#[derive(Serialize, ToSchema)]
pub struct Device {
    id: String,
    /// `device` or `bearer`.
    kind: &'static str,
    name: String,
    /// The list was asked for with this one.
    current: bool,
    /// The client that its bundle was made for.
    client: Option<String>,
    /// `local` or `remote`.
    form: Option<String>,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl Device {
    fn new(token: Token, caller: &Caller) -> Self {
        Self {
            current: token.id == caller.token.id,
            kind: token.kind.word(),
            id: token.id,
            name: token.name,
            client: token.client,
            form: token.form,
            created_at: token.created_at,
            last_used_at: token.last_used_at,
        }
    }
}

/// List the machines and tokens
#[utoipa::path(
    get, path = "/api/devices", tag = "devices", security(("bearer" = [])),
    responses(
        (status = 200, description = "What can be revoked", body = Devices),
        (status = 401, description = "`invalid_token`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<axum::Json<Devices>, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let tokens = revocable(&app, &caller.tenant.id).await?;
    let devices = tokens.into_iter();
    let devices = devices.map(|token| Device::new(token, &caller)).collect();
    Ok(axum::Json(Devices { devices }))
}

/// What was handed to a machine, a program or a person: every token but those of an activation, which end soon.
pub async fn revocable(app: &App, tenant_id: &str) -> Result<Vec<Token>, Problem> {
    let mut tokens = app.store.tokens_of(tenant_id, Kind::Device).await?;
    let bearers = app.store.tokens_of(tenant_id, Kind::Bearer).await?;
    tokens.extend(bearers);
    tokens.sort_by_key(|token| std::cmp::Reverse(token.created_at));
    Ok(tokens)
}

/// Revoke a machine or a token
///
/// It is good for nothing any more, also when it is the one of this request. A machine gets no further access token. Owners may revoke all, others those they enrolled.
#[utoipa::path(
    delete, path = "/api/devices/{id}", tag = "devices", security(("bearer" = [])),
    params(("id" = String, Path, description = "As the list says it")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 403, description = "`owner_required`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let member = caller.member(&app).await?;
    revoked(&app, &member, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One of the company's machines or tokens, if this person may revoke it.
pub async fn of_person(app: &App, member: &Member, id: &str) -> Result<Token, Problem> {
    let tokens = revocable(app, &member.tenant_id).await?;
    let device = tokens
        .into_iter()
        .find(|token| token.id == id)
        .ok_or_else(|| Problem::not_found("device"))?;
    if !member.is_owner() && device.member_id.as_deref() != Some(&member.id) {
        return Err(owner_required());
    }
    Ok(device)
}

/// Revokes it; what it was.
pub async fn revoked(app: &App, member: &Member, id: &str) -> Result<Token, Problem> {
    let device = of_person(app, member, id).await?;
    end(app, &member.tenant_id, id, &member.email).await?;
    Ok(device)
}

/// Revoke this machine
///
/// With its own token, when it signs out.
#[utoipa::path(
    delete, path = "/api/devices/self", tag = "devices", security(("device" = [])),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "`invalid_token`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn leave(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<StatusCode, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Device]).await?;
    let actor = caller.member(&app).await;
    let actor = actor.map_or_else(|_| "device".to_owned(), |member| member.email);
    end(&app, &caller.tenant.id, &caller.token.id, &actor).await
}

async fn end(app: &App, tenant_id: &str, id: &str, actor: &str) -> Result<StatusCode, Problem> {
    let now = app.clock.now();
    if app.store.revoke_for(tenant_id, id, actor, now).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("device"))
    }
}
