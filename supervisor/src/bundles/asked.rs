//! What may be asked for, and what is said of the rest.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::{
    app::App,
    binaries::Platform,
    clients::{Client, Form},
    error::Problem,
};

/// Where sf-mcp is when nobody says where.
pub(super) const COMMAND: &str = "sf-mcp";
/// Longest path of sf-mcp, in characters.
const LENGTH: usize = 512;

/// What may be asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `local`: the client runs sf-mcp on its machine. `remote`: it calls this service. Default: the first it has.
    pub(super) form: Option<String>,
    /// `file` (default): the file itself. `command`: one line for a terminal, as text. `json`: the file, the install
    /// links, the command, what to do next and the token's id, in one object.
    #[serde(rename = "as")]
    pub(super) shape: Option<String>,
    /// For administrators who write the configuration themselves: the full path of sf-mcp on the machine. Desktop
    /// programs search no PATH, so without it the file is for `sf-mcp login --bundle`. Local form only.
    pub(super) command: Option<String>,
    /// For `mcpb`: `darwin`, `linux` or `win32`. Default: what this service runs on.
    pub(super) platform: Option<String>,
    /// For `mcpb`: `arm64` or `x64`. Default: the platform's usual one.
    pub(super) arch: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    File,
    Command,
    Json,
}

pub(super) fn form(client: Client, asked: Option<&str>, app: &App) -> Result<Form, Problem> {
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
pub(super) fn shapes(client: Client) -> Vec<(&'static str, Shape)> {
    let mut shapes = vec![("file", Shape::File)];
    if client.has_command() {
        shapes.push(("command", Shape::Command));
    }
    if client != Client::Mcpb {
        shapes.push(("json", Shape::Json));
    }
    shapes
}

pub(super) fn shape(client: Client, asked: Option<&str>) -> Result<Shape, Problem> {
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
pub(super) fn fits(client: Client, form: Form, asked: &Asked) -> Result<(), Problem> {
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

pub(super) fn platform(app: &App, asked: &Asked) -> Result<Platform, Problem> {
    Platform::find(asked.platform.as_deref(), asked.arch.as_deref())
        .ok_or_else(|| not_available(app))
}

pub(super) fn not_available(app: &App) -> Problem {
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
pub(super) fn command(asked: Option<String>) -> Result<String, Problem> {
    let command = asked.unwrap_or_else(|| COMMAND.to_owned());
    let usual = !command.is_empty()
        && !command.starts_with('-')
        && command.chars().count() <= LENGTH
        && !command.chars().any(char::is_control);
    usual.then_some(command).ok_or_else(|| {
        Problem::invalid(format!(
            "`command` must be the path of sf-mcp: 1 to {LENGTH} characters on one line, not beginning with `-`."
        ))
    })
}
