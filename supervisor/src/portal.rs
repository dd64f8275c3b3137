//! `/app`: a company's own pages. Who is signed in sees the companies they are in, and owners act on them; each act is the
//! one that programs use.

mod clients;
mod confirm;
mod devices;
mod overview;
mod people;
mod settings;
mod usage;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};

use crate::{
    app::App,
    error::Problem,
    pages::{
        self, Frame, Instead, Notice,
        nav::{self, Place},
        see_other,
    },
    store::{Member, Tenant},
    visitor::{self, Visitor},
};

pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/app", get(companies))
        .route("/app/{tenant_id}", get(overview::show))
        .route("/app/{tenant_id}/usage", get(usage::show))
        .route("/app/{tenant_id}/usage.csv", get(usage::download))
        .route(
            "/app/{tenant_id}/people",
            get(people::show).post(people::invite),
        )
        .route("/app/{tenant_id}/people/{id}", post(people::change))
        .route(
            "/app/{tenant_id}/people/{id}/remove",
            get(people::ask_remove).post(people::remove),
        )
        .route("/app/{tenant_id}/devices", get(devices::show))
        .route(
            "/app/{tenant_id}/devices/{id}/revoke",
            get(devices::ask_revoke).post(devices::revoke),
        )
        .route("/app/{tenant_id}/clients", get(clients::show))
        .route(
            "/app/{tenant_id}/clients/{id}/end",
            get(clients::ask_end).post(clients::end),
        )
        .route(
            "/app/{tenant_id}/settings",
            get(settings::show).post(settings::set),
        )
        .route("/app/{tenant_id}/export", get(settings::export))
        .route(
            "/app/{tenant_id}/delete",
            get(settings::ask_delete).post(settings::delete),
        )
}

/// A person on a page of a company that they are in.
struct Visit {
    visitor: Visitor,
    tenant: Tenant,
    member: Member,
}

impl Visit {
    async fn of(app: &App, headers: &HeaderMap, tenant_id: &str) -> Result<Self, Instead> {
        let (visitor, tenant, member) = visitor::member(app, headers, tenant_id).await?;
        Ok(Self {
            visitor,
            tenant,
            member,
        })
    }

    /// As `of`, and refuses all but owners.
    async fn of_owner(app: &App, headers: &HeaderMap, tenant_id: &str) -> Result<Self, Instead> {
        let (visitor, tenant, member) = visitor::owner(app, headers, tenant_id).await?;
        Ok(Self {
            visitor,
            tenant,
            member,
        })
    }

    fn frame(&self, app: &App, title: impl Into<String>, place: Place) -> Frame {
        let nav = nav::company(&self.tenant.id, place);
        let frame = self.visitor.frame(app, title);
        frame.company(&self.tenant.company).nav(nav)
    }

    fn path(&self, rest: &str) -> String {
        format!("/app/{}{rest}", self.tenant.id)
    }

    /// Back to a page that says what was done.
    fn done(&self, rest: &str, what: Done) -> Response {
        see_other(&format!("{}?done={}", self.path(rest), what.word()), None)
    }
}

/// What was just done; it travels in the address, so it is one of a few fixed words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Invited,
    Changed,
    Removed,
    Revoked,
    Ended,
    Zone,
}

impl Done {
    const ALL: [Self; 6] = [
        Self::Invited,
        Self::Changed,
        Self::Removed,
        Self::Revoked,
        Self::Ended,
        Self::Zone,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
            Self::Zone => "zone",
        }
    }

    fn notice(self) -> Notice {
        Notice::ok(match self {
            Self::Invited => "Invited. The mail says how to begin.",
            Self::Changed => "Changed; it holds from the next request on.",
            Self::Removed => "Removed, with all devices, tokens and AI clients that were theirs.",
            Self::Revoked => "Revoked. It is refused from the next request on.",
            Self::Ended => "Disconnected. The assistant is refused from its next request on.",
            Self::Zone => "The time zone is set; it holds from the next question on.",
        })
    }
}

/// The page's address may say what was just done.
#[derive(serde::Deserialize)]
struct Asked {
    done: Option<String>,
}

impl Asked {
    fn notice(&self) -> Option<Notice> {
        let word = self.done.as_deref()?;
        let done = Done::ALL.into_iter().find(|done| done.word() == word)?;
        Some(done.notice())
    }
}

#[derive(askama::Template)]
#[template(path = "portal/companies.html")]
struct Companies {
    frame: Frame,
    companies: Vec<(Tenant, Member)>,
}

/// The only company, or a choice.
async fn companies(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let visitor = visitor::signed_in(&app, &headers).await?;
    let mut companies = Vec::new();
    for member in app.store.memberships(&visitor.email).await? {
        if let Some(tenant) = app.store.tenant(&member.tenant_id).await? {
            companies.push((tenant, member));
        }
    }
    if let [(tenant, _)] = companies.as_slice() {
        return Ok(see_other(&format!("/app/{}", tenant.id), None));
    }
    let is_operator = app.config.operators.contains(&visitor.email);
    if companies.is_empty() && is_operator {
        return Ok(see_other("/admin", None));
    }
    let frame = visitor.frame(&app, "Your companies").narrow();
    let page = Companies { frame, companies };
    Ok(pages::page(StatusCode::OK, &page, None))
}

/// A form's problem belongs on its page; all else is a page of its own.
fn is_about_form(problem: &Problem) -> bool {
    matches!(
        problem.status,
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
    )
}
