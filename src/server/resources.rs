//! Resources: the company's reference lists, and the views that clients with MCP Apps can show.

use std::collections::BTreeMap;

use rmcp::{
    ErrorData,
    model::{
        JsonObject, MetaObject, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
    },
};
use serde_json::{Value, json};

use crate::{
    answer::{self, Fields},
    server::{call::Call, tool::Tool},
    service_fusion::{
        error::Error,
        query::{CUSTOMERS, ESTIMATES, JOBS},
        reference::List,
    },
};

/// The extension under which views are offered.
const APPS: &str = "io.modelcontextprotocol/ui";
const VIEW_TYPE: &str = "text/html;profile=mcp-app";
/// The dispatch board. Hosts cache a view by its address, so a changed view needs a new one.
pub const BOARD_URI: &str = "ui://sf/dispatch-board/v1";
const BOARD: &str = include_str!("../tools/dispatch_board.html");

const LISTS: [(&str, &str, List); 5] = [
    (
        "sf://reference/job-statuses",
        "Job and estimate statuses",
        List::JobStatuses,
    ),
    (
        "sf://reference/job-categories",
        "Job categories",
        List::JobCategories,
    ),
    ("sf://reference/sources", "Lead sources", List::Sources),
    (
        "sf://reference/payment-types",
        "Payment types",
        List::PaymentTypes,
    ),
    (
        "sf://reference/technicians",
        "Technicians",
        List::Technicians,
    ),
];

/// What the server declares beyond the core protocol.
pub fn extensions() -> BTreeMap<String, JsonObject> {
    let mut settings = JsonObject::new();
    settings.insert("mimeTypes".to_owned(), json!([VIEW_TYPE]));
    BTreeMap::from([(APPS.to_owned(), settings)])
}

pub fn list() -> Vec<Resource> {
    let lists = LISTS.iter().map(|(uri, title, _)| {
        Resource::new(*uri, uri.rsplit('/').next().unwrap_or_default())
            .with_title(*title)
            .with_description(format!(
                "{title} of this company, as Service Fusion lists them"
            ))
            .with_mime_type("application/json")
    });
    let board = Resource::new(BOARD_URI, "dispatch-board")
        .with_title("Dispatch board")
        .with_description("Shows the answer of get_dispatch_board as a board")
        .with_mime_type(VIEW_TYPE)
        .with_meta(view_meta());
    lists.chain([board]).collect()
}

pub fn templates() -> Vec<ResourceTemplate> {
    [
        (
            "sf://job/{job_id}",
            "job",
            "One job as Service Fusion holds it",
        ),
        (
            "sf://customer/{customer_id}",
            "customer",
            "One customer as Service Fusion holds it",
        ),
        (
            "sf://estimate/{estimate_id}",
            "estimate",
            "One estimate as Service Fusion holds it",
        ),
    ]
    .into_iter()
    .map(|(uri, name, description)| {
        ResourceTemplate::new(uri, name)
            .with_description(description)
            .with_mime_type("application/json")
    })
    .collect()
}

/// Reads a resource. An address that names nothing is an error, never empty contents.
pub async fn read(uri: &str, tools: &[Tool], call: Call) -> Result<ReadResourceResult, ErrorData> {
    if uri == BOARD_URI && tools.iter().any(|tool| tool.view == Some(BOARD_URI)) {
        let contents = ResourceContents::text(BOARD, uri)
            .with_mime_type(VIEW_TYPE)
            .with_meta(view_meta());
        return Ok(ReadResourceResult::new(vec![contents]));
    }
    let content = match LISTS.iter().find(|(known, ..)| *known == uri) {
        Some((_, _, list)) => {
            let records = call
                .reference(*list)
                .await
                .map_err(|problem| failed(uri, &problem))?;
            Value::Array(
                records
                    .iter()
                    .map(|record| Value::Object(record.0.clone()))
                    .collect(),
            )
        }
        None => record(uri, &call).await?,
    };
    let contents =
        ResourceContents::text(content.to_string(), uri).with_mime_type("application/json");
    Ok(ReadResourceResult::new(vec![contents]))
}

async fn record(uri: &str, call: &Call) -> Result<Value, ErrorData> {
    let (resource, id) = uri
        .strip_prefix("sf://")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(kind, id)| {
            let resource = match kind {
                "job" => &JOBS,
                "customer" => &CUSTOMERS,
                "estimate" => &ESTIMATES,
                _ => return None,
            };
            Some((resource, id.parse::<i64>().ok().filter(|id| *id > 0)?))
        })
        .ok_or_else(|| unknown(uri))?;
    let record = call
        .one(resource, id, &[])
        .await
        .map_err(|problem| failed(uri, &problem))?;
    Ok(answer::fit(Fields(record.0), call.company().max_answer).into())
}

fn unknown(uri: &str) -> ErrorData {
    let shown: String = uri.chars().take(120).collect();
    ErrorData::resource_not_found(
        format!("there is no resource {shown}; see resources/list"),
        Some(json!({"uri": shown})),
    )
}

fn failed(uri: &str, problem: &Error) -> ErrorData {
    match problem {
        Error::NotFound { .. } => unknown(uri),
        other => ErrorData::internal_error(other.to_string(), None),
    }
}

/// No network at all: the view is one self-contained file.
fn view_meta() -> MetaObject {
    let mut meta = JsonObject::new();
    meta.insert(
        "ui".to_owned(),
        json!({"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": true}),
    );
    MetaObject(meta)
}
