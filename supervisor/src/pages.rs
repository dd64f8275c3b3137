//! What every page for people shares: its frame, its headers, its style sheet and its script.
//!
//! A template extends `base.html` and holds a [`Frame`] as `frame`. Each page works without its script; nobody may frame
//! it or keep it, and nothing is loaded from elsewhere.

pub mod assets;
mod frame;
pub mod moment;
pub mod nav;

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, Version, header},
    response::{Html, IntoResponse, Response},
};
use tower_http::compression::CompressionLayer;

pub use self::frame::{Frame, Notice};
use crate::{app::App, browser::Browser, error::Problem, web};

/// Something to read, and where to go from there.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    frame: Frame,
    text: &'a str,
    /// Empty when no log has anything to add.
    request_id: String,
    /// An address and its words, or nothing.
    next: Option<(&'a str, &'a str)>,
}

/// What is shown in place of the page that was asked for: a sign-in, a refusal, a failure. Handlers may return it as
/// their error, and a [`Problem`] becomes one by `?`.
#[derive(Debug)]
pub struct Instead(Box<Response>);

impl From<Response> for Instead {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<Problem> for Instead {
    fn from(problem: Problem) -> Self {
        failed(&problem).into()
    }
}

impl From<crate::store::Error> for Instead {
    fn from(problem: crate::store::Error) -> Self {
        Problem::from(problem).into()
    }
}

impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// A page for a browser, whose cookie is set if it is a new one.
pub fn page(status: StatusCode, template: &impl Template, browser: Option<Browser>) -> Response {
    page_to(status, template, browser, "")
}

/// As `page`; its forms may lead on to `target`, an origin or a scheme, from where this service redirects.
pub fn page_to(
    status: StatusCode,
    template: &impl Template,
    browser: Option<Browser>,
    target: &str,
) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(problem) => {
            tracing::error!(%problem, "a page cannot be made");
            return Problem::internal().into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'{}{target}; frame-ancestors 'none'; base-uri 'none'",
        if target.is_empty() { "" } else { " " }
    );
    let policy = HeaderValue::from_str(&policy);
    response.headers_mut().insert(
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

/// Sends the browser elsewhere with a GET.
pub fn see_other(location: &str, browser: Option<Browser>) -> Response {
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

/// What a failed request says to a person.
pub fn failed(problem: &Problem) -> Response {
    let title = match problem.status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::TOO_MANY_REQUESTS => "That was too often",
        status if status.is_server_error() => "Something failed on our side",
        _ => "This did not work",
    };
    let request_id = if problem.status.is_server_error() {
        web::request_id()
    } else {
        String::new()
    };
    let is_lost = problem.status == StatusCode::NOT_FOUND;
    let message = Message {
        frame: Frame::plain(title),
        text: &problem.detail,
        request_id,
        next: is_lost.then_some(("/", "Go to the first page")),
    };
    let mut response = page(problem.status, &message, None);
    if let Some(seconds) = problem.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A page that only says something, for whoever looks.
pub fn says(status: StatusCode, frame: Frame, text: &str, next: Option<(&str, &str)>) -> Response {
    let message = Message {
        frame,
        text,
        request_id: String::new(),
        next,
    };
    page(status, &message, None)
}

/// Not found, and nothing told of what there is.
pub fn not_found() -> Response {
    failed(&Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "Nothing is at this address, or it is not for you. Perhaps you are signed in with another e-mail address.",
    ))
}

/// Whether a person's browser asks, and no program.
pub fn is_for_person(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
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

/// Sends pages and what belongs to them compressed; a download is compressed already, or short.
pub fn compressed(routes: Router<Arc<App>>) -> Router<Arc<App>> {
    let text = |_: StatusCode, _: Version, headers: &HeaderMap, _: &axum::http::Extensions| {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        ["text/html", "text/css", "text/javascript", "image/svg"]
            .iter()
            .any(|known| kind.starts_with(known))
    };
    routes.layer(CompressionLayer::new().compress_when(text))
}
