//! A new customer, with what the company's preferences or the parent fill in.

use serde_json::{Map, Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::company::reference::TAX;
use crate::sandbox::create::{Problems, references};
use crate::sandbox::table::{Record, fields};

const FIRST_ID: i64 = 9_301;

pub(crate) fn store(
    company: &mut Company,
    body: &Map<String, Value>,
    stamp: &str,
) -> Result<i64, Problems> {
    let mut problems = Problems::default();
    let parent = match body.get("parent_customer") {
        Some(wanted) => {
            let found = references::find(&company.customers, "customer_name", wanted);
            if found.is_none() {
                problems.add("parent_customer", "Parent Customer can not be found.");
            }
            found
        }
        None => None,
    };
    let mut customer = defaults(parent);
    customer.extend(
        body.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    for (field, table, column) in [
        ("referral_source", &company.sources, "short_name"),
        ("payment_type", &company.payment_types, "short_name"),
    ] {
        if let Some(header) = references::header(table, column, body, field, &mut problems) {
            customer.insert(field.into(), header);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let id = company.customers.next_id(FIRST_ID);
    complete(&mut customer, id, parent, stamp);
    company
        .customers
        .push(Record::new(company.customers.resource, customer));
    Ok(id)
}

fn defaults(parent: Option<&Record>) -> Map<String, Value> {
    let own = json!({
        "account_balance": 0, "credit_rating": "U", "labor_charge_type": "flat", "labor_charge_default_rate": 0,
        "is_bill_for_drive_time": false, "is_vip": false, "discount": 0, "discount_type": "$", "is_taxable": true,
        "payment_terms": "Due Upon Receipt", "qbo_currency": "USD", "tax_item_name": TAX,
    });
    let inherited = [
        "credit_rating",
        "labor_charge_type",
        "labor_charge_default_rate",
        "is_bill_for_drive_time",
        "discount",
        "discount_type",
        "payment_type",
        "payment_terms",
    ];
    let mut customer = fields(own);
    if let Some(parent) = parent {
        customer.extend(
            inherited
                .iter()
                .map(|name| ((*name).to_owned(), parent.get(name).clone())),
        );
    }
    customer
}

fn complete(customer: &mut Map<String, Value>, id: i64, parent: Option<&Record>, stamp: &str) {
    let name = customer
        .get("customer_name")
        .map_or_else(String::new, shown);
    let parent_name = parent.map(|parent| parent.text("customer_name").to_owned());
    let qualified = parent_name
        .as_ref()
        .map_or_else(|| name.clone(), |parent| format!("{parent}:{name}"));
    let contacts = match customer.remove("contacts") {
        Some(Value::Array(contacts)) if !contacts.is_empty() => contacts,
        _ => vec![contact_from(&name)],
    };
    let locations = customer
        .remove("locations")
        .and_then(|rows| rows.as_array().cloned())
        .unwrap_or_default();
    let account = customer
        .get("account_number")
        .map_or_else(|| (id + 21_000).to_string(), shown);
    let own = [
        ("id", json!(id)),
        ("customer_name", json!(name)),
        ("fully_qualified_name", json!(qualified)),
        ("parent_customer", json!(parent_name)),
        ("account_number", json!(account)),
        ("created_at", json!(stamp)),
        ("updated_at", json!(stamp)),
        (
            "contacts",
            contacts
                .into_iter()
                .enumerate()
                .map(|(at, row)| contact(row, at == 0, stamp))
                .collect(),
        ),
        (
            "locations",
            locations
                .into_iter()
                .enumerate()
                .map(|(at, row)| location(row, at == 0, stamp))
                .collect(),
        ),
        (
            "custom_fields",
            customer
                .remove("custom_fields")
                .map_or(json!([]), |rows| custom_fields(&rows, stamp)),
        ),
    ];
    customer.extend(own.map(|(name, value)| (name.to_owned(), value)));
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn contact_from(name: &str) -> Value {
    let (first_name, last_name) = name.split_once(' ').unwrap_or((name, ""));
    json!({"fname": first_name, "lname": last_name})
}

pub(crate) fn contact(mut row: Value, is_first: bool, stamp: &str) -> Value {
    dated(&mut row, stamp);
    default(&mut row, "is_primary", json!(is_first));
    for phone in rows(&mut row, "phones") {
        dated(phone, stamp);
        default(phone, "type", json!("Mobile"));
        phone["is_mobile"] = json!(phone["type"] == "Mobile");
    }
    for email in rows(&mut row, "emails") {
        dated(email, stamp);
        default(email, "class", json!("Personal"));
        default(email, "types_accepted", json!("CONF,STATUS,PMT,INV"));
    }
    row
}

fn location(mut row: Value, is_first: bool, stamp: &str) -> Value {
    dated(&mut row, stamp);
    default(&mut row, "is_primary", json!(is_first));
    for (name, value) in [
        ("latitude", json!(0)),
        ("longitude", json!(0)),
        ("is_gated", json!(false)),
        ("is_bill_to", json!(false)),
        ("country", json!("USA")),
    ] {
        default(&mut row, name, value);
    }
    row
}

pub(crate) fn custom_fields(rows: &Value, stamp: &str) -> Value {
    let mut rows = rows.as_array().cloned().unwrap_or_default();
    for row in &mut rows {
        dated(row, stamp);
        default(row, "type", json!("text"));
        default(row, "group", json!("Default"));
        default(row, "is_required", json!(false));
    }
    Value::Array(rows)
}

pub(crate) fn dated(row: &mut Value, stamp: &str) {
    row["created_at"] = json!(stamp);
    row["updated_at"] = json!(stamp);
}

pub(crate) fn default(row: &mut Value, name: &str, value: Value) {
    if row[name].is_null() {
        row[name] = value;
    }
}

fn rows<'a>(row: &'a mut Value, name: &str) -> &'a mut [Value] {
    default(row, name, json!([]));
    row[name].as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}
