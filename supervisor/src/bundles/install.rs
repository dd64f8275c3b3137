//! The page on which a person connects an AI client: for each a link, a command or a button, hosted and on the computer.
//! What carries a token is made by a button alone, and shown once.

mod check;
mod machine;

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use serde::Deserialize;

use self::{
    check::{Check, called, check},
    machine::{Machine, machine, words},
};
use super::{
    asked::command,
    handed::Handed,
    packed, text,
    token::{Holder, issue},
    unknown_client,
};
use crate::{
    app::App,
    binaries::Platform,
    clients::{Client, Form},
    error::Problem,
    pages::{
        self, Frame, Instead, Notice,
        nav::{self, Place},
        page,
    },
    params::Params,
    store::{Member, Tenant},
    visitor::{self, Visitor},
};

/// What can be had without a token.
struct Hosted {
    cursor: String,
    vscode: Vec<(&'static str, String)>,
    claude_code: String,
    codex: String,
}

#[derive(Template)]
#[template(path = "install.html")]
struct Install<'a> {
    frame: Frame,
    tenant: &'a Tenant,
    connector: String,
    hosted: Hosted,
    machine: Option<Machine>,
    platforms: Vec<(String, String, bool)>,
    /// The visitor's computer is among them.
    has_extension: bool,
    check: Check,
    /// What is wrong with a path that was typed.
    problem: String,
}

/// A token's only appearance.
#[derive(Template)]
#[template(path = "installed.html")]
struct Installed<'a> {
    frame: Frame,
    tenant: &'a Tenant,
    client: &'static str,
    command: Option<String>,
    links: Vec<(&'static str, String)>,
    file: String,
    file_name: &'static str,
    file_link: String,
    device: String,
    is_remote: bool,
    /// The client as `sf-mcp install` calls it.
    name: &'static str,
    /// What the client needs once its configuration is there.
    once_there: String,
    /// Where sf-mcp is was said, so links work: desktop programs search no PATH.
    has_path: bool,
}

/// For people of the company.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/app/{tenant_id}/install", get(show))
        .route("/app/{tenant_id}/install/check", get(check))
        .route("/app/{tenant_id}/install/{client}", post(make))
}

#[derive(Deserialize)]
struct Asked {
    done: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let (visitor, tenant, member) = visitor::member(&app, &headers, &tenant_id).await?;
    let connected = asked.done.as_deref() == Some("connected");
    let notice =
        connected.then(|| Notice::ok("Service Fusion is connected. Now connect an AI assistant."));
    let whose = (visitor, tenant, member);
    shown(&app, &headers, whose, StatusCode::OK, notice, String::new()).await
}

async fn shown(
    app: &App,
    headers: &HeaderMap,
    (visitor, tenant, member): (Visitor, Tenant, Member),
    status: StatusCode,
    notice: Option<Notice>,
    problem: String,
) -> Result<Response, Instead> {
    if tenant.activated_at.is_none() {
        return Ok(not_connected(app, &visitor, &tenant, &member));
    }
    let machine = machine(headers);
    let platforms = app.binaries.available();
    let has_extension = machine.is_none_or(|here| platforms.iter().any(|it| it.os == here.os));
    let preferred = machine.and_then(|here| {
        let mut of_this = platforms.iter().filter(|it| it.os == here.os);
        of_this.next().copied()
    });
    let install = Install {
        frame: frame(app, &visitor, &tenant, "Install").notice(notice),
        connector: app.config.resource(),
        hosted: hosted(app),
        machine,
        platforms: platforms
            .iter()
            .map(|platform| {
                let chosen = Some(*platform) == preferred;
                (platform.name(), words(*platform), chosen)
            })
            .collect(),
        has_extension: has_extension && !platforms.is_empty(),
        check: called(app, &tenant.id).await?,
        tenant: &tenant,
        problem,
    };
    Ok(page(status, &install, Some(visitor.browser)))
}

fn frame(app: &App, visitor: &Visitor, tenant: &Tenant, title: &str) -> Frame {
    let nav = nav::company(&tenant.id, Place::Install);
    visitor.frame(app, title).company(&tenant.company).nav(nav)
}

/// Nothing can be installed before Service Fusion is connected.
fn not_connected(app: &App, visitor: &Visitor, tenant: &Tenant, member: &Member) -> Response {
    let frame = visitor
        .frame(app, "Service Fusion is not connected yet")
        .narrow();
    let frame = frame.company(&tenant.company);
    let (text, next) = if member.is_owner() {
        let next = Some(("/sign-up/connect", "Connect Service Fusion"));
        (
            "One step is missing before an AI assistant can be connected.",
            next,
        )
    } else {
        (
            "The person who signed the company up has to connect Service Fusion first.",
            None,
        )
    };
    pages::says(StatusCode::OK, frame, text, next)
}

/// The hosted form of each client, which signs in by itself.
fn hosted(app: &App) -> Hosted {
    let handed = |client| Handed {
        client,
        form: Form::Remote,
        url: &app.config.public_url,
        command: "",
        company: "",
        token: "",
        time_zone: None,
    };
    let line = |client| {
        handed(client)
            .command_line()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let cursor = handed(Client::Cursor).links().into_iter().next();
    Hosted {
        cursor: cursor.map(|(_, link)| link).unwrap_or_default(),
        vscode: handed(Client::VsCode).links(),
        claude_code: line(Client::ClaudeCode),
        codex: line(Client::Codex),
    }
}

/// A button was pressed: the extension is sent, and everything else is shown once.
async fn make(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path((tenant_id, client)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let (visitor, tenant, member) = visitor::member(&app, &headers, &tenant_id).await?;
    let client = Client::find(&client).ok_or_else(unknown_client)?;
    if tenant.activated_at.is_none() {
        return Ok(not_connected(&app, &visitor, &tenant, &member));
    }
    if client == Client::Mcpb {
        let holder = Holder::member(&tenant, &member);
        let name = form.get("platform").unwrap_or_default();
        let (os, arch) = name.split_once('-').unwrap_or((name, ""));
        let platform = Platform::find(Some(os), Some(arch));
        let platform = platform.ok_or_else(|| Problem::invalid("Choose the kind of computer."))?;
        return Ok(packed(&app, &holder, platform).await?);
    }
    match handed_out(&app, &visitor, &tenant, &member, client, &form).await {
        Err(problem) if problem.status == StatusCode::BAD_REQUEST => {
            let said = problem.detail.replace("`command`", "The place of sf-mcp");
            let whose = (visitor, tenant, member);
            shown(&app, &headers, whose, problem.status, None, said).await
        }
        made => Ok(made?),
    }
}

async fn handed_out(
    app: &App,
    visitor: &Visitor,
    tenant: &Tenant,
    member: &Member,
    client: Client,
    form: &Params,
) -> Result<Response, Problem> {
    let typed = form.get("command").map(|typed| typed.trim().to_owned());
    let has_path = typed.is_some();
    let command = command(typed)?;
    let known = client.known();
    let form = match form.get("form") {
        Some("remote") if client == Client::Env => Form::Remote,
        _ => Form::Local,
    };
    let token = issue(app, &Holder::member(tenant, member), client, form).await?;
    let handed = Handed {
        client,
        form,
        url: &app.config.public_url,
        command: &command,
        company: &text::plain(&tenant.company),
        token: token.secret.expose_secret(),
        time_zone: tenant.time_zone.as_deref(),
    };
    let (file_name, kind) = client.file();
    let file = handed.file();
    let kind = kind.split(';').next().unwrap_or_default();
    let installed = Installed {
        frame: frame(app, visitor, tenant, "Shown this once"),
        tenant,
        client: client.title(),
        command: handed.command_line().map(|line| line.trim().to_owned()),
        is_remote: form == Form::Remote,
        name: known.map_or("CLIENT", |known| known.name),
        once_there: known.map_or_else(String::new, |known| known.next.replace('`', "")),
        has_path,
        links: if has_path { handed.links() } else { Vec::new() },
        file_link: format!("data:{kind};base64,{}", STANDARD.encode(&file)),
        file,
        file_name,
        device: token.device.map(|(_, name)| name).unwrap_or_default(),
    };
    Ok(page(StatusCode::OK, &installed, None))
}
