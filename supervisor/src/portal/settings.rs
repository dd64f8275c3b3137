//! The company itself: its time zone, its connection, its data, its end.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};

use super::{Asked, Done, Visit, confirm::Question, is_about_form};
use crate::{
    account,
    app::App,
    error::Problem,
    pages::{self, Frame, Instead, Notice, nav::Place, page},
    time_zone, visitor,
};

const HERE: &str = "/settings";

#[derive(Template)]
#[template(path = "portal/settings.html")]
struct Settings<'a> {
    frame: Frame,
    path: String,
    base: String,
    is_owner: bool,
    zone: &'a str,
    problem: &'a str,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let zone = visit.tenant.time_zone.clone().unwrap_or_default();
    Ok(shown(&app, &visit, asked.notice(), &zone, None))
}

fn shown(
    app: &App,
    visit: &Visit,
    notice: Option<Notice>,
    zone: &str,
    problem: Option<&Problem>,
) -> Response {
    let settings = Settings {
        frame: visit.frame(app, "Settings", Place::Settings).notice(notice),
        path: visit.path(HERE),
        base: visit.path(""),
        is_owner: visit.member.is_owner(),
        zone,
        problem: &problem.map_or(String::new(), |problem| {
            problem.detail.replace("`time_zone`", "The time zone")
        }),
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    page(status, &settings, None)
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path(tenant_id): Path<String>,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    let typed = form.get("time_zone").unwrap_or_default();
    match time_zone::named(typed) {
        Ok(zone) => {
            account::set_time_zone(&app, &tenant_id, &visit.member.email, &zone).await?;
            Ok(visit.done(HERE, Done::Zone))
        }
        Err(problem) => Ok(shown(&app, &visit, None, typed, Some(&problem))),
    }
}

/// Everything that is kept, as a download.
pub(super) async fn export(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
) -> Result<Response, Instead> {
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    Ok(account::exported(app, visit.tenant).await?)
}

pub(super) async fn ask_delete(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
) -> Result<Response, Instead> {
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    Ok(deletion("").page(&app, &visit, StatusCode::OK))
}

fn deletion(problem: &str) -> Question<'_> {
    Question {
        title: "Delete the company here?".to_owned(),
        text: "Its Service Fusion credentials, people, devices, AI clients and figures are deleted at once and for good. \
               Nothing changes in Service Fusion itself. Backups of this service hold it until they are replaced."
            .to_owned(),
        button: "Delete for good",
        path: "/delete".to_owned(),
        back: HERE,
        place: Place::Settings,
        wants_name: true,
        problem,
    }
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path(tenant_id): Path<String>,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    let typed = form.get("confirm").unwrap_or_default();
    match account::removed(&app, &visit.tenant, &visit.member.email, typed).await {
        Ok(()) => {
            let frame = visit.visitor.frame(&app, "The company is deleted").narrow();
            let text = format!(
                "{} and everything that was kept of it are gone.",
                visit.tenant.company
            );
            let next = Some(("/", "Go to the first page"));
            Ok(pages::says(StatusCode::OK, frame, &text, next))
        }
        Err(problem) if is_about_form(&problem) => {
            let said = "That is not the company's name as it is written; nothing was deleted.";
            Ok(deletion(said).page(&app, &visit, problem.status))
        }
        Err(problem) => Err(problem.into()),
    }
}
