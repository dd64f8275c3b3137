//! `search_jobs`.

use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{Fields, Listing, job},
    clock::Clock,
    dates::{DateRange, filter_moment, parse_moment},
    server::{
        call::Call,
        lookup::{self, OneOf, Technician},
        street,
        tool::{Tool, list_output},
        tool_error::{ToolError, closest, date_argument},
    },
    service_fusion::{
        query::{JOBS, ListQuery},
        record::Record,
        walk::{Found, Total},
    },
};

const DESCRIPTION: &str = "Find jobs (work orders) by status, date, customer, technician, category, number, PO or address; also unassigned, unscheduled or \
recently changed ones. Returns one line a job with id, status, date, time window, technicians and city, and the exact total. \
For one whole day use get_dispatch_board; for everything about one job use get_job.";

#[derive(Deserialize, JsonSchema)]
struct SearchJobs {
    /// Job number, customer name, address or PO number; tried in turn, `matched_by` says which one it was.
    #[schemars(length(max = 200))]
    query: Option<String>,
    /// Statuses by name, or "open" / "closed" for all such. Example: Scheduled, On Hold.
    #[serde(default)]
    status: Vec<String>,
    /// Start date or range: today, this week, last month, 2026-11-22, 2026-11-01..2026-11-15. Return visits of older jobs are only on get_dispatch_board.
    date: Option<String>,
    /// Customer by id (exact).
    #[schemars(range(min = 1))]
    customer_id: Option<i64>,
    /// Part of the customer's name.
    customer: Option<String>,
    /// Technician by name or id, on the job or one of its visits.
    technician: Option<String>,
    /// Job categories by name.
    #[serde(default)]
    category: Vec<String>,
    /// Part of a PO number.
    po_number: Option<String>,
    /// Part of the street address.
    address: Option<String>,
    /// Whole name of the city.
    city: Option<String>,
    /// True: only jobs without a technician.
    #[serde(default)]
    unassigned: bool,
    /// True: only jobs without a date.
    #[serde(default)]
    unscheduled: bool,
    /// Only jobs changed since: "2 hours ago", yesterday, 2026-11-22T08:00. Newest change first.
    changed_since: Option<String>,
    /// More fields per row, by Service Fusion's names: description (longer), street_1, category, total, due_total, payment_status, po_number, completion_notes, closed_at and others.
    #[serde(default)]
    fields: Vec<String>,
    /// Rows to return, 1 to 100 (20 if left out).
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// `next_cursor` of the last answer, with the same other arguments.
    cursor: Option<String>,
}

pub(super) fn tool() -> Tool {
    Tool::read(
        "search_jobs",
        "Search jobs",
        DESCRIPTION,
        || list_output("jobs"),
        search,
    )
}

/// What the API filters, and what has to be looked at row by row.
struct Plan {
    query: ListQuery,
    /// Statuses and categories.
    choices: Vec<OneOf>,
    customer_id: Option<i64>,
    technician: Option<Technician>,
    unassigned: bool,
    unscheduled: bool,
}

impl Plan {
    fn looks_at_rows(&self) -> bool {
        self.customer_id.is_some()
            || self.technician.is_some()
            || self.unassigned
            || self.unscheduled
            || self.choices.iter().any(OneOf::looks_at_rows)
    }

    fn keeps(&self, row: &Record) -> bool {
        self.customer_id
            .is_none_or(|id| row.id("customer_id") == Some(id))
            && self
                .technician
                .as_ref()
                .is_none_or(|technician| job::technician_ids(row).contains(&technician.id))
            && (!self.unassigned || job::technician_ids(row).is_empty())
            && (!self.unscheduled || row.date("start_date").is_none())
            && self.choices.iter().all(|choice| choice.keeps(row))
    }
}

async fn search(call: Call, arguments: SearchJobs) -> Result<Fields, ToolError> {
    check_more_fields(&arguments.fields)?;
    let cursor = arguments
        .cursor
        .as_deref()
        .map(|text| call.binding().read(text))
        .transpose()?;
    let range = match (&cursor, &arguments.date) {
        (Some(cursor), Some(_)) if cursor.range().is_some() => cursor.range(),
        (_, Some(text)) => {
            Some(DateRange::parse(text, call.today()).map_err(date_argument("date"))?)
        }
        _ => None,
    };
    let resumed = cursor.as_ref().and_then(|cursor| cursor.matched_by.clone());
    let from = cursor.map(|cursor| cursor.position);
    let limit = arguments.limit.unwrap_or(20);
    let plan = plan(&call, &arguments, range).await?;

    if plan.choices.iter().any(OneOf::is_empty) {
        return Ok(listing(&call, &lookup::nothing(), &arguments, range, None));
    }
    let Some(said) = arguments.query.as_deref() else {
        let found = look(&call, &plan, plan.query.clone(), limit, from).await?;
        return Ok(listing(&call, &found, &arguments, range, None));
    };
    let mut last = None;
    for (field, filter, value) in free_text(said) {
        if resumed.as_deref().is_some_and(|resumed| resumed != field) {
            continue;
        }
        let query = plan.query.clone().filter(filter, value);
        let found = look(&call, &plan, query, limit, from).await?;
        if found.total != Total::Exact(0) {
            return Ok(listing(&call, &found, &arguments, range, Some(field)));
        }
        last = Some(found);
    }
    let found = last.ok_or_else(|| ToolError::argument("query", "is empty"))?;
    Ok(listing(&call, &found, &arguments, range, None))
}

async fn plan(
    call: &Call,
    arguments: &SearchJobs,
    range: Option<DateRange>,
) -> Result<Plan, ToolError> {
    if arguments.unscheduled && range.is_some() {
        return Err(ToolError::argument(
            "unscheduled",
            "jobs without a date cannot be limited to one; leave out `date` or `unscheduled`",
        ));
    }
    if arguments.unassigned && arguments.technician.is_some() {
        return Err(ToolError::argument(
            "unassigned",
            "jobs without a technician have no technician; leave one of the two out",
        ));
    }
    let mut query = match (arguments.customer_id, &arguments.customer) {
        (Some(_), Some(_)) => {
            return Err(ToolError::argument(
                "customer",
                "give customer_id or customer, not both",
            ));
        }
        (Some(id), None) => lookup::of_customer(call, &JOBS, id).await?,
        (None, Some(name)) => ListQuery::new(&JOBS).filter("customer_name", name.trim()),
        (None, None) => ListQuery::new(&JOBS),
    };
    query = query.fields(job::ROW_FIELDS).expand(&["techs_assigned"]);
    let more: Vec<&'static str> = job::MORE_FIELDS
        .iter()
        .copied()
        .filter(|name| arguments.fields.iter().any(|wanted| wanted == name))
        .collect();
    query = query.fields(&more);
    if arguments.technician.is_some() || arguments.unassigned {
        query = query.expand(&["visits.techs_assigned"]);
    }
    let mut choices = Vec::new();
    if !arguments.status.is_empty() {
        let names = lookup::statuses(call, "status", &arguments.status).await?;
        choices.push(OneOf::new("status", names));
    }
    if !arguments.category.is_empty() {
        let names = lookup::categories(call, "category", &arguments.category).await?;
        choices.push(OneOf::new("category", names));
    }
    query = choices
        .iter()
        .fold(query, |query, choice| choice.limit(query));
    for (filter, value) in [
        ("po_number", &arguments.po_number),
        ("address", &arguments.address),
        ("city", &arguments.city),
    ] {
        if let Some(value) = value {
            query = query.filter(filter, value.trim());
        }
    }
    if let Some(range) = range {
        query = query
            .filter("start_date][gte", range.from.to_string())
            .filter("start_date][lte", range.to.to_string())
            .sort("start_date,time_frame_promised_start,id");
    }
    if let Some(since) = &arguments.changed_since {
        let moment = parse_moment(since, call.clock()).map_err(date_argument("changed_since"))?;
        query = query
            .filter(
                "updated_date][gte",
                filter_moment(since_in_any_reading(moment, call.clock())),
            )
            .fields(&["updated_at"])
            .sort("-updated_at,-id");
    }
    let technician = match &arguments.technician {
        Some(said) => Some(lookup::technician(call, "technician", said).await?),
        None => None,
    };
    Ok(Plan {
        query,
        choices,
        customer_id: arguments.customer_id,
        technician,
        unassigned: arguments.unassigned,
        unscheduled: arguments.unscheduled,
    })
}

/// Service Fusion labels the company's wall clock as UTC, and nobody knows which of the two its filter compares.
/// The earlier reading finds every change either way.
fn since_in_any_reading(moment: Timestamp, clock: &Clock) -> Timestamp {
    let wall = moment.to_zoned(clock.zone().clone()).datetime();
    let labelled = wall.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    labelled.map_or(moment, |labelled| labelled.min(moment))
}

async fn look(
    call: &Call,
    plan: &Plan,
    query: ListQuery,
    limit: usize,
    from: Option<crate::service_fusion::walk::Position>,
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
    arguments: &SearchJobs,
    range: Option<DateRange>,
    matched_by: Option<&'static str>,
) -> Fields {
    let binding = call.binding();
    let mut more: Vec<&str> = arguments.fields.iter().map(String::as_str).collect();
    if arguments.address.is_some() || matched_by.is_some_and(|field| field.starts_with("address")) {
        // Who searched by street wants to see it.
        more.push("street_1");
    }
    if arguments.changed_since.is_some() && !more.contains(&"updated_at") {
        more.push("updated_at");
    }
    let rows = found
        .rows
        .iter()
        .map(|(row, position)| {
            (
                job::row(row, &more),
                binding.cursor(*position, range, matched_by),
            )
        })
        .collect();
    let mut remarks = Fields::new().with("matched_by", matched_by);
    if let Some(range) = range {
        remarks.put("dates", format!("{} to {}", range.from, range.to));
    }
    if let (Total::AtLeast(_), Some((looked_at, length))) = (found.total, found.looked_at) {
        remarks.put(
            "searched",
            format!("{looked_at} of {length} jobs so far, because Service Fusion cannot filter by this; next_cursor goes on, a date or status makes it exact"),
        );
    }
    Listing {
        plural: "jobs",
        rows,
        total: found.total,
        next_cursor: found
            .next
            .map(|position| binding.cursor(position, range, matched_by)),
        remarks,
    }
    .into_answer(call.company().max_answer)
}

/// What a free text may mean, likeliest first: the reading's name, its filter, its value.
fn free_text(query: &str) -> Vec<(&'static str, &'static str, String)> {
    let plain = query.trim().trim_start_matches('#');
    if plain.is_empty() {
        return Vec::new();
    }
    let reading = |name: &'static str, filter: &'static str| (name, filter, plain.to_owned());
    let other_street = street::written_otherwise(plain)
        .map(|other| ("address (street written otherwise)", "address", other));
    let has_digit = plain.contains(|c: char| c.is_ascii_digit());
    let has_space = plain.contains(' ');
    let mut readings = Vec::new();
    if has_digit && !has_space {
        readings.push(reading("number", "number"));
        readings.push(reading("po_number", "po_number"));
    }
    if has_digit && has_space {
        readings.push(reading("address", "address"));
        readings.extend(other_street);
        readings.push(reading("customer", "customer_name"));
    } else {
        readings.push(reading("customer", "customer_name"));
        readings.push(reading("address", "address"));
        readings.extend(other_street);
    }
    if !has_digit {
        readings.push(reading("contact last name", "contact_last_name"));
        readings.push(reading("city", "city"));
    }
    readings
}

fn check_more_fields(fields: &[String]) -> Result<(), ToolError> {
    let known = || job::MORE_FIELDS.iter().copied();
    match fields
        .iter()
        .find(|field| !known().any(|name| name == field.as_str()))
    {
        None => Ok(()),
        Some(unknown) => {
            let shown: String = unknown.chars().take(60).collect();
            let meant = closest(unknown, known())
                .map_or(String::new(), |name| format!(" Did you mean `{name}`?"));
            let all = known().collect::<Vec<_>>().join(", ");
            Err(ToolError::argument(
                "fields",
                format!("jobs have no further field `{shown}`.{meant} There are {all}"),
            ))
        }
    }
}
