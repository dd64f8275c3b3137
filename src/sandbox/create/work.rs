//! A new job or estimate: what it refers to, its defaults, and what it leaves on the customer.

use serde_json::{Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::contract::Kind;
use crate::sandbox::create::customer::{contact, custom_fields};
use crate::sandbox::create::lines::Body;
use crate::sandbox::create::{Problems, lines, references, units};
use crate::sandbox::table::{Record, Table, fields};

pub(crate) fn store_job(company: &mut Company, body: &Body, stamp: &str) -> Result<i64, Problems> {
    let own = json!({
        "priority": "Normal", "status": "Unscheduled", "duration": 3600, "drive_labor_total": 0,
        "billable_expenses_total": 0, "payment_status": "Unpaid", "payments_deposits_total": 0,
        "is_requires_follow_up": false, "created_at": stamp,
    });
    let id = company.jobs.next_id(1_085_200_113);
    let number = next_number(&company.jobs);
    store(
        company,
        Kind::Jobs,
        body,
        (id, number.to_string(), own),
        stamp,
    )
}

pub(crate) fn store_estimate(
    company: &mut Company,
    body: &Body,
    stamp: &str,
) -> Result<i64, Problems> {
    let me = references::full_name(&company.me);
    let own = json!({
        "status": "Estimate Requested", "duration": 3600, "payment_status": "Unpaid", "created_at": stamp,
        "opportunity_owner": me,
    });
    let id = company.estimates.next_id(1_075_310_021);
    let number = format!("E{}", next_number(&company.estimates));
    store(company, Kind::Estimates, body, (id, number, own), stamp)
}

fn next_number(table: &Table) -> u64 {
    let numbers = table.records().iter().map(|record| record.text("number"));
    numbers
        .filter_map(|number| number.trim_start_matches('E').parse::<u64>().ok())
        .max()
        .map_or(1, |last| last + 1)
}

fn store(
    company: &mut Company,
    kind: Kind,
    body: &Body,
    (id, number, own): (i64, String, Value),
    stamp: &str,
) -> Result<i64, Problems> {
    let customer = references::customer(company, body)?.clone();
    let mut problems = Problems::default();
    let mut work = fields(own);
    work.extend(from_customer(&customer, kind));
    work.extend(
        body.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    work.extend(headers(company, body, &mut problems));
    work.extend(lines::priced(company, body, kind, stamp, &mut problems));
    for field in ["techs_assigned", "agents"] {
        work.insert(
            field.into(),
            references::techs(company, body, field, &mut problems),
        );
    }
    units::check_equipment(company, body, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    work.insert(
        "equipment".into(),
        units::equipment(company, &customer, body, stamp),
    );
    work.extend(place(&customer, body));
    work.extend(contact_names(company, &customer, body, stamp));
    work.extend(identity(&customer, id, &number, stamp));
    let custom = body
        .get("custom_fields")
        .map_or(json!([]), |rows| custom_fields(rows, stamp));
    work.insert("custom_fields".into(), custom);
    work.insert(
        "_end_date".into(),
        body.get("start_date").cloned().unwrap_or_default(),
    );
    let table = if kind == Kind::Jobs {
        &mut company.jobs
    } else {
        &mut company.estimates
    };
    table.push(Record::new(table.resource, work));
    Ok(id)
}

fn identity(customer: &Record, id: i64, number: &str, stamp: &str) -> Body {
    fields(json!({
        "id": id, "number": number, "customer_id": customer.get("id"), "customer_name": customer.get("customer_name"),
        "parent_customer": customer.get("parent_customer"), "updated_at": stamp,
    }))
}

fn from_customer(customer: &Record, kind: Kind) -> Body {
    let mut taken = fields(json!({
        "source": customer.get("referral_source"), "contract": customer.get("assigned_contract"),
        "payment_type": customer.get("payment_type"), "customer_payment_terms": customer.get("payment_terms"),
    }));
    if kind == Kind::Jobs {
        taken.insert(
            "note_to_customer".into(),
            json!("Thank you for choosing Lone Star Comfort."),
        );
    }
    taken
}

/// References that have a list to look them up in.
fn headers(company: &Company, body: &Body, problems: &mut Problems) -> Body {
    let references = [
        ("status", &company.job_statuses, "name"),
        ("category", &company.job_categories, "name"),
        ("source", &company.sources, "short_name"),
        ("payment_type", &company.payment_types, "short_name"),
    ];
    let found = references.into_iter().filter_map(|(field, table, column)| {
        Some((
            field.to_owned(),
            references::header(table, column, body, field, problems)?,
        ))
    });
    let mut found: Body = found.collect();
    if let Some(wanted) = body.get("opportunity_owner") {
        match references::user(company, wanted) {
            Some(owner) => {
                found.insert("opportunity_owner".into(), owner);
            }
            None => problems.add("opportunity_owner", "Opportunity Owner can not be found."),
        }
    }
    found
}

const PLACE: [(&str, &str); 8] = [
    ("street_1", "street_1"),
    ("street_2", "street_2"),
    ("city", "city"),
    ("state_prov", "state_prov"),
    ("postal_code", "postal_code"),
    ("location_name", "nickname"),
    ("is_gated", "is_gated"),
    ("gate_instructions", "gate_instructions"),
];

/// Nothing is taken from the customer once the body says where to go.
fn place(customer: &Record, body: &Body) -> Body {
    let is_elsewhere = ["street_1", "city", "postal_code"]
        .iter()
        .any(|name| body.contains_key(*name));
    if is_elsewhere {
        return Body::new();
    }
    let locations = customer
        .get("locations")
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let named = body
        .get("location_name")
        .and_then(|name| locations.iter().find(|place| place["nickname"] == *name));
    let primary = locations
        .iter()
        .find(|place| place["is_primary"] == true)
        .or(locations.first());
    let Some(found) = named.or(primary) else {
        return Body::new();
    };
    let taken = PLACE.iter().filter(|(name, _)| !body.contains_key(*name));
    taken
        .map(|(name, source)| ((*name).to_owned(), found[*source].clone()))
        .collect()
}

/// An unknown pair of names becomes a contact of the customer, as does the first one of a customer without any.
fn contact_names(company: &mut Company, customer: &Record, body: &Body, stamp: &str) -> Body {
    let part = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (mut first_name, mut last_name) = (part("contact_first_name"), part("contact_last_name"));
    let contacts = customer
        .get("contacts")
        .as_array()
        .cloned()
        .unwrap_or_default();
    if first_name.is_empty() && last_name.is_empty() {
        let primary = contacts
            .iter()
            .find(|contact| contact["is_primary"] == true)
            .or(contacts.first());
        if let Some(primary) = primary {
            return names(&primary["fname"], &primary["lname"]);
        }
        let (first, last) = customer
            .text("customer_name")
            .split_once(' ')
            .unwrap_or((customer.text("customer_name"), ""));
        (first_name, last_name) = (first.to_owned(), last.to_owned());
    }
    let is_known = contacts
        .iter()
        .any(|contact| contact["fname"] == first_name && contact["lname"] == last_name);
    let stored = company
        .customers
        .find_mut(customer.id())
        .filter(|_| !is_known);
    if let Some(rows) = stored.and_then(|customer| customer.rows_mut("contacts")) {
        rows.push(contact(
            json!({"fname": first_name, "lname": last_name}),
            contacts.is_empty(),
            stamp,
        ));
    }
    names(&json!(first_name), &json!(last_name))
}

fn names(first_name: &Value, last_name: &Value) -> Body {
    fields(json!({"contact_first_name": first_name, "contact_last_name": last_name}))
}
