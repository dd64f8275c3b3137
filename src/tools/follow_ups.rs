//! Follow-ups: where money or goodwill waits for a call.

use jiff::ToSpan;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::{Fields, customer, estimate, job},
    config::Toolset,
    dates::filter_moment,
    server::{
        call::Call,
        lookup::{self, OneOf},
        tool::Tool,
        tool_error::ToolError,
    },
    service_fusion::{
        query::{CUSTOMERS, ESTIMATES, JOBS, ListQuery},
        record::Record,
        status::Stage,
        walk::{Found, Total},
    },
};

const DESCRIPTION: &str = "What is worth a call: open estimates gone quiet (largest first), jobs marked for follow-up, finished jobs without an invoice, customers not served \
for a year, and service agreements that end soon. Each section has its total and the first rows. For one customer's story use get_customer.";

#[derive(Deserialize, JsonSchema)]
struct ListFollowUps {
    /// Sections to read (all if left out).
    include: Option<Vec<Section>>,
    /// Estimates count as quiet from this age on (14 if left out).
    #[schemars(range(min = 1, max = 365))]
    quiet_days: Option<i64>,
    /// Rows per section, 1 to 50 (8 if left out).
    #[schemars(range(min = 1, max = 50))]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Section {
    QuietEstimates,
    FollowUpJobs,
    UnbilledJobs,
    QuietCustomers,
    EndingAgreements,
}

impl Section {
    const ALL: [Self; 5] = [
        Self::QuietEstimates,
        Self::FollowUpJobs,
        Self::UnbilledJobs,
        Self::QuietCustomers,
        Self::EndingAgreements,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::QuietEstimates => "quiet_estimates",
            Self::FollowUpJobs => "follow_up_jobs",
            Self::UnbilledJobs => "unbilled_jobs",
            Self::QuietCustomers => "quiet_customers",
            Self::EndingAgreements => "ending_agreements",
        }
    }
}

pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::read(
            "list_follow_ups",
            "List follow-ups",
            DESCRIPTION,
            output,
            list,
        )
        .in_toolset(Toolset::Dispatch),
    ]
}

fn output() -> Value {
    let section = json!({"type": "object"});
    let properties: serde_json::Map<String, Value> = Section::ALL
        .iter()
        .map(|one| (one.name().to_owned(), section.clone()))
        .collect();
    json!({"type": "object", "properties": properties})
}

async fn list(call: Call, arguments: ListFollowUps) -> Result<Fields, ToolError> {
    let limit = arguments.limit.unwrap_or(8);
    let quiet_days = arguments.quiet_days.unwrap_or(14);
    let sections = arguments.include.unwrap_or_else(|| Section::ALL.to_vec());
    let sections: Vec<Section> = Section::ALL
        .into_iter()
        .filter(|one| sections.contains(one))
        .collect();
    let of = u32::try_from(sections.len()).unwrap_or(0);
    let mut answer = Fields::new();
    let mut failed = Vec::new();
    // One after another: together they would take half of the minute's requests at once.
    for (done, section) in (1..).zip(sections) {
        let read = match section {
            Section::QuietEstimates => quiet_estimates(&call, quiet_days, limit).await,
            Section::FollowUpJobs => follow_up_jobs(&call, limit).await,
            Section::UnbilledJobs => unbilled_jobs(&call, limit).await,
            Section::QuietCustomers => quiet_customers(&call, limit).await,
            Section::EndingAgreements => ending_agreements(&call, limit).await,
        };
        match read {
            Ok(rows) => answer.put(section.name(), rows),
            Err(problem) if done == 1 && of == 1 => return Err(problem),
            Err(problem) => failed.push(format!("{}: {problem}", section.name())),
        }
        call.report(done, of);
    }
    if answer.0.is_empty()
        && let Some(first) = failed.first()
    {
        return Err(ToolError::other("upstream_failure", first.clone()));
    }
    answer.put("failed_parts", failed);
    Ok(answer)
}

fn section(rows: Vec<Fields>, total: Total) -> Fields {
    let section = match total {
        Total::Exact(total) => Fields::new().with("total", total),
        Total::AtLeast(total) => Fields::new().with("total_at_least", total),
    };
    section.with_list("rows", rows)
}

async fn quiet_estimates(call: &Call, days: i64, limit: usize) -> Result<Fields, ToolError> {
    let open = lookup::statuses(call, "status", &["open".to_owned()]).await?;
    let open = OneOf::new("status", open);
    if open.is_empty() {
        return Ok(section(Vec::new(), Total::Exact(0)));
    }
    let latest = call
        .today()
        .checked_sub(days.days())
        .unwrap_or(call.today());
    let query = open.limit(ListQuery::new(&ESTIMATES).fields(estimate::ROW_FIELDS));
    let quiet = |row: &Record| {
        open.keeps(row) && estimate::written(row).is_some_and(|written| written <= latest)
    };
    let mut found = call.walk(query).keep(quiet).all().await?;
    let value = |row: &Record| row.number("total").unwrap_or(0.0);
    found
        .rows
        .sort_by(|(a, _), (b, _)| value(b).total_cmp(&value(a)));
    let sum: f64 = found.rows.iter().map(|(row, _)| value(row)).sum();
    let today = call.today();
    let rows = found
        .rows
        .iter()
        .take(limit)
        .map(|(row, _)| estimate::row(row, today))
        .collect();
    let incomplete = match (found.total, found.looked_at) {
        (Total::AtLeast(_), Some((looked_at, length))) => Some(format!(
            "{looked_at} of {length} estimates were read; `value` is theirs alone"
        )),
        _ => None,
    };
    Ok(section(rows, found.total)
        .with("value", (sum * 100.0).round() / 100.0)
        .with("incomplete", incomplete))
}

async fn follow_up_jobs(call: &Call, limit: usize) -> Result<Fields, ToolError> {
    let since = call.today().checked_sub(120.days()).unwrap_or(call.today());
    let query = ListQuery::new(&JOBS)
        .filter("start_date][gte", since.to_string())
        .fields(job::ROW_FIELDS)
        .fields(&["is_requires_follow_up"]);
    let found = call
        .walk(query)
        .keep(|row| row.flag("is_requires_follow_up"))
        .all()
        .await?;
    Ok(jobs(&found, limit, &[]).with("since", since.to_string()))
}

async fn unbilled_jobs(call: &Call, limit: usize) -> Result<Fields, ToolError> {
    let since = call.today().checked_sub(180.days()).unwrap_or(call.today());
    let statuses: Vec<String> = call
        .statuses()
        .await?
        .into_iter()
        .map(|status| status.name)
        .filter(|name| is_unbilled(name))
        .collect();
    let unbilled = OneOf::new("status", statuses);
    if unbilled.is_empty() {
        return Ok(section(Vec::new(), Total::Exact(0)));
    }
    let query = ListQuery::new(&JOBS)
        .filter("start_date][gte", since.to_string())
        .fields(job::ROW_FIELDS)
        .fields(&["total"])
        .expand(&["invoices"]);
    let found = call
        .walk(unbilled.limit(query))
        .keep(|row| unbilled.keeps(row) && row.list("invoices").is_empty())
        .all()
        .await?;
    Ok(jobs(&found, limit, &["total"]).with("since", since.to_string()))
}

/// Finished, and by its name not yet billed.
fn is_unbilled(status: &str) -> bool {
    let name = status.to_lowercase();
    let to_bill = name.contains("to be invoiced") || name.contains("ready to invoice");
    let billed = ["invoiced", "paid", "closed", "won", "accepted", "billed"]
        .iter()
        .any(|word| name.contains(word));
    to_bill || (Stage::of(status) == Stage::Done && !billed)
}

fn jobs(found: &Found, limit: usize, more: &[&str]) -> Fields {
    let rows = found
        .rows
        .iter()
        .take(limit)
        .map(|(row, _)| job::row(row, more))
        .collect();
    section(rows, found.total)
}

async fn quiet_customers(call: &Call, limit: usize) -> Result<Fields, ToolError> {
    let today = call.today();
    let day = |years: i64| {
        today
            .checked_sub(years.years())
            .unwrap_or(today)
            .to_string()
    };
    let query = ListQuery::new(&CUSTOMERS)
        .filter("last_serviced_date][lte", day(1))
        .filter("last_serviced_date][gte", day(4))
        .sort("-last_serviced_date,-id")
        .fields(customer::ROW_FIELDS)
        .expand(customer::ROW_EXPANDS);
    customers(call, query, limit).await
}

async fn ending_agreements(call: &Call, limit: usize) -> Result<Fields, ToolError> {
    let now = call.clock().timestamp();
    let in_sixty_days = call
        .clock()
        .now()
        .checked_add(60.days())
        .map_or(now, |at| at.timestamp());
    let query = ListQuery::new(&CUSTOMERS)
        .filter("agreement_date_expires][gte", filter_moment(now))
        .filter("agreement_date_expires][lte", filter_moment(in_sixty_days))
        .sort("customer_name,id")
        .fields(customer::ROW_FIELDS)
        .fields(&["assigned_contract"])
        .expand(customer::ROW_EXPANDS);
    Ok(customers(call, query, limit).await?.with("within_days", 60))
}

async fn customers(call: &Call, query: ListQuery, limit: usize) -> Result<Fields, ToolError> {
    let found = call.walk(query).take(limit, None).await?;
    let rows = found
        .rows
        .iter()
        .map(|(row, _)| customer::row(row).with("agreement", row.text("assigned_contract")))
        .collect();
    Ok(section(rows, found.total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_but_unbilled_statuses_are_told_by_their_names() {
        for status in ["Completed", "To Be Invoiced", "Job Done"] {
            assert!(is_unbilled(status), "{status}");
        }
        for status in [
            "Invoiced",
            "Paid in Full",
            "Scheduled",
            "Cancelled",
            "Job Closed",
            "Estimate Won",
        ] {
            assert!(!is_unbilled(status), "{status}");
        }
    }
}
