//! Estimates: open ones of every age, won ones and lost ones.

use serde_json::{Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::company::catalogue::{Item, PRODUCTS, SERVICES};
use crate::sandbox::company::charges::{Lines, line, money, real};
use crate::sandbox::company::reference::add;
use crate::sandbox::company::setting::Setting;
use crate::sandbox::company::{jobs, paperwork, staff};
use crate::sandbox::table::Record;

const FIRST_ID: i64 = 1_075_310_021;
const COUNT: i64 = 90;

/// What is offered: description, category, positions of services, of products, and how many.
type Offer = (
    &'static str,
    &'static str,
    &'static [usize],
    &'static [usize],
    i64,
);

const OFFERS: [Offer; 8] = [
    (
        "Replace 3 ton system with 16 SEER2 condenser, coil and furnace",
        "Install",
        &[7],
        &[4, 5, 6],
        1,
    ),
    (
        "Whole-house repipe, first floor",
        "Install",
        &[12, 13],
        &[9],
        4,
    ),
    (
        "Two rooftop units with curb adapters",
        "Install",
        &[7, 6],
        &[4, 6],
        3,
    ),
    (
        "Tankless water heater conversion with gas line",
        "Water Heater",
        &[11],
        &[8],
        1,
    ),
    (
        "Comfort Club Gold, two systems",
        "Maintenance",
        &[2, 3],
        &[],
        1,
    ),
    (
        "Panel upgrade and surge protection",
        "Install",
        &[15],
        &[14, 15],
        1,
    ),
    (
        "Replace 50 gallon water heater",
        "Water Heater",
        &[11],
        &[7],
        1,
    ),
    (
        "Hydro jet main line and camera",
        "Drain Cleaning",
        &[9, 10],
        &[],
        1,
    ),
];

pub(crate) fn fill(company: &mut Company, setting: &mut Setting) {
    let customers = company.customers.records().to_vec();
    for position in 0..COUNT {
        // Oldest first, so that ids rise with time; the last were written this week.
        let age = 1 + (COUNT - 1 - position) * 4 / 3;
        let customer = &customers[setting.random.index(customers.len())];
        let estimate = written(setting, customer, position, age);
        add(&mut company.estimates, estimate);
    }
}

fn status(position: i64, age: i64) -> &'static str {
    match position % 10 {
        0 | 1 if age > 10 => "Estimate Won",
        2 if age > 10 => "Estimate Accepted",
        3 | 4 if age > 20 => "Estimate Lost",
        5 => "Estimate Requested",
        6 if age > 14 => "Estimate Follow Up",
        _ => "Estimate Provided",
    }
}

fn written(setting: &mut Setting, customer: &Record, position: i64, age: i64) -> Value {
    let (description, category, services, products, quantity) = setting.random.pick(&OFFERS);
    let status = status(position, age);
    let since = setting.stamp_of_day(-age);
    let contact = &customer.get("contacts")[0];
    let number = 2_101 + position;
    let start = (status == "Estimate Requested").then(|| setting.day(age % 9 - 2).to_string());
    let mut estimate = json!({
        "id": FIRST_ID + position * 13, "number": format!("E{number}"), "description": description,
        "tech_notes": if position % 4 == 1 { json!("Measured the return, needs 20x25") } else { json!(null) },
        "payment_status": "Unpaid", "duration": 3600, "start_date": start,
        "time_frame_promised_start": start.as_ref().map(|_| "10:00"),
        "time_frame_promised_end": start.as_ref().map(|_| "12:00"), "created_at": since,
        "updated_at": if position % 19 == 6 { "-0001-11-30T00:00:00+00:00".to_owned() } else { setting.stamp_of_day(-age * 2 / 3) },
        "customer_id": customer.get("id"), "customer_name": customer.get("customer_name"),
        "parent_customer": customer.get("parent_customer"), "status": status, "sub_status": null,
        "contact_first_name": contact["fname"], "contact_last_name": contact["lname"], "category": category,
        "source": customer.get("referral_source"), "payment_type": customer.get("payment_type"),
        "customer_payment_terms": customer.get("payment_terms"), "project": null, "phase": null, "po_number": null,
        "contract": customer.get("assigned_contract"), "note_to_customer": "Prices hold for 30 days.",
        "opportunity_rating": if position % 6 == 0 { json!(null) } else { json!(position % 6) },
        "opportunity_owner": staff::full_name(if position % 3 == 0 { 10 } else { 3 }),
        "techs_assigned": [staff::assigned(3)], "printable_work_order": paperwork::work_orders(number),
        "notes": if position % 5 == 0 { json!([{"notes": "Wants to compare with another bid.", "created_at": since,
            "updated_at": since}]) } else { json!([]) },
        "tags": if position % 7 == 0 { json!([{"tag": "Financing", "created_at": since, "updated_at": since}]) } else { json!([]) },
        "_end_date": start,
    });
    jobs::place(&mut estimate, &customer.get("locations")[0]);
    let percent = setting.random.between(72, 104);
    let lines = match status {
        // Nobody has been there yet to measure and price it.
        "Estimate Requested" => Lines::none(),
        _ => offered(services, products, *quantity, percent, &since),
    };
    price(&mut estimate, lines);
    estimate
}

/// No two houses cost the same: the list prices times a percentage.
fn offered(
    services: &[usize],
    products: &[usize],
    quantity: i64,
    percent: i64,
    since: &str,
) -> Lines {
    let adjusted = |item: &Item, kind: &str| {
        let rate = (item.rate * real(percent) / 100.0).round();
        line(&Item { rate, ..*item }, kind, quantity, since)
    };
    let services = services
        .iter()
        .map(|&at| adjusted(&SERVICES[at], "service"));
    let products = products
        .iter()
        .map(|&at| adjusted(&PRODUCTS[at], "product"));
    Lines::with(services.collect(), products.collect(), false, since)
}

fn price(estimate: &mut Value, lines: Lines) {
    for name in ["taxes_fees_total", "total", "due_total"] {
        estimate[name] = money(lines.total);
    }
    estimate["cost_total"] = money(lines.cost);
    estimate["services"] = Value::Array(lines.services);
    estimate["products"] = Value::Array(lines.products);
    estimate["other_charges"] = Value::Array(lines.other_charges);
}
