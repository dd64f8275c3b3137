//! Jobs, written down from their plans in the order in which they were called in.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::sandbox::clock::stamp;
use crate::sandbox::company::Company;
use crate::sandbox::company::charges::{Lines, money};
use crate::sandbox::company::plan::Plan;
use crate::sandbox::company::setting::{Setting, at_minute, clock_time};
use crate::sandbox::company::{board, history, invoices, paperwork, staff};
use crate::sandbox::table::{Record, fields, integer, merged};

const FIRST_ID: i64 = 1_085_200_113;
const FIRST_NUMBER: i64 = 10_431;
const MANAGER: &str = "Metroplex Property Partners";

pub(crate) fn fill(company: &mut Company, setting: &mut Setting, extra_jobs: u32) {
    let mut plans = history::plans(company, setting);
    plans.extend(board::plans(company, setting));
    plans.sort_by_key(|plan| plan.created);
    for (position, plan) in (0..).zip(plans) {
        add(company, setting, position, plan);
    }
    attach_equipment(company);
    add_extra(company, setting, extra_jobs);
}

fn add(company: &mut Company, setting: &mut Setting, position: i64, mut plan: Plan) {
    let Some(customer) = company.customers.records().get(plan.customer).cloned() else {
        return;
    };
    let number = FIRST_NUMBER + position;
    let mut job = written(&customer, &plan, number, setting);
    job["id"] = json!(FIRST_ID + position * 17);
    bill(company, setting, &customer, &plan, &mut job, number);
    let mut job = fields(job);
    job.append(&mut plan.instead);
    let job = Record::new(company.jobs.resource, job);
    remember_service(company, &job, &plan);
    company.jobs.push(job);
}

fn written(customer: &Record, plan: &Plan, number: i64, setting: &Setting) -> Value {
    let parts = [
        described(plan, number),
        scheduled(plan, setting),
        for_customer(customer, number),
    ];
    let mut job = merged(parts);
    for (name, rows) in gathered(plan, number) {
        job[name] = rows;
    }
    place(&mut job, &customer.get("locations")[plan.location]);
    job
}

/// Moved into place one by one: a JSON literal would copy them.
fn gathered(plan: &Plan, number: i64) -> [(&'static str, Value); 11] {
    let since = stamp(plan.created);
    let signatures = if plan.is_done() {
        paperwork::signatures(number, &since)
    } else {
        json!([])
    };
    let permit = json!([{"name": "Permit number", "value": null, "type": "text", "group": "Default",
        "created_at": since, "updated_at": since, "is_required": false}]);
    [
        (
            "techs_assigned",
            plan.techs
                .iter()
                .map(|&tech| staff::assigned(tech))
                .collect(),
        ),
        ("visits", paperwork::visits(plan)),
        ("labor_charges", paperwork::labor(plan, &since)),
        ("expenses", paperwork::expenses(number, &since)),
        ("notes", paperwork::notes(plan, number, &since)),
        ("tasks", paperwork::tasks(plan, number, &since)),
        ("pictures", paperwork::pictures(number, &since)),
        ("documents", paperwork::documents(number, &since)),
        ("printable_work_order", paperwork::work_orders(number)),
        ("signatures", signatures),
        ("custom_fields", permit),
    ]
}

fn described(plan: &Plan, number: i64) -> Value {
    json!({
        "number": number.to_string(), "status": plan.status, "category": plan.work.category,
        "priority": if plan.work.category == "Emergency" { "High" } else { "Normal" },
        "description": plan.work.description,
        "tech_notes": if number % 3 == 0 { json!("Bring the long ladder") } else { json!(null) },
        "completion_notes": if plan.is_done() { json!(plan.work.outcome) } else { json!(null) },
        "sub_status": if number % 29 == 0 { json!("Awaiting callback") } else { json!(null) },
        "note_to_customer": "Thank you for choosing Lone Star Comfort.", "called_in_by": null,
        "is_requires_follow_up": number % 23 == 4,
    })
}

fn scheduled(plan: &Plan, setting: &Setting) -> Value {
    let since = stamp(plan.created);
    let finished = plan.start.map(|_| plan.finished().min(setting.now));
    let closed = finished
        .filter(|_| plan.is_done() || plan.status == "Cancelled")
        .map(stamp);
    let updated = finished
        .filter(|finished| *finished > plan.created && plan.status != "Scheduled")
        .map(stamp);
    json!({
        "duration": plan.minutes() * 60, "start_date": plan.start.map(|date| date.to_string()), "end_date": null,
        "time_frame_promised_start": plan.window.map(|(start, _)| clock_time(start)),
        "time_frame_promised_end": plan.window.map(|(_, end)| clock_time(end)),
        "created_at": since, "updated_at": updated.as_ref().unwrap_or(&since), "closed_at": closed,
    })
}

fn for_customer(customer: &Record, number: i64) -> Value {
    let contact = &customer.get("contacts")[0];
    let is_business = customer.text("payment_terms") == "Net 30";
    json!({
        "customer_id": customer.get("id"), "customer_name": customer.get("customer_name"),
        "parent_customer": customer.get("parent_customer"), "contact_first_name": contact["fname"],
        "contact_last_name": contact["lname"], "source": customer.get("referral_source"),
        "payment_type": customer.get("payment_type"), "customer_payment_terms": customer.get("payment_terms"),
        "contract": customer.get("assigned_contract"),
        "po_number": if is_business { json!(format!("PO-{}", 86_000 + number)) } else { json!(null) },
    })
}

pub(crate) fn place(job: &mut Value, location: &Value) {
    for name in [
        "street_1",
        "street_2",
        "city",
        "state_prov",
        "postal_code",
        "gate_instructions",
    ] {
        job[name] = location[name].clone();
    }
    job["location_name"] = location["nickname"].clone();
    job["is_gated"] = json!(location["is_gated"] == true);
}

/// Charges for all but warranty, cancelled and gratis work, and an invoice once it is billed.
fn bill(
    company: &mut Company,
    setting: &mut Setting,
    customer: &Record,
    plan: &Plan,
    job: &mut Value,
    number: i64,
) {
    let since = stamp(plan.created);
    let is_free =
        plan.work.category == "Warranty" || matches!(plan.status, "Cancelled" | "Job Closed");
    let lines = if is_free || plan.start.is_none() {
        Lines::none()
    } else {
        Lines::of(plan.work, 1 + number % 2, number % 16 == 7, &since)
    };
    let invoice = (plan.is_billed() && lines.total > 0.0)
        .then(|| invoices::add(company, setting, customer, &lines, plan));
    let deposit = if plan.status == "Invoiced" && number % 6 == 0 {
        (lines.total / 3.0).round()
    } else {
        0.0
    };
    let paid = if plan.is_paid() { lines.total } else { deposit };
    let invoice_id = invoice.as_ref().map_or(0, Record::id);
    job["payments"] = paperwork::payments(
        number,
        customer,
        paid,
        invoice_id,
        plan.finished().min(setting.now),
    );
    job["invoices"] = invoice.map_or_else(
        || json!([]),
        |invoice| Value::Array(vec![invoice.to_object()]),
    );
    let is_settled = plan.is_paid() && lines.total > 0.0;
    job["payment_status"] = json!(if is_settled { "Paid in Full" } else { "Unpaid" });
    job["taxes_fees_total"] = money(lines.total);
    job["drive_labor_total"] = json!(0);
    job["billable_expenses_total"] = json!(0);
    job["total"] = money(lines.total);
    job["payments_deposits_total"] = money(paid);
    job["due_total"] = money(lines.total - paid);
    job["cost_total"] = money(lines.cost);
    job["services"] = Value::Array(lines.services);
    job["products"] = Value::Array(lines.products);
    job["other_charges"] = Value::Array(lines.other_charges);
}

/// What the job leaves on its customer: the last visit and the open balance.
fn remember_service(company: &mut Company, job: &Record, plan: &Plan) {
    let customer = integer(job.get("customer_id")).and_then(|id| company.customers.find_mut(id));
    let Some(customer) = customer else { return };
    if let Some(date) = plan.start.filter(|_| plan.is_done()) {
        let date = date.to_string();
        if customer.text("last_serviced_date") < date.as_str() {
            customer.set("last_serviced_date", date);
        }
    }
    if plan.is_billed() {
        let balance = customer.get("account_balance").as_f64().unwrap_or_default();
        customer.set(
            "account_balance",
            money(balance + job.get("due_total").as_f64().unwrap_or_default()),
        );
    }
}

/// Every other job says which of the customer's units it was about.
fn attach_equipment(company: &mut Company) {
    let mut units: HashMap<i64, Value> = HashMap::new();
    for unit in company.equipment.records() {
        let owner = integer(unit.get("customer_id")).unwrap_or_default();
        units
            .entry(owner)
            .or_insert_with(|| Value::Array(vec![unit.to_object()]));
    }
    let jobs: Vec<i64> = company
        .jobs
        .records()
        .iter()
        .map(Record::id)
        .step_by(2)
        .collect();
    for id in jobs {
        let Some(job) = company.jobs.find_mut(id) else {
            continue;
        };
        if let Some(units) = integer(job.get("customer_id")).and_then(|owner| units.get(&owner)) {
            job.set("equipment", units.clone());
        }
    }
}

/// Copies of an ordinary job, all called in for one property manager.
fn add_extra(company: &mut Company, setting: &mut Setting, count: u32) {
    let Some(manager) = company.customers.find_by("customer_name", MANAGER).cloned() else {
        return;
    };
    let template = company
        .jobs
        .records()
        .iter()
        .find(|job| job.text("status") == "Paid in Full")
        .cloned();
    let (Some(template), first_id) = (template, company.jobs.next_id(FIRST_ID)) else {
        return;
    };
    let places = manager
        .get("locations")
        .as_array()
        .cloned()
        .unwrap_or_default();
    for index in 0..i64::from(count) {
        let mut job = template.clone();
        let day = setting.day(-1 - index % 720);
        let moment = stamp(at_minute(day, 8 * 60 + index % 500));
        job.set("id", first_id + index);
        job.set("number", format!("M{}", 50_001 + index));
        job.set("customer_id", manager.get("id").clone());
        job.set("customer_name", MANAGER);
        job.set("start_date", day.to_string());
        for name in ["created_at", "updated_at", "closed_at"] {
            job.set(name, moment.clone());
        }
        for name in ["invoices", "payments", "visits"] {
            job.set(name, json!([]));
        }
        let place = &places[usize::try_from(index).unwrap_or_default() % places.len().max(1)];
        for name in ["street_1", "street_2", "city", "postal_code"] {
            job.set(name, place[name].clone());
        }
        company.jobs.push(job);
    }
}
