//! Who may ask, and from which pages.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use crate::{
    admission::{Admitted, Known},
    app::App,
    error::Problem,
    rate::Standing,
    store::{Tenant, Token},
    tokens::{self, Kind},
    web,
};

/// Pages of AI clients that run in a browser.
const PAGES: [&str; 3] = [
    "https://claude.ai",
    "https://claude.com",
    "https://chatgpt.com",
];
/// What such pages may send and read.
const SENT: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id";
const READ: &str = "www-authenticate, retry-after, ratelimit, ratelimit-policy, x-request-id";

/// The company a request is for: by its token and by nothing else.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) tenant: Arc<Tenant>,
    pub(super) token: Arc<Token>,
    known: Known,
}

/// Checks the token of a request, at each request anew: what was revoked or suspended is refused at the next one.
/// Enough to read the body; nothing is done before it is `admitted` too.
pub(super) async fn grant(app: &App, headers: &HeaderMap) -> Result<Grant, Problem> {
    let text = web::bearer(headers).ok_or_else(Problem::unauthorized)?;
    let known = app.admission.find(&tokens::hash(text)).await?;
    granted(known.ok_or_else(Problem::unauthorized)?)
}

/// Checks the token once more, now that the message is known, and has the tier judge it when it counts.
pub(super) async fn admitted(
    app: &App,
    grant: Grant,
    counts: bool,
) -> Result<(Grant, Option<Standing>), Problem> {
    match app.admission.admit(&grant.known, counts).await? {
        Admitted::Gone => Err(Problem::unauthorized()),
        Admitted::Known(known, standing) => Ok((granted(known)?, standing)),
    }
}

fn granted(known: Known) -> Result<Grant, Problem> {
    if known.token.kind != Kind::Bearer {
        return Err(Problem::unauthorized());
    }
    web::not_suspended(&known.tenant)?;
    Ok(Grant {
        tenant: Arc::clone(&known.tenant),
        token: Arc::clone(&known.token),
        known,
    })
}

/// The page a request comes from, where a browser says one; a foreign page is refused before anything else.
pub(super) fn origin(app: &App, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Ok(None);
    };
    let text = origin.to_str().unwrap_or_default();
    let is_known = PAGES.contains(&text) || text == app.config.public_url || is_loopback(text);
    if is_known && origins.next().is_none() {
        return Ok(Some(origin.clone()));
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "foreign_origin",
        "Pages of that origin may not call this service.",
    ))
}

/// Tools of developers, on their own machine; they need a token like everyone.
fn is_loopback(origin: &str) -> bool {
    let Ok(url) = url::Url::parse(origin) else {
        return false;
    };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Lets the page read the answer.
pub(super) fn open_to(response: &mut Response, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(READ),
        );
    }
}

/// The answer to a browser that asks what a page may send.
pub(super) fn preflight(origin: Option<HeaderValue>) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    open_to(&mut response, origin);
    response
}
