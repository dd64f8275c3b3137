//! What each AI client is handed: its configuration with a token of its own, or the one-click extension.
//!
//! In the local form the client runs sf-mcp, whose device token asks the broker. In the remote form it calls `/mcp`
//! and signs in there by OAuth, so there is no secret in the file; only `env` carries a bearer token, for programs
//! without OAuth, which is good for `/mcp` alone.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    app::App,
    binaries::Platform,
    bundles::{
        asked::{Asked, Shape, command, fits, form, not_available, platform, shape, shapes},
        handed::Handed,
        token::{Holder, Issued, issue},
    },
    clients::{Client, Form},
    error::Problem,
    tokens::Kind,
    web::Caller,
};

mod asked;
pub mod extension;
mod handed;
pub mod install;
mod text;
mod token;

/// For `/openapi.json`.
#[derive(utoipa::OpenApi)]
#[openapi(paths(list, bundle))]
pub struct Described;

/// Bundles, for owners and members.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/bundles", get(list))
        .route("/api/bundles/{client}", get(bundle))
}

/// What there is to fetch; looking makes no token.
#[utoipa::path(
    get,
    path = "/api/bundles",
    responses(
        (status = 200, description = "`bundles`: each client with its title, address, forms and shapes, the defaults first; `platforms` of mcpb"),
        (status = 401, description = "`invalid_token`")
    )
)]
async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let bundles = Client::ALL.map(|client| {
        json!({
            "client": client.name(),
            "title": client.title(),
            "url": format!("{}/api/bundles/{}", app.config.public_url, client.name()),
            "forms": client.forms().iter().map(|form| form.word()).collect::<Vec<_>>(),
            "shapes": shapes(client).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        })
    });
    let platforms = app.binaries.available().into_iter();
    let platforms =
        platforms.map(|platform| json!({"platform": platform.os, "arch": platform.arch}));
    Ok(
        axum::Json(json!({"bundles": bundles, "platforms": platforms.collect::<Vec<_>>()}))
            .into_response(),
    )
}

/// A client's bundle. The ordinary way for a person's machine: install sf-mcp there, `sf-mcp login --bundle FILE` with any
/// local bundle, then `sf-mcp install CLIENT`, which writes the full path of sf-mcp and keeps other servers; the raw files
/// are for administrators. Every request makes a token of its own, which can be revoked on its own; links to `vscode:` and
/// `cursor:` carry it too, links to web pages never.
#[utoipa::path(
    get,
    path = "/api/bundles/{client}",
    params(("client" = String, Path, description = "claude-desktop, claude-code, cursor, vscode, codex, env or mcpb"), Asked),
    responses(
        (status = 200, description = "The client's configuration, or the extension"),
        (status = 400, description = "`unknown_form`, `unknown_shape`, `invalid_request`: what there is stands in the answer"),
        (status = 401, description = "`invalid_token`"),
        (status = 403, description = "`tenant_suspended`, `mcp_only`"),
        (status = 404, description = "`unknown_client`, `binary_not_available`: what there is stands in the answer"),
        (status = 429, description = "`too_many_requests`")
    )
)]
async fn bundle(
    State(app): State<Arc<App>>,
    Path(client): Path<String>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let Query(asked) = asked.map_err(|problem| Problem::invalid(problem.body_text()))?;
    let client = Client::find(&client).ok_or_else(unknown_client)?;
    let form = form(client, asked.form.as_deref(), &app)?;
    let shape = shape(client, asked.shape.as_deref())?;
    fits(client, form, &asked)?;
    let holder = Holder::of(&app, &caller).await?;
    if client == Client::Mcpb {
        let platform = platform(&app, &asked)?;
        return packed(&app, &holder, platform).await;
    }
    let command = command(asked.command)?;
    let token = issue(&app, &holder, client, form).await?;
    let handed = Handed {
        client,
        form,
        url: &app.config.public_url,
        command: &command,
        company: &text::plain(&caller.tenant.company),
        token: token.secret.expose_secret(),
        time_zone: caller.tenant.time_zone.as_deref(),
    };
    Ok(answer(&handed, shape, &token))
}

/// The extension for one platform, with a token of its own.
async fn packed(app: &App, holder: &Holder<'_>, platform: Platform) -> Result<Response, Problem> {
    let program = app.binaries.packed(platform).await;
    let program = program
        .map_err(|problem| {
            tracing::error!(%problem, platform = platform.name(), "sf-mcp cannot be packed");
            Problem::internal()
        })?
        .ok_or_else(|| not_available(app))?;
    let token = issue(app, holder, Client::Mcpb, Form::Local).await?;
    extension::answer(app, holder.tenant, &token.secret, platform, program)
}

fn unknown_client() -> Problem {
    let names = Client::ALL.map(Client::name);
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_client",
        format!("There are bundles for {}.", names.join(", ")),
    )
    .with("clients", json!(names))
}

fn answer(handed: &Handed, shape: Shape, token: &Issued) -> Response {
    let (name, kind, content): (_, _, Cow<str>) = match shape {
        Shape::File => {
            let (name, kind) = handed.client.file();
            (name, kind, handed.file().into())
        }
        Shape::Command => (
            "command.txt",
            "text/plain; charset=utf-8",
            handed.command_line().unwrap_or_default().into(),
        ),
        Shape::Json => (
            "bundle.json",
            "application/json",
            whole(handed, token).to_string().into(),
        ),
    };
    download(name, kind, Body::from(content.into_owned()))
}

fn whole(handed: &Handed, token: &Issued) -> Value {
    let client = handed.client;
    let (name, content_type) = client.file();
    let links = handed.links().into_iter();
    let links = links.map(|(title, href)| json!({"title": title, "href": href}));
    json!({
        "client": client.name(),
        "title": client.title(),
        "form": handed.form.word(),
        "file": {"name": name, "content_type": content_type, "text": handed.file()},
        "links": links.collect::<Vec<_>>(),
        "command": handed.command_line(),
        "next": handed.next(),
        "device": token.device.as_ref().map(|(id, name)| json!({"id": id, "name": name})),
    })
}

/// A file to be saved, which nothing on the way keeps.
fn download(name: &str, kind: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, body).into_response()
}
