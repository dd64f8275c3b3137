//! Reference data: the company's own lists.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Fields,
    config::Toolset,
    server::{
        call::Call,
        tool::{Tool, list_output},
        tool_error::ToolError,
    },
    service_fusion::{record::Record, reference::List, status::Status},
};

const DESCRIPTION: &str = "The company's own lists: job and estimate statuses (with whether they count as open), job categories, lead sources, payment types. The other tools \
check names against them, so this is for showing the choices. For people use list_technicians.";

#[derive(Deserialize, JsonSchema)]
struct ListReferenceData {
    /// Which list.
    kind: Kind,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    JobStatuses,
    JobCategories,
    Sources,
    PaymentTypes,
}

pub(super) fn tools() -> Vec<Tool> {
    let list = Tool::read(
        "list_reference_data",
        "List reference data",
        DESCRIPTION,
        || list_output("entries"),
        list,
    );
    vec![list.in_toolset(Toolset::Dispatch)]
}

async fn list(call: Call, arguments: ListReferenceData) -> Result<Fields, ToolError> {
    let rows: Vec<Fields> = match arguments.kind {
        Kind::JobStatuses => call.statuses().await?.iter().map(status).collect(),
        Kind::JobCategories => entries(&call, List::JobCategories).await?,
        Kind::Sources => entries(&call, List::Sources).await?,
        Kind::PaymentTypes => entries(&call, List::PaymentTypes).await?,
    };
    let total = rows.len();
    Ok(Fields::new()
        .with_list("entries", rows)
        .with("total", total))
}

fn status(status: &Status) -> Fields {
    Fields::new()
        .with("id", status.id)
        .with("name", status.name.clone())
        .with("group", status.category.clone())
        .with("counts_as_open", status.is_open())
}

async fn entries(call: &Call, list: List) -> Result<Vec<Fields>, ToolError> {
    let entry = |record: &Record| {
        Fields::new()
            .with("id", record.id("id"))
            .with(
                "name",
                record.text("name").or_else(|| record.text("short_name")),
            )
            .with("description", record.text("long_name"))
            .with("type", record.text("type"))
    };
    Ok(call.reference(list).await?.iter().map(entry).collect())
}
