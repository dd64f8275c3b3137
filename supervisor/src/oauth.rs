//! The OAuth 2.1 server for AI clients: they find it, name themselves, send a person here to allow them, and get tokens
//! that are good for `/mcp` alone.
//!
//! Discovery is RFC 9728 and RFC 8414; clients name themselves by a metadata document or register (RFC 7591); codes need
//! PKCE with S256 (RFC 7636) and answers carry `iss` (RFC 9207); tokens are for one resource (RFC 8707) and end by
//! RFC 7009.

mod authorize;
mod client;
mod client_metadata;
mod consent;
mod discovery;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod page;
mod pkce;
mod public_address;
mod redirect;
mod register_client;
mod revoke;
mod sign_in;
mod token;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};

use crate::app::App;

/// Longest registration or form, in bytes.
const BODY: usize = 8 * 1024;

/// Called by programs, some of which are pages of other origins. Nothing here depends on a cookie.
pub fn for_programs() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/.well-known/oauth-protected-resource",
            any(discovery::resource),
        )
        .route(
            "/.well-known/oauth-protected-resource/mcp",
            any(discovery::resource),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            any(discovery::server),
        )
        .route("/.well-known/openid-configuration", any(discovery::server))
        .route("/oauth/register", post(register_client::register))
        .route("/oauth/token", post(token::token))
        // Where 2025-03-26 had it. Programs on the Python SDK that take up a stored login refresh there before they read
        // any metadata; refused, they forget the login and ask the person anew.
        .route("/token", post(token::token))
        .route("/oauth/revoke", post(revoke::revoke))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(open_to_pages))
}

/// Opened in a browser.
pub fn for_people() -> Router<Arc<App>> {
    Router::new()
        .route("/oauth/authorize", get(authorize::authorize))
        .route("/oauth/sign-in", post(sign_in::address))
        .route("/oauth/code", post(sign_in::code))
        .route("/oauth/sign-out", post(sign_in::sign_out))
        .route("/oauth/consent", post(consent::decide))
        .layer(DefaultBodyLimit::max(4 * BODY))
}

/// Any page may call: what is answered needs no cookie, and a token is no secret to whoever sends it.
async fn open_to_pages(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, mcp-protocol-version",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "www-authenticate, retry-after",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
