//! Who may ask, and from which pages.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use sf_mcp::tools::listed::listed;

use crate::{
    admission::{Admitted, Judged, Known},
    app::App,
    error::Problem,
    gateway::envelope::Message,
    scopes,
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
const SENT: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id, traceparent, tracestate";
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
) -> Result<(Grant, Option<Judged>), Problem> {
    match app.admission.admit(&grant.known, counts).await? {
        Admitted::Gone => Err(Problem::unauthorized()),
        Admitted::Known(known, judged) => Ok((granted(known)?, judged)),
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

/// Tells a client where it gets a token, and that the one it sent is none.
pub(super) fn challenge(app: &App, response: &mut Response, was_sent: bool) {
    if response.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    let error = if was_sent {
        "error=\"invalid_token\", "
    } else {
        ""
    };
    let metadata = app.config.resource_metadata();
    let scope = scopes::READ;
    say(
        response,
        &format!("Bearer {error}resource_metadata=\"{metadata}\", scope=\"{scope}\""),
    );
}

fn say(response: &mut Response, challenge: &str) {
    if let Ok(value) = HeaderValue::from_str(challenge) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
}

/// The refusal of a tool that creates, for a token that may only read; the client can ask the person for more.
pub(super) fn too_weak(app: &App, grant: &Grant, message: &Message<'_>) -> Option<Response> {
    if message.method != "tools/call" || scopes::writes(&grant.token.scopes) {
        return None;
    }
    let tool = message.params.text("name")?;
    if !creates(&tool) {
        return None;
    }
    let detail = format!(
        "`{tool}` creates something, and this connection may only read. Connect again and tick that it may create; if there is no such box, ask an owner of the company."
    );
    let problem = Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", detail);
    let mut response = axum::response::IntoResponse::into_response(problem);
    let (metadata, scope) = (app.config.resource_metadata(), scopes::ALL);
    say(
        &mut response,
        &format!(
            "Bearer error=\"insufficient_scope\", scope=\"{scope}\", resource_metadata=\"{metadata}\", error_description=\"this tool creates something\""
        ),
    );
    Some(response)
}

/// Whether a tool is one that creates.
fn creates(name: &str) -> bool {
    let mut tools = listed().iter();
    tools.any(|tool| tool.creates && tool.name == name)
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
