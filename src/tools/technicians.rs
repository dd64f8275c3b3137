//! Technicians: who they are, and when they are free.

mod schedule;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Fields,
    dates::DateRange,
    server::{
        appointments,
        call::Call,
        tool::{Tool, list_output},
        tool_error::ToolError,
    },
    service_fusion::{record::Record, reference::List},
};

const DESCRIPTION: &str = "List the technicians: id, name, department, phone, e-mail, and how many jobs each has today. For times, gaps and who is free use \
get_technician_schedule.";

#[derive(Deserialize, JsonSchema)]
struct ListTechnicians {
    /// Part of a name, nickname, title or department. Example: "plumb".
    query: Option<String>,
    /// True: only those with a job today.
    #[serde(default)]
    working_today: bool,
    /// True: office staff too.
    #[serde(default)]
    include_office: bool,
}

pub(super) fn tools() -> Vec<Tool> {
    let list = Tool::read(
        "list_technicians",
        "List technicians",
        DESCRIPTION,
        || list_output("technicians"),
        list,
    );
    vec![list, schedule::tool()]
}

async fn list(call: Call, arguments: ListTechnicians) -> Result<Fields, ToolError> {
    let records = call.reference(List::Technicians).await?;
    let plan = appointments::read(&call, "date", DateRange::day(call.today())).await?;
    let wanted = arguments
        .query
        .as_deref()
        .map(|query| query.trim().to_lowercase());
    let rows: Vec<Fields> = records
        .iter()
        .filter(|record| arguments.include_office || record.flag("is_field_worker"))
        .filter(|record| {
            wanted
                .as_ref()
                .is_none_or(|wanted| mentions(record, wanted))
        })
        .map(|record| {
            let id = record.id("id").unwrap_or_default();
            (
                record,
                plan.appointments.iter().filter(|one| one.is_on(id)).count(),
            )
        })
        .filter(|(_, jobs)| !arguments.working_today || *jobs > 0)
        .map(|(record, jobs)| row(record, jobs))
        .collect();
    let total = rows.len();
    Ok(Fields::new()
        .with_list("technicians", rows)
        .with("total", total)
        .with("incomplete", plan.note))
}

fn row(record: &Record, jobs_today: usize) -> Fields {
    Fields::new()
        .with("technician_id", record.id("id"))
        .with("name", record.name("first_name", "last_name"))
        .with("nickname", record.text("nickname_on_dispatch"))
        .with("department", record.text("department"))
        .with("title", record.text("title"))
        .with(
            "phone",
            record.text("phone_1").or_else(|| record.text("phone_2")),
        )
        .with("email", record.text("email"))
        .with("working_today", jobs_today > 0)
        .with("jobs_today", jobs_today)
        .with_flag("is_sales_rep", record.flag("is_sales_rep"))
        .with_flag("is_office", !record.flag("is_field_worker"))
}

fn mentions(record: &Record, wanted: &str) -> bool {
    let name = record.name("first_name", "last_name").unwrap_or_default();
    [
        "nickname_on_dispatch",
        "nickname_on_workorder",
        "title",
        "department",
    ]
    .into_iter()
    .filter_map(|field| record.text(field))
    .chain([name])
    .any(|text| text.to_lowercase().contains(wanted))
}
