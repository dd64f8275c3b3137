//! `search_estimates`.

use jiff::ToSpan;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{Fields, Listing, cursor::Cursor, estimate},
    dates::DateRange,
    server::{
        call::Call,
        lookup::{self, OneOf},
        tool::{Tool, list_output},
        tool_error::{ToolError, date_argument},
    },
    service_fusion::{
        query::{ESTIMATES, ListQuery},
        record::Record,
        walk::{Found, Position, Total},
    },
};

const DESCRIPTION: &str = "Find estimates (quotes) by customer, status, date, number or age; `open` leaves out won and lost ones. Returns one line an estimate \
with its total, age in days and status, newest first, and the exact total. For its lines use get_estimate.";

#[derive(Deserialize, JsonSchema)]
struct SearchEstimates {
    /// Estimate number, customer name or address; tried in turn, `matched_by` says which one it was.
    #[schemars(length(max = 200))]
    query: Option<String>,
    /// Customer by id (exact).
    #[schemars(range(min = 1))]
    customer_id: Option<i64>,
    /// Part of the customer's name.
    customer: Option<String>,
    /// Statuses by name.
    #[serde(default)]
    status: Vec<String>,
    /// True: only those still waiting for a decision.
    #[serde(default)]
    open: bool,
    /// Written on: last month, 2026-11-22, 2026-03-01..2026-05-31.
    date: Option<String>,
    /// Only those at least this many days old.
    #[schemars(range(min = 0, max = 3650))]
    older_than_days: Option<i64>,
    /// Only those of at least this value.
    #[schemars(range(min = 0))]
    minimum_total: Option<f64>,
    /// Rows to return, 1 to 100 (20 if left out).
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// `next_cursor` of the last answer, with the same other arguments.
    cursor: Option<String>,
}

pub(super) fn tool() -> Tool {
    Tool::read(
        "search_estimates",
        "Search estimates",
        DESCRIPTION,
        || list_output("estimates"),
        search,
    )
}

struct Plan {
    query: ListQuery,
    status: Option<OneOf>,
    customer_id: Option<i64>,
    range: Option<DateRange>,
    minimum_total: Option<f64>,
}

impl Plan {
    fn looks_at_rows(&self) -> bool {
        self.customer_id.is_some()
            || self.range.is_some()
            || self.minimum_total.is_some()
            || self.status.as_ref().is_some_and(OneOf::looks_at_rows)
    }

    fn keeps(&self, row: &Record) -> bool {
        self.customer_id
            .is_none_or(|id| row.id("customer_id") == Some(id))
            && self
                .range
                .is_none_or(|range| estimate::written(row).is_some_and(|day| range.contains(day)))
            && self
                .minimum_total
                .is_none_or(|least| row.number("total").is_some_and(|total| total >= least))
            && self.status.as_ref().is_none_or(|status| status.keeps(row))
    }
}

async fn search(call: Call, arguments: SearchEstimates) -> Result<Fields, ToolError> {
    let cursor = arguments
        .cursor
        .as_deref()
        .map(|text| call.binding().read(text))
        .transpose()?;
    let range = match cursor.as_ref().and_then(Cursor::range) {
        Some(range) => Some(range),
        None => written(&call, &arguments)?,
    };
    let resumed = cursor.as_ref().and_then(|cursor| cursor.matched_by.clone());
    let from = cursor.map(|cursor| cursor.position);
    let limit = arguments.limit.unwrap_or(20);
    let plan = plan(&call, &arguments, range).await?;

    if plan.status.as_ref().is_some_and(OneOf::is_empty) {
        return Ok(listing(&call, &lookup::nothing(), range, None));
    }
    let Some(said) = arguments.query.as_deref() else {
        let found = look(&call, &plan, plan.query.clone(), limit, from).await?;
        return Ok(listing(&call, &found, range, None));
    };
    let mut last = None;
    for (field, filter, value) in free_text(said) {
        if resumed.as_deref().is_some_and(|resumed| resumed != field) {
            continue;
        }
        let found = look(
            &call,
            &plan,
            plan.query.clone().filter(filter, value),
            limit,
            from,
        )
        .await?;
        if found.total != Total::Exact(0) {
            return Ok(listing(&call, &found, range, Some(field)));
        }
        last = Some(found);
    }
    let found = last.ok_or_else(|| ToolError::argument("query", "is empty"))?;
    Ok(listing(&call, &found, range, None))
}

/// The days on which it was written, from `date` and `older_than_days` together.
fn written(call: &Call, arguments: &SearchEstimates) -> Result<Option<DateRange>, ToolError> {
    let given = arguments
        .date
        .as_deref()
        .map(|text| DateRange::parse(text, call.today()))
        .transpose()
        .map_err(date_argument("date"))?;
    let Some(days) = arguments.older_than_days else {
        return Ok(given);
    };
    let latest = call
        .today()
        .checked_sub(days.days())
        .unwrap_or(call.today());
    let from = given.map_or(jiff::civil::date(1971, 1, 1), |range| range.from);
    let to = given.map_or(latest, |range| range.to.min(latest));
    if to < from {
        return Err(ToolError::argument(
            "older_than_days",
            format!("no day in `date` is {days} days ago or earlier; leave one of the two out"),
        ));
    }
    Ok(Some(DateRange { from, to }))
}

async fn plan(
    call: &Call,
    arguments: &SearchEstimates,
    range: Option<DateRange>,
) -> Result<Plan, ToolError> {
    let mut query = match (arguments.customer_id, &arguments.customer) {
        (Some(_), Some(_)) => {
            return Err(ToolError::argument(
                "customer",
                "give customer_id or customer, not both",
            ));
        }
        (Some(id), None) => lookup::of_customer(call, &ESTIMATES, id).await?,
        (None, Some(name)) => ListQuery::new(&ESTIMATES).filter("customer_name", name.trim()),
        (None, None) => ListQuery::new(&ESTIMATES),
    };
    query = query.fields(estimate::ROW_FIELDS);
    if arguments.open && !arguments.status.is_empty() {
        return Err(ToolError::argument(
            "open",
            "give `open` or `status`, not both",
        ));
    }
    let names = if arguments.open {
        Some(lookup::statuses(call, "open", &["open".to_owned()]).await?)
    } else if arguments.status.is_empty() {
        None
    } else {
        Some(lookup::statuses(call, "status", &arguments.status).await?)
    };
    let status = names.map(|names| OneOf::new("status", names));
    if let Some(status) = &status {
        query = status.limit(query);
    }
    Ok(Plan {
        query,
        status,
        customer_id: arguments.customer_id,
        range,
        minimum_total: arguments.minimum_total,
    })
}

async fn look(
    call: &Call,
    plan: &Plan,
    query: ListQuery,
    limit: usize,
    from: Option<Position>,
) -> Result<Found, ToolError> {
    let report = |done, of| call.report(done, of);
    let walk = call.walk(query).progress(&report);
    let found = if plan.looks_at_rows() {
        walk.keep(|row| plan.keeps(row)).take(limit, from).await
    } else {
        walk.take(limit, from).await
    };
    Ok(found?)
}

fn listing(
    call: &Call,
    found: &Found,
    range: Option<DateRange>,
    matched_by: Option<&'static str>,
) -> Fields {
    let binding = call.binding();
    let today = call.today();
    let rows = found
        .rows
        .iter()
        .map(|(row, position)| {
            (
                estimate::row(row, today),
                binding.cursor(*position, range, matched_by),
            )
        })
        .collect();
    let mut remarks = Fields::new().with("matched_by", matched_by);
    if let (Total::AtLeast(_), Some((looked_at, length))) = (found.total, found.looked_at) {
        remarks.put(
            "searched",
            format!("{looked_at} of {length} estimates so far, because Service Fusion cannot filter by this; next_cursor goes on"),
        );
    }
    Listing {
        plural: "estimates",
        rows,
        total: found.total,
        next_cursor: found
            .next
            .map(|position| binding.cursor(position, range, matched_by)),
        remarks,
    }
    .into_answer(call.company().max_answer)
}

fn free_text(query: &str) -> Vec<(&'static str, &'static str, String)> {
    let plain = query.trim().trim_start_matches('#');
    if plain.is_empty() {
        return Vec::new();
    }
    let reading = |name: &'static str, filter: &'static str| (name, filter, plain.to_owned());
    let mut readings = Vec::new();
    if plain.contains(|c: char| c.is_ascii_digit()) && !plain.contains(' ') {
        readings.push(reading("number", "number"));
    }
    readings.push(reading("customer", "customer_name"));
    readings.push(reading("address", "address"));
    readings
}
