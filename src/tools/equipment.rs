//! Equipment: what stands at a customer's, and whether its warranty holds.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{
        Fields, Listing, customer,
        detail::{self, Warranty},
    },
    server::{
        call::Call,
        lookup,
        tool::{Tool, list_output},
        tool_error::ToolError,
    },
    service_fusion::{
        error::Error,
        query::{CUSTOMERS, ListQuery},
        record::Record,
    },
};

const DESCRIPTION: &str = "A customer's equipment (furnaces, condensers, water heaters…) with make, model, serial number and warranty state: valid, ends_soon (60 days), \
expired or unknown. By customer_id, or by `address` when only that is known. With equipment_id: one unit with its custom fields. \
The API has no list over all customers.";

/// Customers that are looked at when only an address is known.
const CUSTOMERS_AT_ADDRESS: usize = 5;

#[derive(Deserialize, JsonSchema)]
struct ListEquipment {
    /// Customer's id from search_customers.
    #[schemars(range(min = 1))]
    customer_id: Option<i64>,
    /// Street or place the equipment stands at; finds the customer too. Example: "1904 Industrial".
    #[schemars(length(max = 200))]
    address: Option<String>,
    /// One unit; needs customer_id.
    #[schemars(range(min = 1))]
    equipment_id: Option<i64>,
    /// Only units in this state.
    warranty: Option<State>,
    /// Rows to return, 1 to 100 (20 if left out).
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// `next_cursor` of the last answer, with the same other arguments.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Valid,
    EndsSoon,
    Expired,
    Unknown,
}

impl State {
    fn is(self, warranty: Warranty) -> bool {
        matches!(
            (self, warranty),
            (Self::Valid, Warranty::Valid | Warranty::EndsSoon)
                | (Self::EndsSoon, Warranty::EndsSoon)
                | (Self::Expired, Warranty::Expired)
                | (Self::Unknown, Warranty::Unknown)
        )
    }
}

pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::read(
        "list_equipment",
        "List equipment",
        DESCRIPTION,
        || list_output("equipment"),
        list,
    )]
}

async fn list(call: Call, arguments: ListEquipment) -> Result<Fields, ToolError> {
    match (
        arguments.customer_id,
        arguments.equipment_id,
        &arguments.address,
    ) {
        (Some(customer), Some(unit), _) => one(&call, customer, unit).await,
        (None, Some(_), _) => Err(ToolError::argument(
            "equipment_id",
            "needs customer_id, under which the unit stands",
        )),
        (Some(customer), None, _) => of_customer(&call, customer, &arguments).await,
        (None, None, Some(address)) => at_address(&call, address, &arguments).await,
        (None, None, None) => Err(ToolError::argument(
            "customer_id",
            "give customer_id or address: Service Fusion lists equipment per customer only",
        )),
    }
}

async fn one(call: &Call, customer: i64, unit: i64) -> Result<Fields, ToolError> {
    let path = format!("customers/{customer}/equipment/{unit}?expand=custom_fields");
    let answer = call.client().get(&path, &call.patience).await.map_err(|problem| match problem {
        Error::NotFound { .. } => ToolError::not_found(format!(
            "customer {customer} has no equipment with id {unit}; call list_equipment with customer_id alone to see what there is"
        )),
        other => other.into(),
    })?;
    let record = Record::new(answer);
    let shown = detail::equipment(&record, call.today())
        .with("customer_id", customer)
        .with("sku", record.text("sku"))
        .with("custom_fields", detail::custom_fields(&record));
    Ok(Fields::new()
        .with_list("equipment", vec![shown])
        .with("total", 1))
}

async fn of_customer(
    call: &Call,
    customer: i64,
    arguments: &ListEquipment,
) -> Result<Fields, ToolError> {
    let binding = call.binding();
    let from = arguments
        .cursor
        .as_deref()
        .map(|text| binding.read(text))
        .transpose()?;
    let from = from.map(|cursor| cursor.position);
    let today = call.today();
    let keep = |unit: &Record| {
        arguments
            .warranty
            .is_none_or(|state| state.is(Warranty::of(unit, today)))
            && arguments
                .address
                .as_deref()
                .is_none_or(|address| lookup::is_at(unit, address))
    };
    let walk = call.walk(ListQuery::equipment_of(customer)).keep(keep);
    let found = walk
        .take(arguments.limit.unwrap_or(20), from)
        .await
        .map_err(|problem| match problem {
            Error::NotFound { .. } => ToolError::not_found(format!(
                "there is no customer with id {customer}; find the id with search_customers"
            )),
            other => other.into(),
        })?;
    let name = found
        .rows
        .first()
        .and_then(|(unit, _)| unit.text("customer"));
    Ok(Listing {
        plural: "equipment",
        rows: found
            .rows
            .iter()
            .map(|(unit, position)| {
                (
                    detail::equipment(unit, today),
                    binding.cursor(*position, None, None),
                )
            })
            .collect(),
        total: found.total,
        next_cursor: found
            .next
            .map(|position| binding.cursor(position, None, None)),
        remarks: Fields::new()
            .with("customer_id", customer)
            .with("customer", name),
    }
    .into_answer(call.company().max_answer))
}

/// Everything that stands at an address, whoever's it is.
async fn at_address(
    call: &Call,
    address: &str,
    arguments: &ListEquipment,
) -> Result<Fields, ToolError> {
    if arguments.cursor.is_some() {
        return Err(ToolError::argument(
            "cursor",
            "goes with customer_id; by address all units come at once, up to `limit`",
        ));
    }
    let query = ListQuery::new(&CUSTOMERS)
        .filter("address", address.trim())
        .fields(customer::ROW_FIELDS)
        .expand(&["locations"]);
    let customers = call
        .walk(query)
        .take(CUSTOMERS_AT_ADDRESS + 1, None)
        .await?
        .rows;
    if customers.is_empty() {
        return Err(ToolError::not_found(format!(
            "no customer has an address with `{}`; try a shorter part of the street, or search_customers",
            address.trim()
        )));
    }
    if customers.len() > CUSTOMERS_AT_ADDRESS {
        let rows: Vec<Record> = customers.into_iter().map(|(row, _)| row).collect();
        return Err(ToolError::argument(
            "address",
            "matches many customers; give more of the street, or customer_id from details",
        )
        .with_details(lookup::candidates(&rows)));
    }
    let today = call.today();
    let mut shown = Vec::new();
    for (owner, _) in &customers {
        let Some(id) = owner.id("id") else { continue };
        let units = call.walk(ListQuery::equipment_of(id)).all().await?;
        let only_location = owner.list("locations").len() <= 1;
        for (unit, _) in units.rows {
            let here = only_location
                || lookup::is_at(&unit, address)
                || at_named_location(owner, &unit, address);
            if here
                && arguments
                    .warranty
                    .is_none_or(|state| state.is(Warranty::of(&unit, today)))
            {
                shown.push(
                    detail::equipment(&unit, today)
                        .with("customer_id", id)
                        .with("customer", owner.text("customer_name")),
                );
            }
        }
    }
    let total = shown.len();
    let limit = arguments.limit.unwrap_or(20);
    shown.truncate(limit);
    let left_out = (total > limit)
        .then(|| format!("the first {limit} are shown; raise `limit`, or page with customer_id"));
    Ok(Fields::new()
        .with_list("equipment", shown)
        .with("total", total)
        .with("left_out", left_out))
}

/// Equipment names its location by nickname; the customer's locations say which street that is.
fn at_named_location(owner: &Record, unit: &Record, address: &str) -> bool {
    let Some(place) = unit
        .text("customer_location")
        .map(|place| place.to_lowercase())
    else {
        return false;
    };
    owner
        .list("locations")
        .iter()
        .filter(|location| lookup::is_at(location, address))
        .any(|location| {
            location
                .text("nickname")
                .is_some_and(|nickname| place.starts_with(&nickname.to_lowercase()))
        })
}
