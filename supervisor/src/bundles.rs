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
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    binaries::Platform,
    bundles::{
        client::{Client, Form},
        handed::Handed,
    },
    error::Problem,
    limits::{self, Limit},
    store::{Entry, NewToken},
    tokens::{self, Kind},
    web::Caller,
};

mod client;
mod extension;
mod handed;
mod text;

/// Each bundle leaves a token behind.
const PER_COMPANY: Limit = Limit {
    name: "bundles",
    most: 200,
    window: 60 * 60 * 1000,
};
/// Longest path of sf-mcp, in characters.
const COMMAND: usize = 512;

/// Bundles, for owners and members.
pub fn routes() -> Router<Arc<App>> {
    // Looking at an address must not make a token.
    let refused = async || {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Each bundle is made for one request: use GET.",
        )
    };
    Router::new()
        .route("/api/bundles", get(list))
        .route("/api/bundles/{client}", get(bundle).head(refused))
}

/// What may be asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// `local`: the client runs sf-mcp on its machine. `remote`: it calls this service. Default: the first it has.
    form: Option<String>,
    /// `file` (default): the file itself. `command`: one line for a terminal, as text. `json`: the file, the install
    /// links, the command, what to do next and the token's id, in one object.
    #[serde(rename = "as")]
    shape: Option<String>,
    /// Where sf-mcp is on the machine; without it `sf-mcp` must be in the client's search path. Local form only.
    command: Option<String>,
    /// For `mcpb`: `darwin`, `linux` or `win32`. Default: what this service runs on.
    platform: Option<String>,
    /// For `mcpb`: `arm64` or `x64`. Default: the platform's usual one.
    arch: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    File,
    Command,
    Json,
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

/// A client's bundle. Every request makes a token of its own, which can be revoked on its own; links to `vscode:` and
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
    if client == Client::Mcpb {
        let platform = platform(&app, &asked)?;
        let program = app.binaries.packed(platform).await;
        let program = program
            .map_err(|problem| {
                tracing::error!(%problem, platform = platform.name(), "sf-mcp cannot be packed");
                Problem::internal()
            })?
            .ok_or_else(|| not_available(&app))?;
        let token = issue(&app, &caller, client, form).await?;
        return extension::answer(
            &app,
            &caller.tenant.company,
            &token.secret,
            platform,
            program,
        );
    }
    let command = command(asked.command)?;
    let token = issue(&app, &caller, client, form).await?;
    let handed = Handed {
        client,
        form,
        url: &app.config.public_url,
        command: &command,
        company: &text::plain(&caller.tenant.company),
        token: token.secret.expose_secret(),
    };
    Ok(answer(&handed, shape, &token))
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

fn form(client: Client, asked: Option<&str>, app: &App) -> Result<Form, Problem> {
    let forms = client.forms();
    let Some(word) = asked else {
        return Ok(forms[0]);
    };
    let found = forms.iter().find(|form| form.word() == word);
    found.copied().ok_or_else(|| {
        let words = forms.iter().map(|form| form.word()).collect::<Vec<_>>();
        let elsewhere = match client {
            Client::ClaudeDesktop => format!(
                " To reach the service itself, add {}/mcp in Claude under Settings, Connectors.",
                app.config.public_url
            ),
            _ => String::new(),
        };
        let detail = format!(
            "For {} there is: form={}.{elsewhere}",
            client.name(),
            words.join(", ")
        );
        Problem::new(StatusCode::BAD_REQUEST, "unknown_form", detail).with("forms", json!(words))
    })
}

/// The first is the default.
fn shapes(client: Client) -> Vec<(&'static str, Shape)> {
    let mut shapes = vec![("file", Shape::File)];
    if client.has_command() {
        shapes.push(("command", Shape::Command));
    }
    if client != Client::Mcpb {
        shapes.push(("json", Shape::Json));
    }
    shapes
}

fn shape(client: Client, asked: Option<&str>) -> Result<Shape, Problem> {
    let shapes = shapes(client);
    let word = asked.unwrap_or("file");
    let found = shapes.iter().find(|(name, _)| *name == word);
    found.map(|(_, shape)| *shape).ok_or_else(|| {
        let words = shapes.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let detail = format!("For {} there is: as={}.", client.name(), words.join(", "));
        Problem::new(StatusCode::BAD_REQUEST, "unknown_shape", detail).with("shapes", json!(words))
    })
}

/// What would mean nothing for the client is a mistake and no detail.
fn fits(client: Client, form: Form, asked: &Asked) -> Result<(), Problem> {
    let machine = asked.platform.is_some() || asked.arch.is_some();
    if machine && client != Client::Mcpb {
        return Err(Problem::invalid(
            "`platform` and `arch` are for mcpb alone.",
        ));
    }
    let starts = form == Form::Local && !matches!(client, Client::Env | Client::Mcpb);
    if asked.command.is_some() && !starts {
        return Err(Problem::invalid(
            "`command` is for the local form of clients that start sf-mcp by its path.",
        ));
    }
    Ok(())
}

fn platform(app: &App, asked: &Asked) -> Result<Platform, Problem> {
    Platform::find(asked.platform.as_deref(), asked.arch.as_deref())
        .ok_or_else(|| not_available(app))
}

fn not_available(app: &App) -> Problem {
    let here = app.binaries.available();
    let names = here.iter().map(|platform| platform.name());
    let names = names.collect::<Vec<_>>();
    let detail = if names.is_empty() {
        "This service has no sf-mcp to put into an extension; its operator sets SF_SUPERVISOR_BINARIES. Use claude-desktop instead."
            .to_owned()
    } else {
        format!(
            "There is no sf-mcp for that machine here, only for {}; ask for it with platform= and arch=, or use claude-desktop instead.",
            names.join(", ")
        )
    };
    Problem::new(StatusCode::NOT_FOUND, "binary_not_available", detail)
        .with("platforms", json!(names))
}

/// The path is written into files and a command line, where a line break means something.
fn command(asked: Option<String>) -> Result<String, Problem> {
    let command = asked.unwrap_or_else(|| "sf-mcp".to_owned());
    let usual = !command.is_empty()
        && !command.starts_with('-')
        && command.chars().count() <= COMMAND
        && !command.chars().any(char::is_control);
    usual.then_some(command).ok_or_else(|| {
        Problem::invalid(format!(
            "`command` must be the path of sf-mcp: 1 to {COMMAND} characters on one line, not beginning with `-`."
        ))
    })
}

/// A token as it is handed out, once. There is none where the client signs in by itself.
struct Issued {
    secret: SecretString,
    /// Its id and name.
    device: Option<(String, String)>,
}

async fn issue(app: &App, caller: &Caller, client: Client, form: Form) -> Result<Issued, Problem> {
    let (tenant, now) = (&caller.tenant, app.clock.now());
    let actor = actor(app, caller).await?;
    if let Some(reached) = limits::take(&app.store, PER_COMPANY, &tenant.id, now).await? {
        return Err(Problem::too_many(reached.seconds));
    }
    let Some(kind) = client.token(form) else {
        return Ok(Issued {
            secret: String::new().into(),
            device: None,
        });
    };
    let new = tokens::generate(kind)?;
    let name = format!("{}, {}", client.title(), day(now));
    let id = app
        .store
        .add_token(&NewToken {
            tenant_id: &tenant.id,
            member_id: caller.token.member_id.as_deref(),
            kind,
            name: &name,
            hash: &new.hash,
            client: Some(client.name()),
            form: Some(form.word()),
            scopes: &caller.token.scopes,
            created_at: now,
            expires_at: None,
        })
        .await?;
    let after =
        json!({"token": id, "kind": kind.word(), "client": client.name(), "form": form.word()});
    app.store
        .note(&Entry {
            at: now,
            actor,
            action: "bundle.create".to_owned(),
            tenant_id: Some(tenant.id.clone()),
            before: None,
            after: Some(after.to_string()),
        })
        .await?;
    Ok(Issued {
        secret: new.token,
        device: Some((id, name)),
    })
}

/// The member's address, or the token of a script. Who is no longer a member gets nothing.
async fn actor(app: &App, caller: &Caller) -> Result<String, Problem> {
    let Some(id) = &caller.token.member_id else {
        return Ok(caller.token.id.clone());
    };
    let member = app.store.member(&caller.tenant.id, id).await?;
    Ok(member.ok_or_else(Problem::unauthorized)?.email)
}

/// The UTC date of Unix milliseconds, such as `2026-11-22`.
fn day(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map(|time| time.strftime("%F").to_string())
        .unwrap_or_default()
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
