//! Where Service Fusion sends the browser back to after a consent.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    activate::{actor, store},
    browser::{ACTIVATED, PAGE, PENDING, place, redirect_uri},
    proof::Client,
};
use crate::{
    app::App,
    browser::Browser,
    error::Problem,
    pages::{self, Frame},
    store::BrowserGrant,
    tokens,
    web::{Caller, to_the_end},
};

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
