//! The first page, and signing up on it: company and address, then six digits.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::{get, post},
};

use super::{confirm::proven, register};
use crate::{
    app::App,
    browser::Browser,
    email::Email,
    error::Problem,
    pages::{Frame, Instead, page, see_other},
    params::Params,
    visitor,
    web::{Source, to_the_end},
};

/// What is wrong with what a person typed, beside the field; empty when nothing is.
#[derive(Debug, Default)]
struct Wrong {
    company: String,
    email: String,
    /// With neither of them.
    whole: String,
}

#[derive(Template)]
#[template(path = "signup/first.html")]
struct First<'a> {
    frame: Frame,
    company: &'a str,
    email: &'a str,
    wrong: Wrong,
}

#[derive(Template)]
#[template(path = "signup/code.html")]
struct Code<'a> {
    frame: Frame,
    company: &'a str,
    email: &'a str,
    problem: &'a str,
}

/// For anybody; limits are those of the codes.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(first))
        .route("/sign-up", get(begin).post(address))
        .route("/sign-up/code", post(code).get(begin))
}

async fn first(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let browser = Browser::of(&app, &headers).await?;
    Ok(first_page(
        &app,
        browser,
        StatusCode::OK,
        &Params::parse(b""),
        Wrong::default(),
    ))
}

/// Loaded again, or typed by hand.
async fn begin() -> Response {
    see_other("/", None)
}

fn first_page(
    app: &App,
    browser: Browser,
    status: StatusCode,
    typed: &Params,
    wrong: Wrong,
) -> Response {
    let first = First {
        frame: Frame::new(app, &browser, "Ask about today's jobs in plain words"),
        company: typed.get("company").unwrap_or_default(),
        email: typed.get("email").unwrap_or_default(),
        wrong,
    };
    page(status, &first, Some(browser))
}

/// Step one: the answer is the same whether or not the address is known.
async fn address(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let browser = Browser::of(&app, &headers).await?;
    let (company, email) = match read(&form) {
        Ok(read) => read,
        Err(wrong) => {
            return Ok(first_page(
                &app,
                browser,
                StatusCode::BAD_REQUEST,
                &form,
                wrong,
            ));
        }
    };
    if let Err(problem) = register::send_code(&app, source, email.clone(), &company).await {
        let wrong = Wrong {
            whole: problem.detail.into_owned(),
            ..Wrong::default()
        };
        return Ok(first_page(&app, browser, problem.status, &form, wrong));
    }
    Ok(code_page(&app, browser, &email, &company, None))
}

fn read(form: &Params) -> Result<(String, Email), Wrong> {
    let company = register::company_name(form.get("company").unwrap_or_default());
    let email = Email::parse(form.get("email").unwrap_or_default());
    match (company, email) {
        (Ok(company), Ok(email)) => Ok((company, email)),
        (company, email) => Err(Wrong {
            company: company
                .err()
                .map(|problem| problem.detail.replace("`company`", "This"))
                .unwrap_or_default(),
            email: email
                .err()
                .map(|_| "Give one e-mail address, such as name@example.com.".to_owned())
                .unwrap_or_default(),
            whole: String::new(),
        }),
    }
}

fn code_page(
    app: &App,
    browser: Browser,
    email: &Email,
    company: &str,
    problem: Option<&Problem>,
) -> Response {
    let form = Code {
        frame: Frame::new(app, &browser, "Look into your mail").narrow(),
        company,
        email: email.as_str(),
        problem: problem.map_or("", |problem| &problem.detail),
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    page(status, &form, Some(browser))
}

/// Step two: right digits sign the person in, with another cookie than before.
async fn code(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let browser = Browser::of(&app, &headers).await?;
    let company = form.get("company").unwrap_or_default().to_owned();
    let Ok(email) = Email::parse(form.get("email").unwrap_or_default()) else {
        return Ok(see_other("/", None));
    };
    let otp = form.get("otp").unwrap_or_default().to_owned();
    let (whole, address) = (app.clone(), email.clone());
    let owner = to_the_end(async move { proven(&whole, &address, source, &otp).await });
    match owner.await {
        Ok(_) => {
            let browser = browser.sign_in(&app, &email).await?;
            Ok(see_other("/sign-up/connect", Some(browser)))
        }
        Err(problem) => Ok(code_page(&app, browser, &email, &company, Some(&problem))),
    }
}
