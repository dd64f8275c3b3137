//! Acts that ask again on a page of their own: suspending, deleting, revoking a device.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};

use super::{
    about,
    acts::{back, change, words},
    path_of, posted,
};
use crate::{
    app::App,
    devices,
    error::Problem,
    pages::{self, Frame, Instead, page, see_other},
    store::{Change, Tenant},
    visitor::Operator,
};

/// Deleting asks for a code that was typed less than this before, in ms.
const FRESH: i64 = 10 * 60_000;

/// What is asked beside the button.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    None,
    Reason,
    Name,
    /// The sign-in is too old; a button leads to another one.
    Again,
}

#[derive(Template)]
#[template(path = "admin/confirm.html")]
struct Confirm<'a> {
    frame: Frame,
    path: String,
    back: String,
    text: String,
    button: &'a str,
    field: Field,
    company: &'a str,
    typed: &'a str,
    problem: &'a str,
}

impl<'a> Confirm<'a> {
    fn new(app: &App, operator: &Operator, tenant: &'a Tenant, title: String) -> Self {
        Self {
            frame: operator.visitor.frame(app, title).narrow(),
            path: String::new(),
            back: path_of(&tenant.id),
            text: String::new(),
            button: "",
            field: Field::None,
            company: &tenant.company,
            typed: "",
            problem: "",
        }
    }

    fn page(&self) -> Response {
        let status = if self.problem.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        page(status, self, None)
    }
}

fn suspending(
    app: &App,
    operator: &Operator,
    tenant: &Tenant,
    typed: &str,
    problem: &str,
) -> Response {
    let title = format!("Suspend {}?", tenant.company);
    Confirm {
        path: format!("{}/suspend", path_of(&tenant.id)),
        text: "Its people, machines and AI clients get no access from now on, and its people read that the operator \
               suspended it. Nothing is lost, and you can resume it at any time. Machines that hold a Service Fusion \
               token can go on with it for up to an hour."
            .to_owned(),
        button: "Suspend the company",
        field: Field::Reason,
        typed,
        problem,
        ..Confirm::new(app, operator, tenant, title)
    }
    .page()
}

pub(super) async fn ask_suspend(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (operator, tenant) = about(&app, &headers, &id).await?;
    Ok(suspending(&app, &operator, &tenant, "", ""))
}

pub(super) async fn suspend(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let (operator, form) = posted(&app, &headers, &uri, &body).await?;
    let why = words(form.get("why").unwrap_or_default())?;
    if why.is_empty() {
        let (_, tenant) = about(&app, &headers, &id).await?;
        let problem = "Say why, for other operators and the audit log.";
        return Ok(suspending(&app, &operator, &tenant, "", problem));
    }
    let actor = &operator.visitor.email;
    change(&app, &id, Change::Suspend { why: &why }, actor).await?;
    app.children.stop(&id).await;
    Ok(back(&id, "suspended"))
}

fn deleting(
    app: &App,
    operator: &Operator,
    tenant: &Tenant,
    typed: &str,
    problem: &str,
) -> Response {
    let title = format!("Delete {}?", tenant.company);
    let is_fresh = is_fresh(app, operator);
    Confirm {
        path: format!("{}/delete", path_of(&tenant.id)),
        text: "At once and for good: its credentials, people, machines, figures and single calls. The audit log stays, \
               and older backups still hold the company."
            .to_owned(),
        button: "Delete the company for good",
        field: if is_fresh { Field::Name } else { Field::Again },
        typed,
        problem,
        ..Confirm::new(app, operator, tenant, title)
    }
    .page()
}

fn is_fresh(app: &App, operator: &Operator) -> bool {
    operator.since > app.clock.now() - FRESH
}

pub(super) async fn ask_delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (operator, tenant) = about(&app, &headers, &id).await?;
    Ok(deleting(&app, &operator, &tenant, "", ""))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let (operator, form) = posted(&app, &headers, &uri, &body).await?;
    let (_, tenant) = about(&app, &headers, &id).await?;
    let typed = form.get("confirm").unwrap_or_default();
    if !is_fresh(&app, &operator) {
        let problem = "Nothing was deleted: sign in again first.";
        return Ok(deleting(&app, &operator, &tenant, "", problem));
    }
    if typed.trim() != tenant.company.trim() {
        let problem = "Nothing was deleted: this is not the company's name as it is written.";
        return Ok(deleting(&app, &operator, &tenant, typed, problem));
    }
    change(&app, &id, Change::Delete, &operator.visitor.email).await?;
    app.children.stop(&id).await;
    Ok(see_other("/admin?done=deleted", None))
}

pub(super) async fn ask_revoke(
    State(app): State<Arc<App>>,
    Path((id, device)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (operator, tenant) = about(&app, &headers, &id).await?;
    let tokens = devices::revocable(&app, &id).await?;
    let Some(token) = tokens.into_iter().find(|token| token.id == device) else {
        return Err(pages::not_found().into());
    };
    let confirm = Confirm {
        path: format!("{}/devices/{}", path_of(&tenant.id), token.id),
        text: format!(
            "“{}” of {} gets no access from now on. To use it again, somebody there has to set it up anew.",
            token.name, tenant.company
        ),
        button: "Revoke the device",
        ..Confirm::new(&app, &operator, &tenant, format!("Revoke {}?", token.name))
    };
    Ok(confirm.page())
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Path((id, device)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let (operator, _) = posted(&app, &headers, &uri, &body).await?;
    let (actor, now) = (&operator.visitor.email, app.clock.now());
    if !app.store.revoke_for(&id, &device, actor, now).await? {
        return Err(Problem::not_found("device that is not revoked").into());
    }
    Ok(back(&id, "revoked"))
}
