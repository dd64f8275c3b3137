//! `/admin/tenants/{id}`: one company, its figures, and what an operator does about it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    about,
    acts::notice,
    figures::{self, DAY, Latency, day_start},
    limits::{self, Typed},
    path_of,
    usage::Period,
    words,
};
use crate::{
    app::App,
    charts::{Day, Days, Row, Rows},
    devices,
    error::Problem,
    pages::{
        Frame, Instead,
        moment::{moment, moment_or_never},
        nav::{self, Desk},
        page,
    },
    params::Params,
    store::{
        By, Connection, FailedCall, Family, Member, SAMPLE, State as Condition, Tenant, Token,
    },
};

/// Days of the charts, today included.
const DAYS: i64 = 30;
/// Failed calls, devices and AI clients that are shown.
const SHOWN: usize = 50;
const FAILURES: i64 = 20;

#[derive(Template)]
#[template(path = "admin/company.html")]
struct Company<'a> {
    frame: Frame,
    path: String,
    tenant: &'a Tenant,
    state: (&'static str, &'static str),
    /// Names and HTML that is safe: made of times and fixed words alone.
    times: Vec<(&'static str, String)>,
    connection: Option<Bond>,
    /// HTML, as of times.
    child: String,
    limits: String,
    typed: Typed,
    tiers: Vec<&'a str>,
    calls: Calls,
    people: Vec<Person>,
    devices: Vec<Device>,
    clients: Vec<Client>,
    /// Devices and AI clients beyond those shown.
    more: (usize, usize),
    period: Period,
}

/// What the company asked for.
struct Calls {
    today: String,
    month: String,
    failed: String,
    share: String,
    median: String,
    days: Vec<Day>,
    tools: Vec<Row>,
    outcomes: Vec<Row>,
    clients: Vec<Row>,
    latencies: [(&'static str, Latency); 2],
    /// The newest calls alone were looked at.
    is_sample: bool,
    failures: Vec<Failed>,
}

/// The connection to Service Fusion. Here and below, times are HTML.
struct Bond {
    kind: &'static str,
    ended: Option<String>,
    since: String,
    changed: String,
    good_until: String,
}

struct Failed {
    at: String,
    outcome: String,
    took: String,
    call: FailedCall,
}

struct Person {
    email: String,
    role: &'static str,
    since: String,
}

struct Device {
    href: String,
    name: String,
    kind: &'static str,
    client: String,
    created: String,
    used: String,
}

struct Client {
    name: String,
    host: String,
    person: String,
    used: String,
    ends: String,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Instead> {
    let (operator, tenant) = about(&app, &headers, &id).await?;
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let now = app.clock.now();
    let connection = app.store.connection(&id).await?;
    let ended = connection.as_ref().is_some_and(|it| it.ended.is_some());
    let people = app.store.members(&id).await?;
    let mut devices = devices::revocable(&app, &id).await?;
    let mut clients = app.store.families_of(&id, now).await?;
    let more = (rest(&mut devices), rest(&mut clients));
    let company = Company {
        frame: (operator.visitor)
            .frame(&app, tenant.company.clone())
            .nav(nav::operator(Desk::Tenants))
            .notice(notice(params.get("done"))),
        path: path_of(&id),
        state: words::state(Condition::of(&tenant, ended)),
        times: times(&tenant),
        connection: connection.map(bond),
        child: child(&app, &id),
        limits: limits::words(&app, &tenant.tier, limits::own(&tenant)),
        typed: Typed::of(&tenant),
        tiers: app.config.tiers.keys().map(String::as_str).collect(),
        calls: calls(&app, &id, now).await?,
        clients: clients
            .into_iter()
            .map(|family| client(family, &people))
            .collect(),
        devices: devices
            .into_iter()
            .map(|token| device(&id, token))
            .collect(),
        people: people.into_iter().map(person).collect(),
        more,
        period: Period::usual(now),
        tenant: &tenant,
    };
    Ok(page(StatusCode::OK, &company, None))
}

fn bond(connection: Connection) -> Bond {
    Bond {
        kind: match connection.kind.as_str() {
            "client_credentials" => "with an OAuth Consumer",
            _ => "in the browser, with an OAuth App",
        },
        ended: connection.ended,
        since: moment(connection.created_at),
        changed: moment(connection.updated_at),
        good_until: moment(connection.expires_at),
    }
}

fn person(member: Member) -> Person {
    Person {
        role: member.role.word(),
        email: member.email,
        since: moment(member.created_at),
    }
}

fn device(tenant_id: &str, token: Token) -> Device {
    let form = token.form.unwrap_or_default();
    let client = token.client.unwrap_or_default();
    Device {
        href: format!("{}/devices/{}", path_of(tenant_id), token.id),
        name: token.name,
        kind: token.kind.word(),
        client: format!("{client} {form}").trim().to_owned(),
        created: moment(token.created_at),
        used: moment_or_never(token.last_used_at),
    }
}

fn client(family: Family, people: &[Member]) -> Client {
    let person = people.iter().find(|person| person.id == family.member_id);
    Client {
        name: family.client_name,
        host: family.client_host,
        person: person.map_or_else(|| "removed".to_owned(), |person| person.email.clone()),
        used: moment_or_never(family.last_used_at),
        ends: moment(family.expires_at),
    }
}

fn failed(call: FailedCall) -> Failed {
    Failed {
        at: moment(call.at),
        outcome: words::outcome(&call.status).to_owned(),
        took: words::grouped(call.duration_ms),
        call,
    }
}

/// Cuts what is too long for a page; how many that were.
fn rest<T>(list: &mut Vec<T>) -> usize {
    let more = list.len().saturating_sub(SHOWN);
    list.truncate(SHOWN);
    more
}

fn times(tenant: &Tenant) -> Vec<(&'static str, String)> {
    vec![
        ("Signed up", moment(tenant.created_at)),
        ("Connected first", moment_or_never(tenant.activated_at)),
        ("Last seen", moment_or_never(tenant.seen_at)),
    ]
}

/// This replica's process for the company; others may have one too.
fn child(app: &App, id: &str) -> String {
    let Some(child) = app.children.living(id) else {
        return "none on this replica; it starts with the next call".to_owned();
    };
    format!(
        "process {} on this replica, {} in flight, last asked {}",
        child.process(),
        child.in_flight(),
        moment(child.used_at())
    )
}

async fn calls(app: &App, id: &str, now: i64) -> Result<Calls, Problem> {
    let today = day_start(now);
    let (from, to) = (today - (DAYS - 1) * DAY, today + DAY);
    let sums = async |by| app.store.usage(Some(id), from, to, by).await;
    let by_day = sums(By::Day).await?;
    let total = figures::total(&by_day);
    let days = figures::days(&by_day, from, today);
    let week = now - 7 * DAY;
    let measured = app.store.durations(id, week).await?;
    let failures = app.store.failed_calls(id, week, FAILURES).await?;
    let all = measured.iter().map(|(_, took)| *took).collect();
    let lately = measured.iter().filter(|(at, _)| *at >= now - DAY);
    let lately = Latency::of(lately.map(|(_, took)| *took).collect());
    Ok(Calls {
        today: words::grouped(days.last().map_or(0, |day| day.calls)),
        month: words::grouped(total.calls),
        failed: words::grouped(total.errors),
        share: words::share(total.errors, total.calls),
        median: if lately.is_empty() {
            "–".to_owned()
        } else {
            format!("{} ms", words::grouped(lately.p50))
        },
        days,
        tools: figures::rows(By::Tool, sums(By::Tool).await?),
        outcomes: figures::rows(By::Status, sums(By::Status).await?),
        clients: figures::rows(By::Client, sums(By::Client).await?),
        latencies: [("Last 24 hours", lately), ("Last 7 days", Latency::of(all))],
        is_sample: i64::try_from(measured.len()).unwrap_or(i64::MAX) >= SAMPLE,
        failures: failures.into_iter().map(failed).collect(),
    })
}
