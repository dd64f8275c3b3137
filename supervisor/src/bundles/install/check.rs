//! Whether a company's AI clients have called, for somebody who has just installed one.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{app::App, error::Problem, pages::Instead, visitor};

/// Whether somebody has called.
#[derive(Debug, serde::Serialize)]
pub(super) struct Check {
    pub(super) done: bool,
    pub(super) text: String,
}

/// For the page's script.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
) -> Result<Response, Instead> {
    let (_, tenant, _) = visitor::member(&app, &headers, &tenant_id).await?;
    let check = called(&app, &tenant.id).await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, axum::Json(json!(check))).into_response())
}

pub(super) async fn called(app: &App, tenant_id: &str) -> Result<Check, Problem> {
    if let Some(heard) = app.store.last_good_call(tenant_id).await? {
        let client = match heard.client.split('/').next().unwrap_or_default() {
            "" => "An AI client",
            name => name,
        };
        let text = format!("It works: {client} called {}.", heard.tool);
        return Ok(Check { done: true, text });
    }
    let text = if app.store.has_called(tenant_id).await? {
        "A call came and did not go well; the page Usage says how. This turns green at the first that does."
    } else {
        "Waiting for the first call. Ask your assistant: “What does today look like?”"
    };
    Ok(Check {
        done: false,
        text: text.to_owned(),
    })
}
