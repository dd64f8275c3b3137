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
        signup::browser::callback,
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
        account::export,
        account::remove,
    ),
    components(schemas(error::ProblemDetails)),
    modifiers(&Bearer),
    tags(
        (name = "sign-up", description = "From an e-mail address to an active company"),
        (name = "devices", description = "Machines of a company"),
        (name = "company", description = "The company itself"),
    )
)]
struct Description;

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

/// The description as JSON.
pub async fn document() -> Response {
    let mut description = Description::openapi();
    description.merge(bundles::Described::openapi());
    name_operations(&mut description);
    match description.to_json() {
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
