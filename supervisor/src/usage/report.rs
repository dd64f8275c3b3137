//! `GET /api/usage`: a tenant's own figures as JSON or CSV.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    error::Problem,
    store::{By, Sum},
    tokens::Kind,
    usage::{
        csv,
        period::{Period, day_of, rfc3339},
    },
    web::Caller,
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// First day (UTC), such as 2026-01-31; the first of the month unless said.
    from: Option<String>,
    /// Last day (UTC); today unless said.
    to: Option<String>,
    /// hour, day, tool, status, client or origin; day unless said.
    #[param(value_type = Option<String>)]
    by: Option<By>,
}

/// Figures of the caller's company, as JSON or, with `Accept: text/csv`, as CSV.
#[utoipa::path(
    get,
    path = "/api/usage",
    params(Asked),
    responses(
        (status = 200, description = "`{from, to, by, rows: [{<by>, calls, errors, duration_ms, bytes}], totals}`"),
        (status = 400, description = "`invalid_request`"),
        (status = 401, description = "`invalid_token`"),
        (status = 403, description = "`tenant_suspended`")
    )
)]
pub async fn get(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let caller = Caller::with(&app, &headers, &[Kind::Bearer]).await?;
    let Query(asked) = asked.map_err(|_| {
        Problem::invalid(
            "`by` must be hour, day, tool, status, client or origin, and no parameter may come twice.",
        )
    })?;
    let by = asked.by.unwrap_or(By::Day);
    let (from, to) = (asked.from.as_deref(), asked.to.as_deref());
    let period = Period::new(from, to, by == By::Hour, app.clock.now())
        .map_err(|problem| Problem::invalid(format!("{problem}.")))?;
    let (from, to) = period.milliseconds();
    let sums = app
        .store
        .usage(Some(&caller.tenant.id), from, to, by)
        .await?;
    let report = Report::new(period, by, sums);
    let common = [
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
    ];
    if wants_csv(&headers) {
        let kind = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (
                header::CONTENT_DISPOSITION,
                "attachment; filename=usage.csv",
            ),
        ];
        return Ok((common, kind, report.csv()).into_response());
    }
    Ok((common, axum::Json(report.json())).into_response())
}

fn wants_csv(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("text/csv"))
}

/// Figures of a period.
#[derive(Debug)]
pub struct Report {
    period: Period,
    by: &'static str,
    sums: Vec<Sum>,
    totals: Sum,
}

impl Report {
    pub fn new(period: Period, by: By, mut sums: Vec<Sum>) -> Self {
        for sum in &mut sums {
            let start = sum.key.parse::<i64>().unwrap_or_default();
            match by {
                By::Hour => sum.key = rfc3339(start),
                By::Day => sum.key = day_of(start).to_string(),
                By::Tool | By::Status | By::Client | By::Origin => {}
            }
        }
        Self::named(period, by.word(), sums)
    }

    /// Of sums whose keys are readable already.
    pub fn named(period: Period, by: &'static str, sums: Vec<Sum>) -> Self {
        let mut totals = Sum::default();
        for sum in &sums {
            totals.calls += sum.calls;
            totals.errors += sum.errors;
            totals.duration_ms += sum.duration_ms;
            totals.bytes += sum.bytes;
        }
        Self {
            period,
            by,
            sums,
            totals,
        }
    }

    /// `{from, to, by, rows: [{<by>, calls, errors, duration_ms, bytes}], totals: {calls, …}}`
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .sums
            .iter()
            .map(|sum| {
                let mut row = Map::new();
                row.insert(self.by.to_owned(), json!(sum.key));
                row.extend(figures(sum));
                Value::Object(row)
            })
            .collect();
        json!({
            "from": self.period.from.to_string(),
            "to": self.period.to.to_string(),
            "by": self.by,
            "rows": rows,
            "totals": figures(&self.totals),
        })
    }

    /// The same rows, the totals as the last.
    pub fn csv(&self) -> String {
        let mut text = csv::line([self.by, "calls", "errors", "duration_ms", "bytes"]);
        for sum in &self.sums {
            text += &csv_line(&sum.key, sum);
        }
        text + &csv_line("total", &self.totals)
    }
}

fn figures(sum: &Sum) -> Map<String, Value> {
    let mut figures = Map::new();
    figures.insert("calls".to_owned(), json!(sum.calls));
    figures.insert("errors".to_owned(), json!(sum.errors));
    figures.insert("duration_ms".to_owned(), json!(sum.duration_ms));
    figures.insert("bytes".to_owned(), json!(sum.bytes));
    figures
}

fn csv_line(key: &str, sum: &Sum) -> String {
    let figures = [sum.calls, sum.errors, sum.duration_ms, sum.bytes].map(|n| n.to_string());
    csv::line(std::iter::once(key).chain(figures.iter().map(String::as_str)))
}
