//! What a person sees who opens the service's address in a browser.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::header,
    response::{Html, IntoResponse, Response},
};

use crate::{app::App, error::Problem};

#[derive(Template)]
#[template(path = "first.html")]
struct FirstPage<'a> {
    url: &'a str,
}

/// Nothing is loaded from elsewhere, and no other page may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub async fn show(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let page = FirstPage {
        url: &app.config.public_url,
    };
    let html = page.render().map_err(|problem| {
        tracing::error!(%problem, "the first page cannot be made");
        Problem::internal()
    })?;
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY)];
    Ok((policy, Html(html)).into_response())
}
