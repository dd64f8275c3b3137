//! Pages for people: HTML without scripts, that nobody may frame and nobody keeps.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

use super::browser::Browser;
use crate::error::Problem;

/// Who signs in, by address.
#[derive(Template)]
#[template(path = "oauth/sign_in.html")]
pub(super) struct SignIn<'a> {
    pub(super) client: &'a str,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
    pub(super) problem: &'a str,
}

/// The six digits.
#[derive(Template)]
#[template(path = "oauth/code.html")]
pub(super) struct Code<'a> {
    pub(super) client: &'a str,
    pub(super) email: &'a str,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
    pub(super) problem: &'a str,
}

/// A company that the person is in.
pub(super) struct Company {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) writes: bool,
}

/// What is allowed, and to whom.
#[derive(Template)]
#[template(path = "oauth/consent.html")]
pub(super) struct Consent<'a> {
    pub(super) client: &'a str,
    /// The host of the client's document, else empty: nothing proves who it is.
    pub(super) client_host: &'a str,
    pub(super) redirect_host: &'a str,
    pub(super) is_loopback: bool,
    pub(super) email: &'a str,
    pub(super) companies: &'a [Company],
    pub(super) offers_write: bool,
    pub(super) asks_write: bool,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
}

/// Something to read.
#[derive(Template)]
#[template(path = "oauth/message.html")]
pub(super) struct Message<'a> {
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
}

/// A page for a browser. Its forms lead to this service, and from there perhaps to `target`.
pub(super) fn page(
    status: StatusCode,
    template: &impl Template,
    browser: Option<Browser>,
    target: &str,
) -> Response {
    let Ok(html) = template.render() else {
        return Problem::internal().into_response();
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {target}; frame-ancestors 'none'; base-uri 'none'"
    );
    let policy = HeaderValue::from_str(&policy);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        policy.unwrap_or(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        )),
    );
    protect(&mut response);
    if let Some(browser) = browser {
        browser.remember(response.headers_mut());
    }
    response
}

/// What a failed request says to a person.
pub(super) fn failed(problem: &Problem) -> Response {
    let message = Message {
        title: "This did not work",
        text: &problem.detail,
        request: "",
        form_token: "",
    };
    let mut response = page(problem.status, &message, None, "");
    if let Some(seconds) = problem.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Sends the browser elsewhere with a GET.
pub(super) fn see_other(location: &str, browser: Option<Browser>) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return failed(&Problem::invalid(
            "The address to go back to cannot be used.",
        ));
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    protect(&mut response);
    if let Some(browser) = browser {
        browser.remember(response.headers_mut());
    }
    response
}

fn protect(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        // Without it a browser does not say where a form comes from.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The pages' style sheet.
pub(super) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("../../templates/oauth/style.css")).into_response()
}
