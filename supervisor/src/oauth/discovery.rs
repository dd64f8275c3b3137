//! What clients read first.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{Method, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{app::App, error::Problem, scopes};

/// Protected resource metadata (RFC 9728).
pub(super) async fn resource(State(app): State<Arc<App>>, method: Method) -> Response {
    let config = &app.config;
    document(
        &method,
        &json!({
            "resource": config.resource(),
            "authorization_servers": [config.issuer()],
            "scopes_supported": [scopes::READ, scopes::WRITE],
            "bearer_methods_supported": ["header"],
            "resource_name": "Service Fusion",
        }),
    )
}

/// Authorization server metadata (RFC 8414); some clients look for it where OpenID Connect has it.
pub(super) async fn server(State(app): State<Arc<App>>, method: Method) -> Response {
    let issuer = app.config.issuer();
    let methods = ["none", "client_secret_post", "client_secret_basic"];
    document(
        &method,
        &json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/oauth/authorize"),
            "token_endpoint": format!("{issuer}/oauth/token"),
            "registration_endpoint": format!("{issuer}/oauth/register"),
            "revocation_endpoint": format!("{issuer}/oauth/revoke"),
            "scopes_supported": [scopes::READ, scopes::WRITE],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "client_id_metadata_document_supported": true,
            "authorization_response_iss_parameter_supported": true,
        }),
    )
}

fn document(method: &Method, document: &Value) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Problem::new(
            axum::http::StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This address takes GET.",
        )
        .into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, document.to_string()).into_response()
}
