//! `/oauth/revoke` (RFC 7009): a client that is disconnected ends everything that came of its consent.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    client,
    error::{Refused, answer},
};
use crate::{
    app::App,
    params::{Params, is_form},
    tokens,
};

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let answer = async { revoked(&app, &headers, &body?).await };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

/// An unknown token, or another client's, is none, and that is no error.
async fn revoked(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refused> {
    let params = Params::parse(body);
    if !is_form(headers) || params.repeated().is_some() {
        return Err(Refused::request(
            "the body must be a form in which nothing comes twice",
        ));
    }
    let client_id = client::authenticated(app, headers, &params).await?;
    let token = params
        .get("token")
        .ok_or_else(|| Refused::request("`token` is missing"))?;
    let hash = tokens::hash(token);
    let family = match app.store.family_of_refresh(&hash).await? {
        Some(family) => Some(family),
        None => app.store.family_of_access(&hash).await?,
    };
    if let Some(family) = family.filter(|family| family.client_id == client_id) {
        let now = app.clock.now();
        app.store
            .revoke_family(&family, "client", "its client ended it", now)
            .await?;
    }
    Ok(answer(StatusCode::OK, &json!({})))
}
