//! `/admin/usage.csv`: calls of a billing period, of every company or of one.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use jiff::ToSpan;

use crate::{
    app::App,
    error::Problem,
    pages::Instead,
    params::Params,
    store::By,
    usage::{
        period::{self, day_of},
        report::Report,
        sheet,
    },
    visitor,
};

/// What the form begins with: the month before this one, as bills are about that.
pub(super) struct Period {
    pub(super) from: String,
    pub(super) to: String,
}

impl Period {
    pub(super) fn usual(now: i64) -> Self {
        let this_month = day_of(now).first_of_month();
        let to = this_month.checked_sub(1.day()).unwrap_or(this_month);
        Self {
            from: to.first_of_month().to_string(),
            to: to.to_string(),
        }
    }
}

/// A line a company; with `company` a line a day of that one.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Instead> {
    visitor::operator(&app, &headers).await?;
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let period = period::Period::new(params.get("from"), params.get("to"), false, app.clock.now());
    let period = period.map_err(|problem| {
        Problem::invalid(format!("{problem}. Go back and choose other days."))
    })?;
    let csv = match params.get("company") {
        Some(id) => of_one(&app, id, period).await?,
        None => of_all(&app, period).await?,
    };
    let name = format!("usage-{}-to-{}.csv", period.from, period.to);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, csv).into_response())
}

async fn of_all(app: &App, period: period::Period) -> Result<String, Problem> {
    let (from, to) = period.milliseconds();
    let sums = app.store.usage_by_tenant(from, to).await?;
    let mut report = Report::named(period, "tenant", sums).json();
    sheet::name_companies(&mut report, app.store.company_names().await?);
    Ok(sheet::csv(&report))
}

async fn of_one(app: &App, id: &str, period: period::Period) -> Result<String, Instead> {
    if app.store.tenant(id).await?.is_none() {
        return Err(crate::pages::not_found().into());
    }
    let (from, to) = period.milliseconds();
    let sums = app.store.usage(Some(id), from, to, By::Day).await?;
    Ok(Report::new(period, By::Day, sums).csv())
}

#[cfg(test)]
mod tests {
    use super::Period;

    #[test]
    fn a_bill_is_about_the_month_before() {
        // 2027-01-15
        let period = Period::usual(1_800_000_000_000);
        assert_eq!(
            (period.from.as_str(), period.to.as_str()),
            ("2026-12-01", "2026-12-31")
        );
    }
}
