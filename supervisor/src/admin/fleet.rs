//! `/admin/fleet`: all companies together, and this replica.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    figures::{self, DAY, day_start},
    path_of,
    replica::{Replica, replica},
    words,
};
use crate::{
    app::App,
    charts::{Day, Days},
    error::Problem,
    pages::{
        Frame, Instead,
        moment::moment,
        nav::{self, Desk},
        page,
    },
    store::{By, Group, Lost, State as Condition, Sum},
    visitor,
};

const HOUR: i64 = 60 * 60 * 1000;
/// Companies in a list of the busiest, and of those whose connection is lost.
const BUSIEST: i64 = 10;
const LOST: i64 = 20;

#[derive(Template)]
#[template(path = "admin/fleet.html")]
struct Fleet {
    frame: Frame,
    companies: i64,
    periods: Vec<(&'static str, Figures)>,
    days: Vec<Day>,
    states: Vec<Standing>,
    tiers: Vec<String>,
    busiest: Vec<(String, String, Figures)>,
    /// Address, company, reason, and the HTML of a time.
    lost: Vec<(String, String, String, String)>,
    replica: Replica,
}

/// Calls in words.
struct Figures {
    calls: String,
    failed: String,
    share: String,
    mean: String,
}

/// A state and its companies by tier, and all of them.
struct Standing {
    word: &'static str,
    state: (&'static str, &'static str),
    by_tier: Vec<i64>,
    all: i64,
}

impl From<&Sum> for Figures {
    fn from(sum: &Sum) -> Self {
        Self {
            calls: words::grouped(sum.calls),
            failed: words::grouped(sum.errors),
            share: words::share(sum.errors, sum.calls),
            mean: match sum.calls {
                0 => "–".to_owned(),
                calls => format!("{} ms", words::grouped(sum.duration_ms / calls)),
            },
        }
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let operator = visitor::operator(&app, &headers).await?;
    let now = app.clock.now();
    let today = day_start(now);
    let first = today - 29 * DAY;
    let by_day = app.store.usage(None, first, today + DAY, By::Day).await?;
    let groups = app.store.groups().await?;
    let tiers = tiers(&app, &groups);
    let busiest = app.store.busiest(today - 6 * DAY, BUSIEST).await?;
    let lost = app.store.lost_connections(LOST).await?;
    let fleet = Fleet {
        frame: (operator.visitor)
            .frame(&app, "Fleet")
            .nav(nav::operator(Desk::Fleet)),
        companies: groups.iter().map(|group| group.companies).sum(),
        periods: periods(&app, &by_day, now).await?,
        days: figures::days(&by_day, first, today),
        states: standings(&groups, &tiers),
        tiers,
        busiest: busiest
            .iter()
            .map(|(sum, company)| (path_of(&sum.key), company.clone(), sum.into()))
            .collect(),
        lost: lost.into_iter().map(told).collect(),
        replica: replica(&app).await?,
    };
    Ok(page(StatusCode::OK, &fleet, None))
}

fn told(lost: Lost) -> (String, String, String, String) {
    (
        path_of(&lost.tenant_id),
        lost.company,
        lost.why,
        moment(lost.at),
    )
}

/// Sums are by whole hours and days, so the last hour is the current one and the one before.
async fn periods(
    app: &App,
    by_day: &[Sum],
    now: i64,
) -> Result<Vec<(&'static str, Figures)>, Problem> {
    let hour = now - now.rem_euclid(HOUR);
    let by_hour = app
        .store
        .usage(None, hour - 23 * HOUR, hour + HOUR, By::Hour);
    let by_hour = by_hour.await?;
    let lately: Vec<Sum> = by_hour
        .iter()
        .filter(|sum| {
            sum.key
                .parse::<i64>()
                .is_ok_and(|start| start >= hour - HOUR)
        })
        .cloned()
        .collect();
    Ok(vec![
        ("This hour and the last", (&figures::total(&lately)).into()),
        ("Last 24 hours", (&figures::total(&by_hour)).into()),
        ("Last 30 days", (&figures::total(by_day)).into()),
    ])
}

/// The configured tiers, and those that companies have without the configuration knowing them.
fn tiers(app: &App, groups: &[Group]) -> Vec<String> {
    let mut tiers: Vec<String> = app.config.tiers.keys().cloned().collect();
    for group in groups {
        if !tiers.contains(&group.tier) {
            tiers.push(group.tier.clone());
        }
    }
    tiers
}

fn standings(groups: &[Group], tiers: &[String]) -> Vec<Standing> {
    Condition::ALL
        .into_iter()
        .map(|state| {
            let here = groups.iter().filter(|group| group.state == state);
            let counts: BTreeMap<&str, i64> = here
                .map(|group| (group.tier.as_str(), group.companies))
                .collect();
            Standing {
                word: state.word(),
                state: words::state(state),
                by_tier: tiers
                    .iter()
                    .map(|tier| counts.get(tier.as_str()).copied().unwrap_or_default())
                    .collect(),
                all: counts.values().sum(),
            }
        })
        .collect()
}
