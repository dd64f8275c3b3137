//! Step two: the code from the mail proves the address.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::App,
    email::Email,
    error::{Problem, ProblemDetails},
    one_time_codes::{Refused, Use},
    store::{Entry, Member, NewToken},
    tokens::{self, Kind, New},
    web::{Json, Source, to_the_end},
};

/// How long an activation token is good.
const ACTIVATION_LIFE: Duration = Duration::from_mins(30);

/// The code that came by mail.
#[derive(Deserialize, ToSchema)]
pub struct Confirmation {
    #[schema(example = "anna@example.com")]
    email: String,
    #[schema(example = "042137")]
    otp: String,
}

/// The address is proven.
#[derive(Serialize, ToSchema)]
pub struct Confirmed {
    tenant_id: String,
    /// For `POST /api/activate`, as a bearer token; it works once.
    activation_token: String,
    /// Seconds for which the activation token is good.
    #[schema(example = 1800)]
    expires_in: u64,
}

/// Spend the code
///
/// A new address gets a company of its own; one that owns a company is led to it, to replace its credentials. A code
/// works once, and not after five wrong tries.
#[utoipa::path(
    post, path = "/api/confirm", tag = "sign-up", request_body = Confirmation,
    responses(
        (status = 200, description = "The address is proven", body = Confirmed),
        (status = 400, description = "`invalid_code`: wrong, used, replaced or out of date", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn confirm(
    State(app): State<Arc<App>>,
    source: Source,
    Json(form): Json<Confirmation>,
) -> Result<axum::Json<Confirmed>, Problem> {
    let email = Email::parse(&form.email).map_err(Problem::from)?;
    let confirmed = to_the_end(async move { confirmed(&app, &email, source, &form.otp).await });
    Ok(axum::Json(confirmed.await?))
}

async fn confirmed(
    app: &App,
    email: &Email,
    source: Source,
    otp: &str,
) -> Result<Confirmed, Problem> {
    let owner = proven(app, email, source, otp).await?;
    let (new, _) = activation(app, &owner, "activation").await?;
    Ok(Confirmed {
        tenant_id: owner.tenant_id,
        activation_token: new.token.expose_secret().to_owned(),
        expires_in: ACTIVATION_LIFE.as_secs(),
    })
}

/// Spends the code and tells whose it was.
pub(super) async fn proven(
    app: &App,
    email: &Email,
    source: Source,
    otp: &str,
) -> Result<Member, Problem> {
    let network = source.network();
    let company = app.codes.check(email, &network, otp, Use::Spend).await?;
    owner(app, email, company).await
}

/// An activation token of an owner, and its id.
pub(super) async fn activation(
    app: &App,
    owner: &Member,
    name: &str,
) -> Result<(New, String), Problem> {
    let new = tokens::generate(Kind::Activation)?;
    let now = app.clock.now();
    let token = NewToken {
        tenant_id: &owner.tenant_id,
        member_id: Some(&owner.id),
        kind: Kind::Activation,
        name,
        hash: &new.hash,
        client: None,
        form: None,
        scopes: "",
        created_at: now,
        expires_at: Some(now + i64::try_from(ACTIVATION_LIFE.as_millis()).unwrap_or(0)),
    };
    let id = app.store.add_token(&token).await?;
    Ok((new, id))
}

/// The owner that the address is, or becomes.
async fn owner(app: &App, email: &Email, company: Option<String>) -> Result<Member, Problem> {
    let now = app.clock.now();
    let known = app.store.memberships(email.as_str()).await?;
    if let Some(owner) = known.into_iter().find(Member::is_owner) {
        if let Some(company) = company {
            app.store
                .rename_inactive(&owner.tenant_id, &company)
                .await?;
        }
        return Ok(owner);
    }
    // The code of a sign-in names no company.
    let company = company.ok_or_else(|| Problem::from(Refused::Wrong))?;
    let tier = &app.config.default_tier;
    let owner = app
        .store
        .add_tenant(&company, email.as_str(), tier, now)
        .await?;
    let entry = Entry {
        at: now,
        actor: email.as_str().to_owned(),
        action: "tenant.register".to_owned(),
        tenant_id: Some(owner.tenant_id.clone()),
        before: None,
        after: Some(serde_json::json!({"company": company}).to_string()),
    };
    app.store.note(&entry).await?;
    Ok(owner)
}
