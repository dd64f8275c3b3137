//! `create_estimate`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Fields, estimate},
    dates::parse_day,
    server::{
        call::Call,
        create::{Draft, Outcome},
        lookup,
        tool::{Tool, record_output},
        tool_error::{ToolError, date_argument},
    },
    service_fusion::{
        query::{ESTIMATES, ListQuery},
        reference::List,
    },
};

const DESCRIPTION: &str = "Create an estimate (quote) with its lines for an existing customer. Each line names a service or product exactly as the company's price book \
does (the API cannot list the price book). Take customer_id from search_customers. Service Fusion's API cannot change or delete an estimate \
afterwards: use dry_run to show the user what would be sent. The same estimate within ten minutes returns the first one.";

#[derive(Deserialize, JsonSchema)]
struct CreateEstimate {
    /// Customer's id, just read from another answer.
    #[schemars(range(min = 1))]
    customer_id: i64,
    /// What is quoted.
    #[schemars(length(max = 10_000))]
    description: Option<String>,
    /// The quote's lines.
    #[serde(default)]
    #[schemars(length(max = 50))]
    lines: Vec<Line>,
    /// Status by name (the company's default if left out).
    status: Option<String>,
    /// Category by name.
    category: Option<String>,
    /// Technicians by name or id.
    #[serde(default)]
    #[schemars(length(max = 20))]
    technicians: Vec<String>,
    /// Planned day of the work.
    date: Option<String>,
    /// How likely it is to be won, 0 to 5.
    #[schemars(range(min = 0, max = 5))]
    rating: Option<i64>,
    /// Customer's purchase order number.
    #[schemars(length(max = 255))]
    po_number: Option<String>,
    /// Text for the customer.
    note_to_customer: Option<String>,
    /// True creates it although the same one was created in the last ten minutes.
    allow_duplicate: Option<bool>,
    /// True sends nothing and returns what would be sent.
    dry_run: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
struct Line {
    /// Whether it is work or material (service if left out).
    kind: Option<LineKind>,
    /// Name in the price book.
    name: String,
    /// Text on the quote.
    description: Option<String>,
    /// Whole number (1 if left out).
    #[schemars(range(min = 1, max = 100_000))]
    quantity: Option<i64>,
    /// Price of one (the price book's if left out).
    rate: Option<f64>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum LineKind {
    Service,
    Product,
}

pub(super) fn tool() -> Tool {
    Tool::create(
        "create_estimate",
        "Create an estimate",
        DESCRIPTION,
        || record_output("estimate_id"),
        create,
    )
}

async fn create(call: Call, arguments: CreateEstimate) -> Result<Fields, ToolError> {
    let id = arguments.customer_id;
    let customer = lookup::customer(&call, id, &[]).await?;
    let name = customer.text("customer_name").unwrap_or_default();
    let description = arguments.description.clone().unwrap_or_default();
    let draft = Draft {
        resource: &ESTIMATES,
        body: body(&call, &arguments).await?,
        again: arguments.allow_duplicate.unwrap_or(false),
        dry_run: arguments.dry_run.unwrap_or(false),
    };
    let today = call.today();
    let find = async || newest(&call, id, &name, &description).await;
    Ok(match draft.submit(&call, find).await? {
        Outcome::DryRun(shown) => shown.with("customer", name),
        Outcome::Created(record) => {
            let created = Fields::new().with("created", true);
            let answer = Fields(created.0.into_iter().chain(estimate::row(&record, today).0).collect());
            match record.id("customer_id") {
                Some(other) if other != id => answer.with(
                    "warning",
                    format!("Service Fusion filed this estimate under customer {other} instead of {id}; tell the user to correct it there"),
                ),
                _ => answer,
            }
        }
        Outcome::Repeated(record) => estimate::row(&record, today).with(
            "repeated",
            "the same estimate was created in the last ten minutes; this is that one, nothing new was made",
        ),
    })
}

async fn body(call: &Call, arguments: &CreateEstimate) -> Result<Map<String, Value>, ToolError> {
    let category = match &arguments.category {
        Some(said) => {
            Some(lookup::reference_name(call, List::JobCategories, "category", said).await?)
        }
        None => None,
    };
    let status = match &arguments.status {
        Some(said) => lookup::statuses(call, "status", std::slice::from_ref(said))
            .await?
            .into_iter()
            .next(),
        None => None,
    };
    let mut technicians = Vec::new();
    for said in &arguments.technicians {
        technicians.push(json!({"id": lookup::technician(call, "technicians", said).await?.id}));
    }
    let date = arguments
        .date
        .as_deref()
        .map(|text| parse_day(text, call.today()))
        .transpose()
        .map_err(date_argument("date"))?;
    Ok(Fields::new()
        // The id, as the contract allows: a name may belong to two customers, or be a number.
        .with("customer_name", arguments.customer_id.to_string())
        .with("description", arguments.description.clone())
        .with("status", status)
        .with("category", category)
        .with("techs_assigned", technicians)
        .with("start_date", date.map(|date| date.to_string()))
        .with("opportunity_rating", arguments.rating)
        .with("po_number", arguments.po_number.clone())
        .with("note_to_customer", arguments.note_to_customer.clone())
        .with("services", lines(&arguments.lines, LineKind::Service))
        .with("products", lines(&arguments.lines, LineKind::Product))
        .0)
}

fn lines(lines: &[Line], kind: LineKind) -> Vec<Value> {
    let reference = match kind {
        LineKind::Service => "service",
        LineKind::Product => "product",
    };
    lines
        .iter()
        .filter(|line| line.kind.unwrap_or(LineKind::Service) == kind)
        .map(|line| {
            Fields::new()
                .with(reference, line.name.trim())
                .with("name", line.name.trim())
                .with("description", line.description.clone())
                .with("multiplier", line.quantity.unwrap_or(1))
                .with("rate", line.rate)
                .into()
        })
        .collect()
}

/// The customer's newest estimates with that description: one of them may be the one whose answer was lost.
async fn newest(
    call: &Call,
    customer_id: i64,
    name: &str,
    description: &str,
) -> Result<Vec<Value>, ToolError> {
    let query = ListQuery::new(&ESTIMATES)
        .filter("customer_name", name)
        .fields(estimate::ROW_FIELDS);
    let found = call.walk(query).take(20, None).await?;
    let today = call.today();
    Ok(found
        .rows
        .iter()
        .filter(|(row, _)| row.id("customer_id") == Some(customer_id))
        .filter(|(row, _)| row.text("description").unwrap_or_default() == description.trim())
        .take(5)
        .map(|(row, _)| estimate::row(row, today).into())
        .collect())
}
