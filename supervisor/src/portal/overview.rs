//! A company at a glance: is Service Fusion connected, how much was asked, what is left to do.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{Visit, usage};
use crate::{
    app::App,
    error::Problem,
    pages::{
        Frame, Instead,
        moment::{moment, moment_or_never},
        nav::Place,
        page,
    },
    rate,
    store::{By, FailedCall, Sum, Tenant},
};

/// Failed calls that are shown, and how old they may be.
const FAILURES: i64 = 8;
const WEEK: i64 = 7 * 86_400_000;

#[derive(Template)]
#[template(path = "portal/overview.html")]
struct Overview<'a> {
    frame: Frame,
    tenant: &'a Tenant,
    is_owner: bool,
    connection: Connection,
    /// Calls of today that the tier counts.
    today: i64,
    per_day: u32,
    per_minute: u32,
    tier: String,
    month: Sum,
    seen: String,
    devices: usize,
    clients: usize,
    zone: String,
    failures: Vec<(String, String, &'static str, String)>,
}

/// The company's way into Service Fusion.
enum Connection {
    None,
    Good { account: String, since: String },
    Ended { why: String },
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let (tenant, now) = (&visit.tenant, app.clock.now());
    let (tier, limits) = app.admission.tier_of(tenant);
    let (from, to) = usage::this_month(now)?.milliseconds();
    let month = app.store.usage(Some(&tenant.id), from, to, By::Origin);
    let failures = app.store.failed_calls(&tenant.id, now - WEEK, FAILURES);
    let overview = Overview {
        frame: visit.frame(&app, "Overview", Place::Overview),
        is_owner: visit.member.is_owner(),
        connection: connection(&app, tenant).await?,
        today: app.store.hosted_calls_on(&tenant.id, now).await?,
        per_day: limits.per_day,
        per_minute: u32::try_from(rate::per_minute(limits)).unwrap_or(u32::MAX),
        tier: tier.to_owned(),
        month: usage::total(&month.await?),
        seen: moment_or_never(tenant.seen_at),
        devices: crate::devices::revocable(&app, &tenant.id).await?.len(),
        clients: app.store.families_of(&tenant.id, now).await?.len(),
        zone: tenant.time_zone.clone().unwrap_or_default(),
        failures: failures.await?.into_iter().map(shown).collect(),
        tenant,
    };
    Ok(page(StatusCode::OK, &overview, None))
}

fn shown(failure: FailedCall) -> (String, String, &'static str, String) {
    let words = usage::outcome(&failure.status);
    (moment(failure.at), failure.tool, words, failure.client)
}

async fn connection(app: &App, tenant: &Tenant) -> Result<Connection, Problem> {
    let Some(head) = app.vault.head(&tenant.id).await? else {
        return Ok(Connection::None);
    };
    if let Some(why) = head.ended {
        return Ok(Connection::Ended { why });
    }
    Ok(Connection::Good {
        account: app.vault.account(&tenant.id).await?.unwrap_or_default(),
        since: moment(head.created_at),
    })
}
