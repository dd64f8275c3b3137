//! `get_customer`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{Fields, customer, detail, estimate, job},
    server::{
        call::Call,
        lookup,
        tool::{Tool, record_output},
        tool_error::ToolError,
    },
    service_fusion::{
        query::{ESTIMATES, JOBS, ListQuery},
        record::Record,
        status::Stage,
        walk::{Found, Total},
    },
};

const DESCRIPTION: &str = "The whole customer in one call: contacts and locations, and with `include` the job history, estimates, equipment with \
warranty state, and what is owed. A part that could not be read is named in `failed_parts`; the others still come. \
Find the id with search_customers.";

/// Rows of history in one answer; search_jobs and search_estimates page through more.
const HISTORY: usize = 25;

#[derive(Deserialize, JsonSchema)]
struct GetCustomer {
    /// Id from search_customers.
    #[schemars(range(min = 1))]
    customer_id: i64,
    /// Parts to add (none if left out).
    #[serde(default)]
    include: Vec<Part>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Part {
    Jobs,
    Estimates,
    Equipment,
    Balance,
    CustomFields,
}

pub(super) fn tool() -> Tool {
    Tool::read(
        "get_customer",
        "Read one customer",
        DESCRIPTION,
        || record_output("customer_id"),
        get,
    )
}

async fn get(call: Call, arguments: GetCustomer) -> Result<Fields, ToolError> {
    let id = arguments.customer_id;
    let wanted = |part: Part| arguments.include.contains(&part);
    let mut expand = vec!["contacts.phones", "contacts.emails", "locations"];
    if wanted(Part::CustomFields) {
        expand.push("custom_fields");
    }
    let record = lookup::customer(&call, id, &expand).await?;
    let name = record.text("customer_name");
    let balance = wanted(Part::Balance);
    let (jobs, estimates, equipment) = tokio::join!(
        optional(
            wanted(Part::Jobs) || balance,
            jobs(&call, id, name.as_deref())
        ),
        optional(
            wanted(Part::Estimates),
            estimates(&call, id, name.as_deref())
        ),
        optional(wanted(Part::Equipment), equipment(&call, id)),
    );

    let mut answer = head(&record);
    answer.put("custom_fields", detail::custom_fields(&record));
    let mut failed = Vec::new();
    match jobs {
        Some(Ok(found)) => {
            if balance {
                add_balance(&mut answer, &record, &found);
            }
            if wanted(Part::Jobs) {
                let rows = found
                    .rows
                    .iter()
                    .take(HISTORY)
                    .map(|(row, _)| job::row(row, &["total"]))
                    .collect();
                answer = with_history(answer, "jobs", rows, &found);
            }
        }
        Some(Err(problem)) => failed.push(format!("jobs and balance: {problem}")),
        None => {}
    }
    match estimates {
        Some(Ok(found)) => {
            let today = call.today();
            let rows = found
                .rows
                .iter()
                .take(HISTORY)
                .map(|(row, _)| estimate::row(row, today))
                .collect();
            answer = with_history(answer, "estimates", rows, &found);
        }
        Some(Err(problem)) => failed.push(format!("estimates: {problem}")),
        None => {}
    }
    match equipment {
        Some(Ok(units)) => answer = answer.with_list("equipment", units),
        Some(Err(problem)) => failed.push(format!("equipment: {problem}")),
        None => {}
    }
    answer.put("failed_parts", failed);
    Ok(answer)
}

async fn optional<T>(
    wanted: bool,
    part: impl Future<Output = Result<T, ToolError>>,
) -> Option<Result<T, ToolError>> {
    if wanted { Some(part.await) } else { None }
}

fn head(record: &Record) -> Fields {
    Fields::new()
        .with("customer_id", record.id("id"))
        .with("name", record.text("customer_name"))
        .with("parent", record.text("parent_customer"))
        .with("account_number", record.text("account_number"))
        .with("account_balance", record.amount("account_balance"))
        .with("last_serviced", job::day(record, "last_serviced_date"))
        .with("agreement", record.text("assigned_contract"))
        .with("payment_terms", record.text("payment_terms"))
        .with("payment_type", record.text("payment_type"))
        .with("source", record.text("referral_source"))
        .with("credit_rating", record.text("credit_rating"))
        .with_flag("is_vip", record.flag("is_vip"))
        .with("private_notes", record.text("private_notes"))
        .with("public_notes", record.text("public_notes"))
        .with_list("contacts", customer::contacts(record))
        .with_list("locations", customer::locations(record))
}

fn with_history(answer: Fields, name: &str, rows: Vec<Fields>, found: &Found) -> Fields {
    let shown = rows.len() as u64;
    let total = match found.total {
        Total::Exact(total) if total <= shown => None,
        Total::Exact(total) => Some(total.to_string()),
        Total::AtLeast(total) => Some(format!("at least {total}")),
    };
    let remark = total.map(|total| {
        format!("{total}; the newest {shown} are shown, search_{name} with customer_id has all")
    });
    answer
        .with_list(name, rows)
        .with(&format!("{name}_total"), remark)
}

/// The API filters by name only, so rows of other customers with such a name are sorted out.
async fn jobs(call: &Call, id: i64, name: Option<&str>) -> Result<Found, ToolError> {
    let mut query = ListQuery::new(&JOBS)
        .fields(job::ROW_FIELDS)
        .fields(&["total", "due_total", "payment_status"])
        .expand(&["techs_assigned"]);
    if let Some(name) = name {
        query = query.filter("customer_name", name);
    }
    let found = call
        .walk(query)
        .keep(|row| row.id("customer_id") == Some(id))
        .all()
        .await?;
    Ok(found)
}

async fn estimates(call: &Call, id: i64, name: Option<&str>) -> Result<Found, ToolError> {
    let mut query = ListQuery::new(&ESTIMATES).fields(estimate::ROW_FIELDS);
    if let Some(name) = name {
        query = query.filter("customer_name", name);
    }
    let found = call
        .walk(query)
        .keep(|row| row.id("customer_id") == Some(id))
        .all()
        .await?;
    Ok(found)
}

async fn equipment(call: &Call, id: i64) -> Result<Vec<Fields>, ToolError> {
    let found = call.walk(ListQuery::equipment_of(id)).all().await?;
    let today = call.today();
    Ok(found
        .rows
        .iter()
        .map(|(unit, _)| detail::equipment(unit, today))
        .collect())
}

/// What the account says is owed, and which jobs it stands on.
fn add_balance(answer: &mut Fields, record: &Record, jobs: &Found) {
    let owing: Vec<Fields> = jobs
        .rows
        .iter()
        .filter(|(row, _)| row.number("due_total").is_some_and(|due| due > 0.0))
        .filter(|(row, _)| {
            row.text("status")
                .is_some_and(|status| Stage::of(&status) == Stage::Done)
        })
        .map(|(row, _)| {
            Fields::new()
                .with("job_id", row.id("id"))
                .with("number", row.text("number"))
                .with("date", job::day(row, "start_date"))
                .with("due", row.amount("due_total"))
                .with("status", row.text("status"))
        })
        .collect();
    let incomplete = match (jobs.total, jobs.looked_at) {
        (Total::AtLeast(_), Some((looked_at, length))) => Some(format!(
            "{looked_at} of {length} jobs under this name were read; older ones may have money due too"
        )),
        _ => None,
    };
    let balance = Fields::new()
        .with("account_balance", record.amount("account_balance"))
        .with_list("finished_jobs_with_money_due", owing)
        .with("incomplete", incomplete);
    answer.put("balance", balance);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_read_to_its_end_is_not_shown_as_exact() {
        let found = |total, looked_at| Found {
            total,
            looked_at: Some(looked_at),
            ..lookup::nothing()
        };
        let history = |found: &Found| {
            let answer = with_history(Fields::new(), "jobs", vec![Fields::new()], found);
            answer.0.get("jobs_total").cloned().unwrap_or_default()
        };
        let partial = found(Total::AtLeast(30), (1_000, 4_000));
        let whole = found(Total::Exact(1), (7, 7));

        assert!(
            history(&partial)
                .as_str()
                .unwrap()
                .starts_with("at least 30;")
        );
        assert_eq!(history(&whole), json!(null));
        for (jobs, is_partial) in [(partial, true), (whole, false)] {
            let mut answer = Fields::new();
            add_balance(&mut answer, &Record::default(), &jobs);
            assert_eq!(answer.0["balance"]["incomplete"].is_string(), is_partial);
        }
    }
}
