//! `create_estimate`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    answer::{Fields, estimate},
    server::{
        call::Call,
        create::Draft,
        order::{Common, Customer},
        tool::{Tool, record_output},
        tool_error::ToolError,
    },
    service_fusion::query::{ESTIMATES, ListQuery},
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
    let customer = Customer::read(&call, arguments.customer_id).await?;
    let description = arguments.description.clone().unwrap_or_default();
    let draft = Draft {
        resource: &ESTIMATES,
        body: body(&call, &arguments).await?,
        again: arguments.allow_duplicate.unwrap_or(false),
        dry_run: arguments.dry_run.unwrap_or(false),
    };
    let today = call.today();
    let find = async || {
        let query = ListQuery::new(&ESTIMATES).fields(estimate::ROW_FIELDS);
        customer
            .newest(&call, query, &description, |record| {
                estimate::row(record, today)
            })
            .await
    };
    let outcome = draft.submit(&call, find).await?;
    Ok(customer.answer(outcome, "estimate", |record| estimate::row(record, today)))
}

async fn body(call: &Call, arguments: &CreateEstimate) -> Result<Map<String, Value>, ToolError> {
    let common = Common {
        category: arguments.category.as_deref(),
        status: arguments.status.as_deref(),
        technicians: &arguments.technicians,
        date: arguments.date.as_deref(),
    };
    let checked = common.check(call).await?;
    let technicians = checked.assigned();
    Ok(Fields::new()
        // The id, as the contract allows: a name may belong to two customers, or be a number.
        .with("customer_name", arguments.customer_id.to_string())
        .with("description", arguments.description.clone())
        .with("status", checked.status)
        .with("category", checked.category)
        .with("techs_assigned", technicians)
        .with("start_date", checked.date.map(|date| date.to_string()))
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
