//! How much was asked: by day, tool, assistant and outcome, for a period, and as a table for spreadsheets.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::ToSpan;
use serde::Deserialize;

use super::Visit;
use crate::{
    app::App,
    charts::{Day, Days, Row, Rows},
    config::Tier,
    error::Problem,
    pages::{Frame, Instead, nav::Place, page},
    store::{By, Sum},
    usage::{
        period::{Period, day_of},
        report::Report,
    },
};

/// Days that a picture shows; longer periods have their sums and the spreadsheet.
const PICTURED: usize = 92;
/// Rows of a table; the spreadsheet has all.
const LISTED: usize = 20;

#[derive(Deserialize)]
pub(super) struct Asked {
    from: Option<String>,
    to: Option<String>,
}

#[derive(Template)]
#[template(path = "portal/usage.html")]
struct Usage<'a> {
    frame: Frame,
    path: String,
    from: String,
    to: String,
    problem: String,
    total: Sum,
    tier: &'a str,
    limits: Tier,
    today: i64,
    days: Vec<Day>,
    tools: Vec<Row>,
    clients: Vec<Row>,
    outcomes: Vec<Row>,
    origins: Vec<Row>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let now = app.clock.now();
    let (period, problem) = match asked.period(now) {
        Ok(period) => (period, String::new()),
        Err(problem) => (this_month(now)?, problem.detail.into_owned()),
    };
    let (from, to) = period.milliseconds();
    let sums = async |by| app.store.usage(Some(&tenant_id), from, to, by).await;
    let by_origin = sums(By::Origin).await?;
    let (tier, limits) = app.admission.tier_of(&visit.tenant);
    let usage = Usage {
        frame: visit.frame(&app, "Usage", Place::Usage),
        path: visit.path("/usage"),
        from: period.from.to_string(),
        to: period.to.to_string(),
        total: total(&by_origin),
        tier,
        limits,
        today: app.store.hosted_calls_on(&tenant_id, now).await?,
        days: days(period, &sums(By::Day).await?),
        tools: rows(sums(By::Tool).await?, ToOwned::to_owned),
        clients: rows(sums(By::Client).await?, ToOwned::to_owned),
        outcomes: rows(sums(By::Status).await?, |word| outcome(word).to_owned()),
        origins: rows(by_origin, |word| origin(word).to_owned()),
        problem,
    };
    let status = if usage.problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    Ok(page(status, &usage, None))
}

/// The days of the period for a spreadsheet, one row a day, and their sum.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let visit = Visit::of(&app, &headers, &tenant_id).await?;
    let period = asked.period(app.clock.now())?;
    let (from, to) = period.milliseconds();
    let sums = app.store.usage(Some(&visit.tenant.id), from, to, By::Day);
    let report = Report::new(period, By::Day, sums.await?);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"usage.csv\"",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, report.csv()).into_response())
}

impl Asked {
    fn period(&self, now: i64) -> Result<Period, Problem> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (from, to) = (given(&self.from), given(&self.to));
        Period::new(from.as_deref(), to.as_deref(), false, now).map_err(|problem| {
            let said = problem.to_string().replace('`', "");
            Problem::invalid(format!("{said}. This month is shown instead."))
        })
    }
}

/// From the first of the month to today.
pub(super) fn this_month(now: i64) -> Result<Period, Problem> {
    Period::new(None, None, false, now).map_err(|_| Problem::internal())
}

pub(super) fn total(sums: &[Sum]) -> Sum {
    sums.iter().fold(Sum::default(), |mut total, sum| {
        total.calls += sum.calls;
        total.errors += sum.errors;
        total.duration_ms += sum.duration_ms;
        total.bytes += sum.bytes;
        total
    })
}

/// Every day of the period, those without calls too.
fn days(period: Period, sums: &[Sum]) -> Vec<Day> {
    let by_day: BTreeMap<String, &Sum> = sums
        .iter()
        .filter_map(|sum| Some((day_of(sum.key.parse().ok()?).to_string(), sum)))
        .collect();
    let all = period.from.series(1.day());
    all.take_while(|day| *day <= period.to)
        .take(PICTURED)
        .map(|day| {
            let day = day.to_string();
            let sum = by_day.get(&day);
            Day {
                calls: sum.map_or(0, |sum| sum.calls),
                failed: sum.map_or(0, |sum| sum.errors),
                day,
            }
        })
        .collect()
}

/// The most first; the rest is one row.
fn rows(mut sums: Vec<Sum>, name: impl Fn(&str) -> String) -> Vec<Row> {
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.calls));
    let rest = total(sums.get(LISTED..).unwrap_or_default());
    let mut rows: Vec<Row> = sums
        .iter()
        .take(LISTED)
        .map(|sum| row(name(&sum.key), sum))
        .collect();
    if rest.calls > 0 {
        rows.push(row("all others".to_owned(), &rest));
    }
    rows
}

fn row(name: String, sum: &Sum) -> Row {
    let name = if name.is_empty() {
        "not said".to_owned()
    } else {
        name
    };
    Row {
        name,
        calls: sum.calls,
        failed: sum.errors,
    }
}

/// What became of a call, in words.
pub(super) fn outcome(word: &str) -> &'static str {
    match word {
        "ok" => "answered",
        "refused" => "refused: something asked for does not exist or is not accepted",
        "rate_limited" => "too many calls at once, or in a day",
        "signed_out" => "Service Fusion no longer accepts the connection",
        "unreachable" => "Service Fusion could not be reached",
        "timeout" => "it took too long",
        "cancelled" => "the assistant did not wait for the answer",
        _ => "something failed",
    }
}

fn origin(word: &str) -> &'static str {
    match word {
        "hosted" => "hosted",
        _ => "on a computer of the company",
    }
}
