//! Who is in the company, and what each may do; owners invite, change and remove.

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
    app::App,
    error::Problem,
    members,
    pages::{Frame, Instead, Notice, moment::day, nav::Place, page},
    params::Params,
    scopes,
    store::{Member, Role},
    visitor,
};

const HERE: &str = "/people";

#[derive(Template)]
#[template(path = "portal/people.html")]
struct People<'a> {
    frame: Frame,
    path: String,
    is_owner: bool,
    own_id: &'a str,
    members: Vec<Person>,
    typed: &'a str,
    problem: &'a str,
}

struct Person {
    member: Member,
    since: String,
    writes: bool,
    path: String,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    shown(&app, &visit, asked.notice(), "", None).await
}

async fn shown(
    app: &App,
    visit: &Visit,
    notice: Option<Notice>,
    typed: &str,
    problem: Option<&Problem>,
) -> Result<Response, Instead> {
    let members = app.store.members(&visit.tenant.id).await?;
    let people = People {
        frame: visit.frame(app, "People", Place::People).notice(notice),
        path: visit.path(HERE),
        is_owner: visit.member.is_owner(),
        own_id: &visit.member.id,
        members: members
            .into_iter()
            .map(|member| Person {
                since: day(member.created_at),
                writes: scopes::writes(&member.scopes),
                path: visit.path(&format!("{HERE}/{}", member.id)),
                member,
            })
            .collect(),
        typed,
        problem: &problem.map_or(String::new(), |problem| problem.detail.replace('`', "")),
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    Ok(page(status, &people, None))
}

pub(super) async fn invite(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path(tenant_id): Path<String>,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    let typed = form.get("email").unwrap_or_default();
    let actor = &visit.member.email;
    match members::invited(&app, &visit.tenant, actor, typed, scopes_of(&form)).await {
        Ok(_) => Ok(visit.done(HERE, Done::Invited)),
        Err(problem) if is_about_form(&problem) => {
            shown(&app, &visit, None, typed, Some(&problem)).await
        }
        Err(problem) => Err(problem.into()),
    }
}

/// Another role or other scopes.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path((tenant_id, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    let role = match form.get("role") {
        Some("owner") => Role::Owner,
        _ => Role::Member,
    };
    let what = (Some(role), Some(scopes_of(&form)));
    let actor = &visit.member.email;
    match members::changed(&app, &visit.tenant.id, actor, &id, what).await {
        Ok(_) => Ok(visit.done(HERE, Done::Changed)),
        Err(problem) if is_about_form(&problem) => {
            let notice = Notice::bad(problem.detail.clone());
            shown(&app, &visit, Some(notice), "", None).await
        }
        Err(problem) => Err(problem.into()),
    }
}

fn scopes_of(form: &Params) -> &'static str {
    scopes::of(form.get("write") == Some("yes"))
}

pub(super) async fn ask_remove(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path((tenant_id, id)): Path<(String, String)>,
) -> Result<Response, Instead> {
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    let member = app.store.member(&tenant_id, &id).await?;
    let member = member.ok_or_else(|| Problem::not_found("person"))?;
    let question = Question {
        title: format!("Remove {}?", member.email),
        text: format!(
            "All devices, tokens and AI clients of {} end at once. You can invite the address again later.",
            member.email
        ),
        button: "Remove",
        path: format!("{HERE}/{id}/remove"),
        back: HERE,
        place: Place::People,
        wants_name: false,
        problem: "",
    };
    Ok(question.page(&app, &visit, StatusCode::OK))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path((tenant_id, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Instead> {
    visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::of_owner(&app, &headers, &tenant_id).await?;
    match members::removed(&app, &tenant_id, &visit.member.email, &id).await {
        Ok(_) => Ok(visit.done(HERE, Done::Removed)),
        Err(problem) if is_about_form(&problem) => {
            let notice = Notice::bad(problem.detail.clone());
            shown(&app, &visit, Some(notice), "", None).await
        }
        Err(problem) => Err(problem.into()),
    }
}
