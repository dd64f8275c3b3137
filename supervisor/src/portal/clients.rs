//! AI clients that people of the company have allowed in their browser.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};

use super::{Asked, Done, Visit, confirm::Question, devices::people};
use crate::{
    app::App,
    connections,
    pages::{
        Frame, Instead,
        moment::{day, moment_or_never},
        nav::Place,
        page,
    },
    scopes,
    store::Family,
    visitor,
};

const HERE: &str = "/clients";

#[derive(Template)]
#[template(path = "portal/clients.html")]
struct Clients {
    frame: Frame,
    install: String,
    connected: Vec<Client>,
}

struct Client {
    name: String,
    host: String,
    whose: String,
    writes: bool,
    created: String,
    used: String,
    ends: String,
    /// Where it is ended, by those who may.
    end: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let people = people(&app, &tenant_id).await?;
    let families = app.store.families_of(&tenant_id, app.clock.now()).await?;
    let client = |family: Family| {
        let may_end = visit.member.is_owner() || family.member_id == visit.member.id;
        Client {
            whose: people.get(&family.member_id).cloned().unwrap_or_default(),
            writes: scopes::writes(&family.scopes),
            created: day(family.created_at),
            used: moment_or_never(family.last_used_at),
            ends: day(family.expires_at),
            end: may_end.then(|| visit.path(&format!("{HERE}/{}/end", family.id))),
            name: family.client_name,
            host: family.client_host,
        }
    };
    let frame = visit.frame(&app, "AI clients", Place::Clients);
    let page_of = Clients {
        frame: frame.notice(asked.notice()),
        install: visit.path("/install"),
        connected: families.into_iter().map(client).collect(),
    };
    Ok(page(StatusCode::OK, &page_of, None))
}

pub(super) async fn ask_end(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path((tenant_id, id)): Path<(String, String)>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let family = connections::of_person(&app, &visit.member, &id).await?;
    let question = Question {
        title: format!("Disconnect “{}”?", family.client_name),
        text: "The assistant is refused from its next request on. Its person can connect it again."
            .to_owned(),
        button: "Disconnect",
        path: format!("{HERE}/{id}/end"),
        back: HERE,
        place: Place::Clients,
        wants_name: false,
        problem: "",
    };
    Ok(question.page(&app, &visit, StatusCode::OK))
}

pub(super) async fn end(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path((tenant_id, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Instead> {
    visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    connections::ended(&app, &visit.member, &id).await?;
    Ok(visit.done(HERE, Done::Ended))
}
