//! Signing in by e-mail address and six digits, on the way to a consent.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    authorize::{Asked, asked, sign_in_page},
    page::Code,
};
use crate::{
    app::App,
    browser::Browser,
    email::Email,
    error::Problem,
    mailer::{Kind as Mail, Letter},
    one_time_codes::{self, Use},
    pages::{self, Frame, page},
    params::Params,
    web::Source,
};

/// A form of ours: who sends it, and the request it is about.
async fn posted(
    app: &App,
    source: Source,
    headers: &HeaderMap,
    form: &Params,
) -> Result<(Browser, Asked), Box<Response>> {
    let browser = Browser::posted(app, headers, form)
        .await
        .map_err(|problem| pages::failed(&problem))?;
    let request = form.get("request").unwrap_or_default();
    let asked = asked(app, &source.network(), request)
        .await
        .map_err(|wrong| wrong.into_page(app))?;
    Ok((browser, asked))
}

/// An address was given: it gets a mail, and whether it is known is said in the mail alone.
pub(super) async fn address(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Params::parse(&body);
    let (browser, asked) = match posted(&app, source, &headers, &form).await {
        Ok(posted) => posted,
        Err(response) => return *response,
    };
    let Ok(email) = Email::parse(form.get("email").unwrap_or_default()) else {
        let problem = "Give one e-mail address, such as name@example.com.";
        return sign_in_page(&app, browser, &asked, StatusCode::BAD_REQUEST, problem);
    };
    match send(&app, source, &email, &asked.client.name).await {
        Ok(()) => code_page(&app, browser, &asked, &email, StatusCode::OK, ""),
        Err(problem) => sign_in_page(&app, browser, &asked, problem.status, &problem.detail),
    }
}

async fn send(app: &App, source: Source, email: &Email, client: &str) -> Result<(), Problem> {
    let code = app.codes.create(email, &source.network(), None).await?;
    let known = app.store.memberships(email.as_str()).await?;
    let kind = if known.is_empty() {
        Mail::NoAccount
    } else {
        Mail::SignIn {
            code,
            client: Some(client.to_owned()),
        }
    };
    app.mailer.send(Letter {
        to: email.clone(),
        kind,
        good_for: one_time_codes::LIFE,
    });
    Ok(())
}

fn code_page(
    app: &App,
    browser: Browser,
    asked: &Asked,
    email: &Email,
    status: StatusCode,
    problem: &str,
) -> Response {
    let form = Code {
        frame: Frame::plain("Look into your mail"),
        client: &asked.client.name,
        email: email.as_str(),
        request: &asked.request,
        form_token: &browser.form_token(app, &asked.request),
        problem,
    };
    page(status, &form, Some(browser))
}

/// The digits were given; right ones lead to the consent.
pub(super) async fn code(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Params::parse(&body);
    let (browser, asked) = match posted(&app, source, &headers, &form).await {
        Ok(posted) => posted,
        Err(response) => return *response,
    };
    let Ok(email) = Email::parse(form.get("email").unwrap_or_default()) else {
        return sign_in_page(&app, browser, &asked, StatusCode::BAD_REQUEST, "");
    };
    let otp = form.get("otp").unwrap_or_default();
    let network = source.network();
    let checked = app.codes.check(&email, &network, otp, Use::Spend).await;
    if let Err(refused) = checked {
        let problem = Problem::from(refused);
        return code_page(
            &app,
            browser,
            &asked,
            &email,
            problem.status,
            &problem.detail,
        );
    }
    match browser.sign_in(&app, &email).await {
        Ok(browser) => again(&asked.request, browser),
        Err(problem) => pages::failed(&problem),
    }
}

/// Somebody else sits here.
pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Params::parse(&body);
    let (browser, asked) = match posted(&app, source, &headers, &form).await {
        Ok(posted) => posted,
        Err(response) => return *response,
    };
    match browser.sign_out(&app).await {
        Ok(browser) => again(&asked.request, browser),
        Err(problem) => pages::failed(&problem),
    }
}

/// Back to the request, as who the browser is now.
fn again(request: &str, browser: Browser) -> Response {
    pages::see_other(&format!("/oauth/authorize?{request}"), Some(browser))
}
