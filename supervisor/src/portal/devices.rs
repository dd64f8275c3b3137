//! Machines and tokens: who has them, when they were last used, and their end.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};

use super::{Asked, Done, Visit, confirm::Question};
use crate::{
    app::App,
    devices,
    pages::{
        Frame, Instead,
        moment::{day, moment_or_never},
        nav::Place,
        page,
    },
    store::{Member, Token},
    tokens::Kind,
    visitor,
};

const HERE: &str = "/devices";

#[derive(Template)]
#[template(path = "portal/devices.html")]
struct Devices {
    frame: Frame,
    install: String,
    listed: Vec<Device>,
}

struct Device {
    name: String,
    what: &'static str,
    client: String,
    whose: String,
    created: String,
    used: String,
    /// Where it is revoked, by those who may.
    revoke: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let people = people(&app, &tenant_id).await?;
    let tokens = devices::revocable(&app, &tenant_id).await?;
    let frame = visit.frame(&app, "Devices and tokens", Place::Devices);
    let page_of = Devices {
        frame: frame.notice(asked.notice()),
        install: visit.path("/install"),
        listed: tokens
            .into_iter()
            .map(|token| device(&visit, &people, token))
            .collect(),
    };
    Ok(page(StatusCode::OK, &page_of, None))
}

/// E-mail addresses by member.
pub(super) async fn people(
    app: &App,
    tenant_id: &str,
) -> Result<HashMap<String, String>, crate::store::Error> {
    let members = app.store.members(tenant_id).await?;
    let named = |member: Member| (member.id, member.email);
    Ok(members.into_iter().map(named).collect())
}

fn device(visit: &Visit, people: &HashMap<String, String>, token: Token) -> Device {
    let is_own = token.member_id.as_deref() == Some(&visit.member.id);
    let may_revoke = visit.member.is_owner() || is_own;
    let whose = token.member_id.as_ref().and_then(|id| people.get(id));
    Device {
        what: match (token.kind, token.form.as_deref()) {
            (Kind::Device, _) => "a computer with sf-mcp",
            (_, Some("remote")) => "a token for one AI client",
            _ => "a token for programs",
        },
        client: token.client.unwrap_or_default(),
        whose: whose.cloned().unwrap_or_default(),
        created: day(token.created_at),
        used: moment_or_never(token.last_used_at),
        revoke: may_revoke.then(|| visit.path(&format!("{HERE}/{}/revoke", token.id))),
        name: token.name,
    }
}

pub(super) async fn ask_revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path((tenant_id, id)): Path<(String, String)>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let device = devices::of_person(&app, &visit.member, &id).await?;
    let question = Question {
        title: format!("Revoke “{}”?", device.name),
        text: "It is refused from its next request on. A computer that already holds a Service Fusion token can go on with \
               it until that ends, for up to an hour."
            .to_owned(),
        button: "Revoke",
        path: format!("{HERE}/{id}/revoke"),
        back: HERE,
        place: Place::Devices,
        wants_name: false,
        problem: "",
    };
    Ok(question.page(&app, &visit, StatusCode::OK))
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path((tenant_id, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Instead> {
    visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    devices::revoked(&app, &visit.member, &id).await?;
    Ok(visit.done(HERE, Done::Revoked))
}
