//! The page on which a person allows a client, and what follows from it. It is shown each time.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    authorize::{Asked, asked, back, sign_in_page},
    page::{Company, Consent, Message},
    redirect,
};
use crate::{
    app::App,
    browser::Browser,
    error::Problem,
    ids,
    pages::{self, Frame, page, page_to},
    params::Params,
    scopes,
    store::{Entry, Family, Member, NewOauthCode},
    tokens,
    web::Source,
};

/// How long a code is good (ms).
const CODE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// A connection that is not used ends after this.
pub(super) const IDLE: i64 = 30 * DAY;
/// Every connection ends after this.
const LIFE: i64 = 90 * DAY;

/// Puts a request before whoever has signed in.
pub(super) async fn ask(app: &App, browser: Browser, asked: &Asked) -> Result<Response, Problem> {
    let email = browser.email.clone().unwrap_or_default();
    let companies: Vec<_> = memberships(app, &email)
        .await?
        .into_iter()
        .map(|(member, name)| Company {
            id: member.tenant_id,
            name,
            writes: scopes::writes(&member.scopes),
        })
        .collect();
    let form_token = browser.form_token(app, &asked.request);
    if companies.is_empty() {
        let message = Message {
            frame: Frame::plain("There is no company to connect"),
            text: "Nobody has signed up or invited this address, or the company is suspended. Sign up first, ask a colleague to invite you, or use the address that you gave there.",
            request: &asked.request,
            form_token: &form_token,
        };
        return Ok(page(StatusCode::FORBIDDEN, &message, Some(browser)));
    }
    let consent = Consent {
        frame: Frame::plain(format!("Connect “{}”?", asked.client.name)),
        client: &asked.client.name,
        client_host: asked.client.host.as_deref().unwrap_or_default(),
        redirect_host: &redirect::host(&asked.redirect_uri),
        is_loopback: redirect::is_loopback(&asked.redirect_uri),
        email: &email,
        offers_write: companies.iter().any(|company| company.writes),
        asks_write: scopes::writes(asked.scopes),
        companies: &companies,
        request: &asked.request,
        form_token: &form_token,
    };
    let target = redirect::form_target(&asked.redirect_uri);
    Ok(page_to(StatusCode::OK, &consent, Some(browser), &target))
}

/// The person's companies that are not suspended, with their names.
async fn memberships(app: &App, email: &str) -> Result<Vec<(Member, String)>, Problem> {
    let mut found = Vec::new();
    for member in app.store.memberships(email).await? {
        let tenant = app.store.tenant(&member.tenant_id).await?;
        if let Some(tenant) = tenant.filter(|tenant| tenant.suspended_at.is_none()) {
            found.push((member, tenant.company));
        }
    }
    Ok(found)
}

/// The person has decided.
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Params::parse(&body);
    let browser = match Browser::posted(&app, &headers, &form).await {
        Ok(browser) => browser,
        Err(problem) => return pages::failed(&problem),
    };
    let request = form.get("request").unwrap_or_default();
    let asked = match asked(&app, &source.network(), request).await {
        Ok(asked) => asked,
        Err(wrong) => return wrong.into_page(&app),
    };
    let Some(email) = browser.email.clone() else {
        let over = "Your sign-in is over; sign in again.";
        return sign_in_page(&app, browser, &asked, StatusCode::OK, over);
    };
    let location = match form.get("decision") {
        Some("allow") => allow(&app, &asked, &email, &form).await,
        _ => Ok(back(
            &app,
            &asked.redirect_uri,
            asked.state.as_deref(),
            &[
                ("error", "access_denied"),
                ("error_description", "the person did not allow it"),
            ],
        )),
    };
    match location {
        Ok(location) => pages::see_other(&location, None),
        Err(problem) => pages::failed(&problem),
    }
}

/// Keeps the consent and returns where the browser takes its code.
async fn allow(app: &App, asked: &Asked, email: &str, form: &Params) -> Result<String, Problem> {
    let tenant_id = form.get("tenant_id").unwrap_or_default();
    let known = memberships(app, email).await?;
    let member = known
        .into_iter()
        .map(|(member, _)| member)
        .find(|member| member.tenant_id == tenant_id)
        .ok_or_else(|| {
            Problem::invalid("Choose one of your companies: go back, choose it, and allow again.")
        })?;
    let now = app.clock.now();
    let ticked = form.get("write") == Some("yes");
    let family = Family {
        id: ids::new("con")?,
        tenant_id: member.tenant_id.clone(),
        member_id: member.id.clone(),
        client_id: asked.client.id.clone(),
        client_name: asked.client.name.clone(),
        client_host: host(asked),
        scopes: scopes::both(scopes::of(ticked), &member.scopes).to_owned(),
        resource: app.config.resource(),
        generation: 0,
        created_at: now,
        idle_until: now + IDLE,
        expires_at: now + LIFE,
        last_used_at: None,
        revoked_at: None,
        revoked_why: None,
    };
    let code = tokens::with_prefix("sfc_")?;
    let new = NewOauthCode {
        hash: &code.hash,
        redirect_uri: &asked.redirect_uri,
        challenge: &asked.challenge,
        expires_at: now + CODE,
    };
    app.store.add_family(&family, &new).await?;
    app.store.touch_client(&asked.client.id, now).await?;
    let entry = Entry {
        at: now,
        actor: member.email,
        action: "oauth.allow".to_owned(),
        tenant_id: Some(member.tenant_id),
        before: None,
        after: Some(
            json!({
                "connection": family.id, "client": family.client_name, "client_id": family.client_id,
                "host": family.client_host, "scopes": family.scopes,
            })
            .to_string(),
        ),
    };
    app.store.note(&entry).await?;
    let said = [("code", code.token.expose_secret())];
    Ok(back(
        app,
        &asked.redirect_uri,
        asked.state.as_deref(),
        &said,
    ))
}

/// By which host a person recognises the client later.
fn host(asked: &Asked) -> String {
    let host = asked.client.host.clone();
    host.unwrap_or_else(|| redirect::host(&asked.redirect_uri))
}
