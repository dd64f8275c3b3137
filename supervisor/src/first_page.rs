//! What a person sees who opens the service's address in a browser.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};

use crate::{
    app::App,
    browser::Browser,
    pages::{Frame, Instead, page},
};

#[derive(Template)]
#[template(path = "first.html")]
struct FirstPage<'a> {
    frame: Frame,
    url: &'a str,
}

/// For anybody.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(show))
}

async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let browser = Browser::of(&app, &headers).await?;
    let first = FirstPage {
        frame: Frame::new(&app, &browser, "Service Fusion in your AI assistant").narrow(),
        url: &app.config.public_url,
    };
    Ok(page(StatusCode::OK, &first, Some(browser)))
}
