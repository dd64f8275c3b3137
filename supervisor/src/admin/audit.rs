//! `/admin/audit`: who changed what, when, before and after.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use url::form_urlencoded::Serializer;

use super::{path_of, words};
use crate::{
    app::App,
    pages::{
        Frame, Instead,
        moment::moment,
        nav::{self, Desk},
        page,
    },
    params::Params,
    store::{Entry, Traces},
    visitor,
};

/// Entries of a page.
const PAGE: i64 = 50;
/// Pages; who looks for something older says more about it.
const PAGES: i64 = 1_000;

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct Audit<'a> {
    frame: Frame,
    which: Traces<'a>,
    actions: &'static [(&'static str, &'static str)],
    rows: Vec<Row>,
    page: i64,
    before: Option<String>,
    after: Option<String>,
}

struct Row {
    /// HTML of a time.
    at: String,
    actor: String,
    action: String,
    company: Option<Named>,
    before: String,
    after: String,
}

/// A company of an entry: a deleted one has its id and no page.
struct Named {
    name: String,
    href: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Instead> {
    let operator = visitor::operator(&app, &headers).await?;
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let field = |name| params.get(name).map_or("", str::trim);
    let which = Traces {
        tenant_id: field("company"),
        actor: field("actor"),
        action: field("action"),
    };
    let number: i64 = field("page").parse().unwrap_or(1);
    let number = number.clamp(1, PAGES);
    // One more tells whether there is a next page.
    let mut found = (app.store)
        .traces(which, ((number - 1) * PAGE, PAGE + 1))
        .await?;
    let is_last = found.len() <= usize::try_from(PAGE).unwrap_or_default() || number == PAGES;
    found.truncate(usize::try_from(PAGE).unwrap_or_default());
    let audit = Audit {
        frame: (operator.visitor)
            .frame(&app, "Audit log")
            .nav(nav::operator(Desk::Audit)),
        which,
        actions: &words::ACTIONS,
        rows: found.into_iter().map(row).collect(),
        page: number,
        before: (number > 1).then(|| address(which, number - 1)),
        after: (!is_last).then(|| address(which, number + 1)),
    };
    Ok(page(StatusCode::OK, &audit, None))
}

fn row((entry, company): (Entry, Option<String>)) -> Row {
    let named = entry.tenant_id.map(|id| Named {
        href: company.is_some().then(|| path_of(&id)),
        name: company.unwrap_or(id),
    });
    Row {
        at: moment(entry.at),
        actor: entry.actor,
        action: words::action(&entry.action).to_owned(),
        company: named,
        before: words::value(entry.before.as_deref()),
        after: words::value(entry.after.as_deref()),
    }
}

fn address(which: Traces<'_>, page: i64) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in [
        ("company", which.tenant_id),
        ("actor", which.actor),
        ("action", which.action),
    ] {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    if page > 1 {
        query.append_pair("page", &page.to_string());
    }
    format!("/admin/audit?{}", query.finish())
}
