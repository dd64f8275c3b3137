//! Every route, grouped by who calls it.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};

use crate::{
    account, admin, app::App, bundles, connections, devices, error::Problem, front, members, oauth,
    openapi, pages, portal, server::Answers, sign_in, signup, token, usage,
};

/// Longest body of a request, in bytes; routes that need more say so.
const BODY: usize = 64 * 1024;

/// The whole service.
pub fn router(app: Arc<App>) -> impl Answers {
    front::service(Arc::clone(&app), routes(app))
}

/// All but the hosted endpoint.
fn routes(app: Arc<App>) -> Router {
    Router::new()
        .merge(probes())
        .merge(sign_up())
        .merge(for_people())
        .merge(companies())
        .merge(bundles::routes())
        .merge(oauth::for_programs())
        .merge(installs())
        .merge(usage::routes())
        .fallback(strange)
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not take that method.",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(front::routed))
        .with_state(app)
}

/// For load balancers and service managers; no authentication, nothing is told.
fn probes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/openapi.json", get(openapi::document))
}

/// Pages, compressed. Those that are not for everybody ask `visitor` who looks.
fn for_people() -> Router<Arc<App>> {
    pages::compressed(
        Router::new()
            .merge(signup::pages::routes())
            .merge(signup::connect::routes())
            .merge(bundles::install::routes())
            .merge(portal::routes())
            .merge(admin::routes())
            .merge(sign_in::routes())
            .merge(oauth::for_people())
            .merge(pages::assets::routes()),
    )
}

/// A person is told in words, a program by a problem.
async fn strange(method: Method, headers: HeaderMap) -> Response {
    if method == Method::GET && pages::is_for_person(&headers) {
        return pages::not_found();
    }
    Problem::not_found("page").into_response()
}

/// For strangers with an e-mail address; limits are per address, source and in total.
fn sign_up() -> Router<Arc<App>> {
    Router::new()
        .route("/api/register", post(signup::register::register))
        .route("/api/confirm", post(signup::confirm::confirm))
        .route("/api/sign-in", post(devices::sign_in))
        .route(
            "/api/activate",
            post(signup::activate::activate).get(signup::browser::progress),
        )
        .route("/api/activate/browser", post(signup::browser::begin))
        .route("/api/activate/callback", get(signup::callback::callback))
}

/// For people of a company, by bearer token, and its machines, by device token.
fn companies() -> Router<Arc<App>> {
    Router::new()
        .route("/api/devices", post(devices::enrol).get(devices::list))
        .route("/api/devices/self", delete(devices::leave))
        .route("/api/devices/{id}", delete(devices::revoke))
        .route("/api/members", post(members::invite).get(members::list))
        .route(
            "/api/members/{id}",
            delete(members::remove).patch(members::change),
        )
        .route("/api/connections", get(connections::list))
        .route("/api/connections/{id}", delete(connections::end))
        .route("/api/export", get(account::export))
        .route("/api/tenant", delete(account::remove).patch(account::set))
}

/// For installs on people's machines, by their device token.
fn installs() -> Router<Arc<App>> {
    Router::new().route("/api/token", post(token::token))
}

/// Ready when the database answers.
async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.store.ping().await?;
    Ok("ready")
}
