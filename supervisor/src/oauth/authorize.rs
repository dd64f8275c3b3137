//! `/oauth/authorize`: what a client asks for, checked anew at every step, and the page that follows from it.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use url::form_urlencoded;

use super::{
    client::{self, Client},
    consent,
    page::SignIn,
    pkce, redirect,
};
use crate::{
    app::App,
    browser::Browser,
    error::Problem,
    pages::{self, Frame, page},
    params::Params,
    scopes,
    web::Source,
};

/// Characters of a client's state.
const LONGEST_STATE: usize = 4_096;

/// A request that may be put before a person.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
    pub(super) scopes: &'static str,
    /// The query as it came.
    pub(super) request: String,
}

/// Why it may not.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The browser stays here: nobody knows where else it might safely go.
    Here(Problem),
    /// The client is told.
    There {
        redirect_uri: String,
        state: Option<String>,
        code: &'static str,
        description: &'static str,
    },
}

impl Wrong {
    pub(super) fn into_page(self, app: &App) -> Response {
        match self {
            Self::Here(problem) => pages::failed(&problem),
            Self::There {
                redirect_uri,
                state,
                code,
                description,
            } => {
                let said = [("error", code), ("error_description", description)];
                pages::see_other(&back(app, &redirect_uri, state.as_deref(), &said), None)
            }
        }
    }
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Self {
        Self::Here(problem)
    }
}

pub(super) async fn authorize(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let asked = match asked(&app, &source.network(), &query.unwrap_or_default()).await {
        Ok(asked) => asked,
        Err(wrong) => return wrong.into_page(&app),
    };
    let browser = match Browser::of(&app, &headers).await {
        Ok(browser) => browser,
        Err(problem) => return pages::failed(&problem),
    };
    if browser.email.is_some() {
        return consent::ask(&app, browser, &asked)
            .await
            .unwrap_or_else(|problem| pages::failed(&problem));
    }
    sign_in_page(&app, browser, &asked, StatusCode::OK, "")
}

pub(super) fn sign_in_page(
    app: &App,
    browser: Browser,
    asked: &Asked,
    status: StatusCode,
    problem: &str,
) -> Response {
    let form = SignIn {
        frame: Frame::plain("Sign in"),
        client: &asked.client.name,
        request: &asked.request,
        form_token: &browser.form_token(app, &asked.request),
        problem,
    };
    page(status, &form, Some(browser))
}

/// Checks a request: first who asks and where the answer goes, then what is asked.
pub(super) async fn asked(app: &App, network: &str, query: &str) -> Result<Asked, Wrong> {
    let params = Params::parse(query.as_bytes());
    let needed = |name: &str| {
        params.get(name).ok_or_else(|| {
            Problem::invalid(format!(
                "The program that sent you here gave no `{name}`, or gave it twice. Connect again from there; if that does not help, it is not made for this service."
            ))
        })
    };
    let (id, redirect_uri) = (needed("client_id")?, needed("redirect_uri")?);
    let client = client::find(app, id, redirect_uri, network).await?;
    let client = client.ok_or_else(|| {
        Problem::invalid(
            "The program that sent you here is not registered any more. Remove the connection there and add it again.",
        )
    })?;
    if !redirect::matches(&client.redirect_uris, redirect_uri) {
        return Err(Problem::invalid(format!(
            "“{}” asks to send you back to {} and has not registered that address, so you stay here.",
            client.name,
            redirect::host(redirect_uri)
        ))
        .into());
    }
    let (redirect_uri, state) = (
        redirect_uri.to_owned(),
        params.get("state").map(str::to_owned),
    );
    match request(app, &params, query) {
        Ok((challenge, scopes)) => Ok(Asked {
            client,
            redirect_uri,
            state,
            challenge,
            scopes,
            request: query.to_owned(),
        }),
        Err((code, description)) => Err(Wrong::There {
            redirect_uri,
            state: state.filter(|state| state.len() <= LONGEST_STATE),
            code,
            description,
        }),
    }
}

/// The challenge and the scopes.
fn request(
    app: &App,
    params: &Params,
    query: &str,
) -> Result<(String, &'static str), (&'static str, &'static str)> {
    const REQUEST: &str = "invalid_request";
    if params.repeated().is_some() {
        return Err((REQUEST, "a parameter comes twice"));
    }
    if query.len() > 2 * LONGEST_STATE
        || params
            .get("state")
            .is_some_and(|state| state.len() > LONGEST_STATE)
    {
        return Err((REQUEST, "the request is too long"));
    }
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "response_type must be code")),
        None => return Err((REQUEST, "response_type is missing")),
    }
    if params
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err((REQUEST, "response_mode must be query"));
    }
    if params.get("request").is_some() || params.get("request_uri").is_some() {
        return Err(("request_not_supported", "request objects are not supported"));
    }
    let challenge = params.get("code_challenge");
    let challenge = challenge.ok_or((REQUEST, "code_challenge is missing: PKCE is required"))?;
    if params.get("code_challenge_method") != Some("S256") {
        return Err((REQUEST, "code_challenge_method must be S256"));
    }
    if !pkce::is_challenge(challenge) {
        return Err((REQUEST, "code_challenge must be a SHA-256 in base64url"));
    }
    if !is_resource(app, params.get("resource")) {
        return Err((
            "invalid_target",
            "resource must be the address of this MCP server",
        ));
    }
    let scopes = scopes::asked(params.get("scope"))
        .ok_or(("invalid_scope", "the scopes here are sf:read and sf:write"))?;
    Ok((challenge.to_owned(), scopes))
}

/// Whether a token may be for that resource. There is one; case of the host and a slash at the end do not matter.
pub(super) fn is_resource(app: &App, asked: Option<&str>) -> bool {
    let Some(asked) = asked else {
        return true;
    };
    let canonical = url::Url::parse(asked)
        .ok()
        .map(|url| url.as_str().to_owned());
    let canonical = canonical.unwrap_or_default();
    canonical.strip_suffix('/').unwrap_or(&canonical) == app.config.resource()
}

/// Where the browser goes with the client's answer; `iss` says whose it is (RFC 9207).
pub(super) fn back(
    app: &App,
    redirect_uri: &str,
    state: Option<&str>,
    said: &[(&str, &str)],
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(said);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", app.config.issuer());
    let joint = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{joint}{}", query.finish())
}
