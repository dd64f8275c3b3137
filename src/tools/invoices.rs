//! Invoices and calendar tasks: lists the API cannot filter, so rows are looked at here.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{Fields, Listing, cursor::Cursor, detail, job},
    clock::Clock,
    config::Toolset,
    dates::DateRange,
    server::{
        call::Call,
        lookup,
        tool::{Tool, list_output, record_output},
        tool_error::{ToolError, date_argument},
    },
    service_fusion::{
        error::Error,
        query::{CALENDAR_TASKS, INVOICES, JOBS, ListQuery},
        record::Record,
        walk::{Found, Total},
    },
};

const SEARCH: &str = "Find invoices by customer, date or number, or unpaid ones with their age in days, newest first. The API cannot filter invoices, so the newest \
1,000 are looked at per call and next_cursor goes on. For one invoice use get_invoice.";
const GET: &str =
    "One invoice by id or number, with the job it belongs to where that can be found.";
const TASKS: &str = "Calendar tasks (calls, meetings, reminders) with their date, time and whether they are done. Jobs are not among them: use search_jobs.";

#[derive(Deserialize, JsonSchema)]
struct SearchInvoices {
    /// Part of the customer's name.
    customer: Option<String>,
    /// Whole invoice number.
    number: Option<String>,
    /// True: only unpaid ones.
    #[serde(default)]
    unpaid: bool,
    /// Invoice date or range.
    date: Option<String>,
    /// Only those at least this many days old.
    #[schemars(range(min = 0, max = 3650))]
    older_than_days: Option<i64>,
    /// Rows to return, 1 to 100 (20 if left out).
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// `next_cursor` of the last answer, with the same other arguments.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct GetInvoice {
    /// Id from search_invoices or get_job.
    #[schemars(range(min = 1))]
    invoice_id: Option<i64>,
    /// Invoice number.
    number: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct ListCalendarTasks {
    /// Day or range (next 7 days if left out).
    date: Option<String>,
    /// True: finished ones too.
    #[serde(default)]
    include_completed: bool,
    /// Rows to return, 1 to 100 (20 if left out).
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// `next_cursor` of the last answer, with the same other arguments.
    cursor: Option<String>,
}

pub(super) fn tools() -> Vec<Tool> {
    let search = Tool::read(
        "search_invoices",
        "Search invoices",
        SEARCH,
        || list_output("invoices"),
        search,
    );
    let get = Tool::read(
        "get_invoice",
        "Read one invoice",
        GET,
        || record_output("invoice_id"),
        get,
    );
    let tasks = Tool::read(
        "list_calendar_tasks",
        "List calendar tasks",
        TASKS,
        || list_output("calendar_tasks"),
        calendar_tasks,
    );
    [search, get, tasks]
        .map(|tool| tool.in_toolset(Toolset::Extra))
        .into()
}

async fn search(call: Call, arguments: SearchInvoices) -> Result<Fields, ToolError> {
    let binding = call.binding();
    let cursor = arguments
        .cursor
        .as_deref()
        .map(|text| binding.read(text))
        .transpose()?;
    let range = match cursor.as_ref().and_then(Cursor::range) {
        Some(range) => Some(range),
        None => arguments
            .date
            .as_deref()
            .map(|text| DateRange::parse(text, call.today()))
            .transpose()
            .map_err(date_argument("date"))?,
    };
    let today = call.today();
    let customer = arguments
        .customer
        .as_deref()
        .map(|name| name.trim().to_lowercase());
    let keep = |row: &Record| {
        let date = row.date("date");
        (!arguments.unpaid || !row.flag("is_paid"))
            && customer.as_ref().is_none_or(|wanted| {
                row.text("customer")
                    .is_some_and(|name| name.to_lowercase().contains(wanted))
            })
            && arguments.number.as_ref().is_none_or(|number| {
                row.text("number").as_deref() == Some(number.trim().trim_start_matches('#'))
            })
            && range.is_none_or(|range| date.is_some_and(|date| range.contains(date)))
            && arguments.older_than_days.is_none_or(|days| {
                date.is_some_and(|date| Clock::days_between(date, today) >= days)
            })
    };
    let report = |done, of| call.report(done, of);
    let found = call
        .walk(ListQuery::new(&INVOICES))
        .keep(keep)
        .progress(&report)
        .take(
            arguments.limit.unwrap_or(20),
            cursor.map(|cursor| cursor.position),
        )
        .await?;
    Ok(listing(&call, "invoices", &found, range, |row| {
        detail::invoice(row, today)
    }))
}

fn listing(
    call: &Call,
    plural: &'static str,
    found: &Found,
    range: Option<DateRange>,
    shown: impl Fn(&Record) -> Fields,
) -> Fields {
    let binding = call.binding();
    let mut remarks = Fields::new();
    if let (Total::AtLeast(_), Some((looked_at, length))) = (found.total, found.looked_at) {
        remarks.put(
            "searched",
            format!("{looked_at} of {length} so far; next_cursor goes on"),
        );
    }
    Listing {
        plural,
        rows: found
            .rows
            .iter()
            .map(|(row, position)| (shown(row), binding.cursor(*position, range, None)))
            .collect(),
        total: found.total,
        next_cursor: found
            .next
            .map(|position| binding.cursor(position, range, None)),
        remarks,
    }
    .into_answer(call.company().max_answer)
}

async fn get(call: Call, arguments: GetInvoice) -> Result<Fields, ToolError> {
    let today = call.today();
    let missing = |what: String| {
        ToolError::not_found(format!(
            "there is no invoice with {what}; find it with search_invoices"
        ))
    };
    let (record, number) = match (arguments.invoice_id, arguments.number.as_deref()) {
        (Some(id), _) => {
            let record = call
                .one(&INVOICES, id, &[])
                .await
                .map_err(|problem| match problem {
                    Error::NotFound { .. } => missing(format!("id {id}")),
                    other => other.into(),
                })?;
            let number = record.text("number");
            (Some(record), number)
        }
        (None, Some(number)) => (None, Some(number.trim().trim_start_matches('#').to_owned())),
        (None, None) => {
            return Err(ToolError::argument(
                "invoice_id",
                "give invoice_id or number",
            ));
        }
    };
    let number = number
        .filter(|number| !number.is_empty())
        .ok_or_else(|| ToolError::argument("number", "is empty"))?;
    // An invoice does not say whose it is; only jobs name their invoices.
    let (job, linked) = job_of(&call, &number).await?;
    let record = record
        .or(linked)
        .ok_or_else(|| missing(format!("number {number}")))?;
    let mut answer = detail::invoice(&record, today)
        .with("customer_message", record.text("customer_message"))
        .with("notes", record.text("notes"))
        .with("mailed", job::day(&record, "mail_send_date"));
    if let Some(job) = job {
        answer.put("job", job::row(&job, &["due_total"]));
    }
    Ok(answer)
}

async fn job_of(call: &Call, number: &str) -> Result<(Option<Record>, Option<Record>), ToolError> {
    let query = ListQuery::new(&JOBS)
        .filter("invoice_number", number)
        .fields(job::ROW_FIELDS)
        .fields(&["due_total"])
        .expand(&["invoices"]);
    let invoice = |job: &Record| {
        job.list("invoices").into_iter().find(|invoice| {
            invoice
                .text("number")
                .is_some_and(|text| lookup::same(&text, number))
        })
    };
    // The filter matches parts of numbers.
    let found = call
        .walk(query)
        .keep(|job| invoice(job).is_some())
        .take(1, None)
        .await?;
    let job = found.rows.into_iter().next().map(|(job, _)| job);
    let linked = job.as_ref().and_then(invoice);
    Ok((job, linked))
}

async fn calendar_tasks(call: Call, arguments: ListCalendarTasks) -> Result<Fields, ToolError> {
    let binding = call.binding();
    let cursor = arguments
        .cursor
        .as_deref()
        .map(|text| binding.read(text))
        .transpose()?;
    let range = if let Some(range) = cursor.as_ref().and_then(Cursor::range) {
        range
    } else {
        let text = arguments.date.as_deref().unwrap_or("next 7 days");
        DateRange::parse(text, call.today()).map_err(date_argument("date"))?
    };
    let keep = |row: &Record| {
        row.date("start_date").is_some_and(|date| {
            let end = row.date("end_date").unwrap_or(date);
            date <= range.to && end >= range.from
        }) && (arguments.include_completed || !row.flag("is_completed"))
    };
    let found = call
        .walk(ListQuery::new(&CALENDAR_TASKS))
        .keep(keep)
        .take(
            arguments.limit.unwrap_or(20),
            cursor.map(|cursor| cursor.position),
        )
        .await?;
    Ok(listing(&call, "calendar_tasks", &found, Some(range), task))
}

fn task(task: &Record) -> Fields {
    let ids = |name: &str| task.get(name).cloned().unwrap_or_default();
    Fields::new()
        .with("calendar_task_id", task.id("id"))
        .with("type", task.text("type"))
        .with("description", task.text("description"))
        .with("date", job::day(task, "start_date"))
        .with("end_date", job::day(task, "end_date"))
        .with("start", task.time("start_time").map(job::clock))
        .with("end", task.time("end_time").map(job::clock))
        .with("is_completed", task.flag("is_completed"))
        .with("customer_ids", ids("customers_id"))
        .with("job_ids", ids("jobs_id"))
        .with("estimate_ids", ids("estimates_id"))
}
