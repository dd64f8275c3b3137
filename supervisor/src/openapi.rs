//! `/openapi.json`: the HTTP interface, as its handlers describe themselves.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{account, bundles, connections, devices, error, members, signup, token, usage};

/// Each handler with `#[utoipa::path]` is named here once.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "sf-supervisor",
        description = "Lends Service Fusion's MCP server to many companies. Errors are problem details (RFC 9457) whose `code` is stable; every answer has an `x-request-id`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    paths(
        signup::register::register,
        signup::confirm::confirm,
        signup::activate::activate,
        signup::browser::begin,
        signup::browser::progress,
        signup::callback::callback,
        devices::sign_in,
        devices::enrol,
        devices::list,
        devices::revoke,
        devices::leave,
        token::token,
        usage::ingest::post,
        usage::report::get,
        connections::list,
        connections::end,
        members::invite,
        members::list,
        members::remove,
        members::change,
        account::export,
        account::remove,
        account::set,
        mcp,
        first_page,
        healthz,
        readyz,
        openapi,
    ),
    components(schemas(error::ProblemDetails)),
    modifiers(&Bearer),
    tags(
        (name = "sign-up", description = "From an e-mail address to an active company"),
        (name = "devices", description = "Machines of a company"),
        (name = "company", description = "The company itself"),
        (name = "mcp", description = "Where AI clients call"),
        (name = "operating", description = "For load balancers, service managers and people who look"),
    )
)]
struct Description;

/// One message of the Model Context Protocol, and its answer: stateless with 2026-07-28, and with `initialize` as in
/// 2025-11-25 and before. There are no sessions and no streams to open.
#[utoipa::path(
    post, path = "/mcp", tag = "mcp", security(("bearer" = [])),
    request_body(content = serde_json::Value, description = "A JSON-RPC 2.0 request or notification"),
    responses(
        (status = 200, description = "A JSON-RPC answer; `RateLimit` headers tell what the tier leaves", body = serde_json::Value),
        (status = 202, description = "A notification was taken"),
        (status = 400, description = "A JSON-RPC error: no message, or another protocol version than it says"),
        (status = 401, description = "`invalid_token`"),
        (status = 403, description = "`tenant_suspended`, or a page that may not call"),
        (status = 405, description = "`post_only`"),
        (status = 429, description = "The tier's limit is reached; `Retry-After` says until when")
    )
)]
#[expect(dead_code, reason = "the description alone; the gateway answers")]
fn mcp() {}

/// What this service is, for a person.
#[utoipa::path(get, path = "/", tag = "operating", responses((status = 200, description = "A page", content_type = "text/html")))]
#[expect(dead_code, reason = "the description alone; the router answers")]
fn first_page() {}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operating", responses((status = 200, description = "`ok`", content_type = "text/plain")))]
#[expect(dead_code, reason = "the description alone; the router answers")]
fn healthz() {}

/// Whether the database answers.
#[utoipa::path(
    get, path = "/readyz", tag = "operating",
    responses(
        (status = 200, description = "`ready`", content_type = "text/plain"),
        (status = 503, description = "`database_unavailable`")
    )
)]
#[expect(dead_code, reason = "the description alone; the router answers")]
fn readyz() {}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operating", responses((status = 200, description = "OpenAPI 3.1")))]
#[expect(dead_code, reason = "the description alone; the router answers")]
fn openapi() {}

/// The tokens of this service, in the Authorization header and nowhere else.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let token = |says: &str| {
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(says))
                    .build(),
            )
        };
        let components = description.components.get_or_insert_default();
        for (name, says) in [
            (
                "activation",
                "The activation token of `/api/confirm`, `sfa_…`",
            ),
            ("bearer", "A person's or a script's token, `sfb_…`"),
            ("device", "A machine's token, `sfd_…`"),
        ] {
            components.add_security_scheme(name, token(says));
        }
    }
}

fn described() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    description.merge(bundles::Described::openapi());
    name_operations(&mut description);
    description
}

/// The description as JSON.
pub async fn document() -> Response {
    match described().to_json() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(problem) => {
            tracing::error!(%problem, "the description of the interface cannot be written");
            error::Problem::internal().into_response()
        }
    }
}

/// Two handlers may have one name; a method at an address is one operation.
fn name_operations(description: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut description.paths.paths {
        let path = path.replace(['/', '-'], "_").replace(['{', '}'], "");
        for (method, operation) in [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("delete", &mut item.delete),
        ] {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}{path}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::described;

    /// axum does not tell its routes, so they are read where they are written.
    fn routes(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                routes(&path, found);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let named = source.split(".route(").skip(1).filter_map(|rest| {
                let (address, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
                Some(address.to_owned())
            });
            found.extend(named);
        }
    }

    /// Pages are for people and their forms for pages alone: nobody else may rely on them.
    fn is_page(path: &str) -> bool {
        [
            "/app",
            "/admin",
            "/sign-in",
            "/sign-out",
            "/sign-up",
            "/assets",
        ]
        .iter()
        .filter_map(|place| path.strip_prefix(place))
        .any(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    #[test]
    fn every_route_is_described() {
        let mut found = BTreeSet::new();
        routes(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        // The hosted endpoint stands before the routes. Figures have a listener of their own. OAuth describes itself in
        // its metadata, and `/token` is `/oauth/token` for clients that guess.
        found.insert("/mcp".to_owned());
        found.retain(|path| {
            path.starts_with('/')
                && !["/metrics", "/token"].contains(&path.as_str())
                && !is_page(path)
                && !path.starts_with("/oauth/")
                && !path.starts_with("/.well-known/")
        });
        let told: BTreeSet<String> = described().paths.paths.into_keys().collect();
        assert_eq!(
            found, told,
            "describe each route with #[utoipa::path] and name it in Description"
        );
    }
}
