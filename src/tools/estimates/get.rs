//! `get_estimate`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{Fields, detail, estimate, job},
    clock::Clock,
    server::{
        call::Call,
        lookup,
        tool::{Tool, record_output},
        tool_error::ToolError,
    },
    service_fusion::{error::Error, query::ESTIMATES, record::Record},
};

const DESCRIPTION: &str = "One estimate (quote) with its lines, by id or by its display number: what was offered, to whom, for how much, how old it is and its status. \
To find an estimate use search_estimates.";

#[derive(Deserialize, JsonSchema)]
struct GetEstimate {
    /// Id from another answer.
    #[schemars(range(min = 1))]
    estimate_id: Option<i64>,
    /// Display number, as the office says it. Example: "2107".
    #[schemars(length(max = 60))]
    number: Option<String>,
}

pub(super) fn tool() -> Tool {
    Tool::read(
        "get_estimate",
        "Read one estimate",
        DESCRIPTION,
        || record_output("estimate_id"),
        get,
    )
}

async fn get(call: Call, arguments: GetEstimate) -> Result<Fields, ToolError> {
    let id = lookup::estimate_id(&call, arguments.estimate_id, arguments.number.as_deref()).await?;
    let expand = [
        "services",
        "products",
        "other_charges",
        "notes",
        "tasks",
        "techs_assigned",
        "tags",
        "equipment",
    ];
    let record = call.one(&ESTIMATES, id, &expand).await.map_err(|problem| match problem {
        Error::NotFound { .. } => ToolError::not_found(format!(
            "there is no estimate with id {id}; if {id} is the display number, pass it as `number`"
        )),
        other => other.into(),
    })?;
    let today = call.today();
    let tags: Vec<String> = record
        .list("tags")
        .iter()
        .filter_map(|tag| tag.text("tag"))
        .collect();
    let units = record
        .list("equipment")
        .iter()
        .map(|unit| detail::equipment(unit, today))
        .collect();
    let mut answer = head(&record)
        .with(
            "age_days",
            estimate::written(&record).map(|day| Clock::days_between(day, today)),
        )
        .with("technicians", job::technicians(&record))
        .with("tags", tags)
        .with_list("lines", detail::lines(&record));
    for (name, rows) in [
        ("notes", detail::notes(&record)),
        ("tasks", detail::tasks(&record)),
        ("equipment", units),
    ] {
        if !rows.is_empty() {
            answer = answer.with_list(name, rows);
        }
    }
    Ok(answer)
}

fn head(record: &Record) -> Fields {
    Fields::new()
        .with("estimate_id", record.id("id"))
        .with("number", record.text("number"))
        .with("status", record.text("status"))
        .with("customer", record.text("customer_name"))
        .with("customer_id", record.id("customer_id"))
        .with(
            "contact",
            record.name("contact_first_name", "contact_last_name"),
        )
        .with("address", record.address())
        .with(
            "written",
            estimate::written(record).map(|date| date.to_string()),
        )
        .with("date", job::day(record, "start_date"))
        .with("total", record.amount("total"))
        .with("due", record.amount("due_total"))
        .with("rating", record.amount("opportunity_rating"))
        .with("owner", record.text("opportunity_owner"))
        .with("category", record.text("category"))
        .with("source", record.text("source"))
        .with("po_number", record.text("po_number"))
        .with("description", record.text("description"))
        .with("tech_notes", record.text("tech_notes"))
        .with("note_to_customer", record.text("note_to_customer"))
        .with("updated", job::moment(record, "updated_at"))
}
