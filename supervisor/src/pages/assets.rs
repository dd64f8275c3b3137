//! The style sheet, the script and the icon: each has its content's hash in its address, so that browsers keep it for good.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{app::App, tokens};

/// One file that pages load.
#[derive(Debug)]
pub struct Asset {
    path: String,
    kind: &'static str,
    content: &'static str,
}

pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let content = include_str!("../../templates/style.css");
    Asset::new("style", "css", "text/css; charset=utf-8", content)
});
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let content = include_str!("../../templates/script.js");
    Asset::new("script", "js", "text/javascript; charset=utf-8", content)
});
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let content = include_str!("../../templates/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", content)
});

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = tokens::hash(content);
        let hash = hash.get(..12).unwrap_or_default();
        Self {
            path: format!("/assets/{name}.{hash}.{ending}"),
            kind,
            content,
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }
}

/// For anybody; nothing in them is secret.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    let known = [&*STYLE, &*SCRIPT, &*ICON];
    let Some(asset) = known.into_iter().find(|asset| asset.path == path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    (headers, asset.content).into_response()
}
