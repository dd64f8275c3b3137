//! What gathers on a job: notes, tasks, labor, expenses, payments, signatures, files.

use jiff::civil::DateTime;
use serde_json::{Value, json};

use crate::sandbox::clock::{midnight_stamp, stamp};
use crate::sandbox::company::charges::money;
use crate::sandbox::company::plan::Plan;
use crate::sandbox::company::setting::clock_time;
use crate::sandbox::company::staff;
use crate::sandbox::table::Record;

const ZERO_STAMP: &str = "-0001-11-30T00:00:00+00:00";

pub(crate) fn visits(plan: &Plan) -> Value {
    let mut visits = Vec::new();
    // Some accounts list the first visit among the visits, others only the later ones.
    let has_first = !plan.customer.is_multiple_of(3) || !plan.returns.is_empty();
    if let (Some(start), Some((from, until)), true) =
        (plan.start, plan.window, has_first && !plan.techs.is_empty())
    {
        let state = if plan.is_done() || !plan.returns.is_empty() {
            "Completed"
        } else {
            plan.status
        };
        let techs: Vec<Value> = plan
            .techs
            .iter()
            .map(|&tech| visit_tech(tech, state))
            .collect();
        visits.push(visit(&start.to_string(), (from, until), None, &techs));
    }
    for later in &plan.returns {
        let techs = [visit_tech(later.tech, "Scheduled")];
        visits.push(visit(
            &later.date.to_string(),
            later.window,
            Some(later.note),
            &techs,
        ));
    }
    Value::Array(visits)
}

fn visit(date: &str, (from, until): (i64, i64), note: Option<&str>, techs: &[Value]) -> Value {
    json!({
        "notes_for_techs": note, "time_frame_promised_start": clock_time(from),
        "time_frame_promised_end": clock_time(until), "duration": (until - from) * 60, "is_text_notified": true,
        "is_voice_notified": false, "start_date": date, "techs_assigned": techs,
    })
}

fn visit_tech(tech: usize, status: &str) -> Value {
    let mut assigned = staff::assigned(tech);
    assigned["status"] = json!(status);
    assigned
}

pub(crate) fn labor(plan: &Plan, since: &str) -> Value {
    let (Some(start), Some((from, until)), true) = (plan.start, plan.window, plan.is_done()) else {
        return json!([]);
    };
    let charges = plan.techs.iter().map(|&tech| {
        json!({
            "drive_time": 20, "drive_time_rate": 0, "drive_time_cost": 0, "drive_time_start": clock_time(from - 20),
            "drive_time_end": clock_time(from), "is_drive_time_billed": false, "labor_time": until - from - 15,
            "labor_time_rate": 0, "labor_time_cost": 0, "labor_time_start": clock_time(from),
            "labor_time_end": clock_time(until - 15), "labor_date": start.to_string(), "is_labor_time_billed": false,
            "total": 0, "created_at": since, "updated_at": ZERO_STAMP, "is_status_generated": true,
            "user": staff::full_name(tech), "visit_id": null,
        })
    });
    charges.collect()
}

pub(crate) fn expenses(number: i64, since: &str) -> Value {
    let blank = json!({
        "purchased_from": null, "notes": null, "amount": 0, "is_billable": false, "date": "1970-01-01",
        "created_at": since, "updated_at": ZERO_STAMP, "user": null, "category": null,
    });
    let bought = json!({
        "purchased_from": "Ferguson Supply", "notes": "Fittings", "amount": 18.4, "is_billable": false,
        "date": since.get(..10), "created_at": since, "updated_at": "1970-01-01T00:00:00+00:00",
        "user": staff::full_name(5), "category": "Materials",
    });
    match number % 7 {
        1 => json!([blank]),
        3 => json!([bought, blank]),
        _ => json!([]),
    }
}

pub(crate) fn payments(
    number: i64,
    customer: &Record,
    amount: f64,
    invoice: i64,
    moment: DateTime,
) -> Value {
    if amount <= 0.0 {
        return json!([]);
    }
    let is_card = number % 3 != 1;
    let kind = if is_card {
        "Visa 4111 XXXXXXXX 1111"
    } else {
        "Check"
    };
    json!([{
        "transaction_type": "AUTH_CAPTURE", "transaction_token": format!("sbx{:x}Tk", number.unsigned_abs() * 7919),
        "transaction_id": if is_card { json!(format!("{}-0_{}", 257_000 + number, number % 97)) } else { json!(null) },
        "payment_transaction_id": 5_000 + number, "original_transaction_id": null,
        "apply_to": if number % 4 == 0 { "INV" } else { "JOB" }, "amount": money(amount),
        "memo": if number % 5 == 0 { json!("Paid on site") } else { json!(null) },
        "authorization_code": if is_card { json!(format!("{:06}", number * 31 % 1_000_000)) } else { json!("") },
        "bill_to_street_address": customer.get("locations")[0]["street_1"],
        "bill_to_postal_code": customer.get("locations")[0]["postal_code"], "bill_to_country": null,
        "reference_number": if is_card { json!(null) } else { json!(format!("{}/{}", 1900 + number % 90, number)) },
        "is_resync_qbo": false, "created_at": stamp(moment), "updated_at": stamp(moment),
        "received_on": midnight_stamp(moment.date()), "qbo_synced_date": null, "qbo_id": null, "qbd_id": null,
        "customer": customer.get("customer_name"), "type": kind, "invoice_id": invoice, "gateway_id": 980_190_963,
        "receipt_id": format!("ord-{}", moment.strftime("%d%m%y-%H:%M:%S")),
    }])
}

pub(crate) fn signatures(number: i64, since: &str) -> Value {
    let file_name = format!(
        "https://files.sandbox.example.com/images/sign/{}.png",
        139_000 + number
    );
    json!([{"type": "PREWORK", "file_name": file_name, "created_at": since, "updated_at": since}])
}

/// Whoever holds these links can open them.
pub(crate) fn work_orders(number: i64) -> Value {
    let key = format!(
        "{:x}",
        (number.unsigned_abs() + 77).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    );
    let link = |name: &str, page: &str| json!({"name": name, "url": format!("https://app.sandbox.example.com/{page}?jobId={key}")});
    Value::Array(vec![
        link("Print With Rates", "printJobWithRates"),
        link("Print Without Rates", "printJobWithoutRates"),
        link("Download As Pdf", "downloadJobPdf"),
        link("Download As Excel", "downloadJobExcel"),
    ])
}

pub(crate) fn pictures(number: i64, since: &str) -> Value {
    if number % 4 != 0 {
        return json!([]);
    }
    let name = format!("{}_unit.jpeg", 1_442_951_000 + number);
    json!([{"name": name, "file_location": name, "doc_type": "IMG", "comment": null, "sort": 2, "is_private": false,
        "created_at": since, "updated_at": since, "customer_doc_id": null}])
}

pub(crate) fn documents(number: i64, since: &str) -> Value {
    if number % 11 != 0 {
        return json!([]);
    }
    let name = format!("permit-{number}.pdf");
    json!([{"name": name, "file_location": name, "doc_type": "DOC", "comment": "City permit", "sort": 1,
        "is_private": true, "created_at": since, "updated_at": since, "customer_doc_id": number % 1000}])
}

pub(crate) fn notes(plan: &Plan, number: i64, since: &str) -> Value {
    let text = match number % 6 {
        0 => "Customer asked us to call 30 minutes ahead.",
        1 => "Side door is open.\r\nBeware of the cat, she escapes.\r\n\tLockbox 4417",
        2 => "<b>Deliver before noon</b> & park on the street",
        3 => plan.work.outcome,
        _ => return json!([]),
    };
    json!([{"notes": text, "created_at": since, "updated_at": since}])
}

pub(crate) fn tasks(plan: &Plan, number: i64, since: &str) -> Value {
    if number % 5 != 2 {
        return json!([]);
    }
    json!([
        {"type": "Misc", "description": "Take photos of the data plate", "start_time": null, "start_date": null,
            "end_date": null, "is_completed": plan.is_done(), "created_at": since, "updated_at": since},
        {"type": "Misc", "description": "Collect signature", "start_time": null, "start_date": null, "end_date": null,
            "is_completed": plan.is_done(), "created_at": since, "updated_at": "1970-01-01T00:00:00+00:00"},
    ])
}
