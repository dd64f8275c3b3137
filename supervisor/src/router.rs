//! Every route, grouped by who calls it.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{app::App, error::Problem, openapi, signup, web};

/// Longest body of a request, in bytes; routes that need more say so.
const BODY: usize = 64 * 1024;

/// The whole service as one axum application.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(probes())
        .merge(sign_up())
        .fallback(async || Problem::not_found("page"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not take that method.",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal().into_response()
        }))
        .layer(middleware::from_fn(web::traced))
        .with_state(app)
}

/// For load balancers and service managers; no authentication, nothing is told.
fn probes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/openapi.json", get(openapi::document))
}

/// For strangers with an e-mail address; limits are per address, source and in total.
fn sign_up() -> Router<Arc<App>> {
    Router::new()
        .route("/api/register", post(signup::register::register))
        .route("/api/confirm", post(signup::confirm::confirm))
}

/// Ready when the database answers.
async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.store.ping().await?;
    Ok("ready")
}
