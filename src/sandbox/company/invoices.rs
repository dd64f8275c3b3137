//! Invoices: what finished jobs were billed, paid or not.

use jiff::ToSpan;
use jiff::civil::DateTime;
use serde_json::{Value, json};

use crate::sandbox::clock::{midnight_stamp, stamp};
use crate::sandbox::company::Company;
use crate::sandbox::company::charges::{Lines, money};
use crate::sandbox::company::plan::Plan;
use crate::sandbox::company::setting::Setting;
use crate::sandbox::table::{Record, fields};

const FIRST_ID: i64 = 41_013;
const FIRST_NUMBER: i64 = 20_001;

pub(crate) fn add(
    company: &mut Company,
    setting: &mut Setting,
    customer: &Record,
    lines: &Lines,
    plan: &Plan,
) -> Record {
    let id = company.invoices.next_id(FIRST_ID);
    let position = id - FIRST_ID;
    let finished = plan.finished();
    let created = finished
        .saturating_add(setting.random.between(20, 1500).minutes())
        .min(setting.now);
    let invoice = written(customer, plan, lines.total, position, created);
    let record = Record::new(company.invoices.resource, fields(invoice));
    company.invoices.push(record.clone());
    record
}

fn written(customer: &Record, plan: &Plan, total: f64, position: i64, created: DateTime) -> Value {
    let contact = &customer.get("contacts")[0];
    let name = [&contact["fname"], &contact["lname"]]
        .map(|part| part.as_str().unwrap_or_default())
        .join(" ");
    let key = (position.unsigned_abs() + 3).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    json!({
        "id": FIRST_ID + position, "number": FIRST_NUMBER + position, "currency": "$", "po_number": null,
        "terms": if customer.text("payment_terms") == "Net 30" { "NET30" } else { "DUR" },
        "customer_message": if position % 3 == 0 { json!("Thank you for your business!") } else { json!(null) },
        "notes": null, "pay_online_url": format!("https://app.sandbox.example.com/invoiceOnline?id={position}&key={key:x}"),
        "qbo_invoice_no": null, "qbo_sync_token": null, "qbo_synced_date": null, "qbo_id": null, "qbd_id": null,
        "total": money(total), "is_paid": plan.is_paid(), "date": midnight_stamp(created.date()),
        "mail_send_date": if position % 4 == 0 { json!(null) } else { json!(stamp(created)) },
        "created_at": stamp(created),
        "updated_at": if position % 31 == 7 { "-0001-11-30T00:00:00+00:00".to_owned() } else { stamp(created) },
        "customer": if position % 9 == 4 { json!(null) } else { customer.get("customer_name").clone() },
        "customer_contact": if position % 5 == 1 { json!(null) } else { json!(name) },
        "payment_terms": customer.get("payment_terms"), "bill_to_customer_id": null,
        "bill_to_customer_location_id": null, "bill_to_customer_contact_id": null, "bill_to_email_id": null,
        "bill_to_phone_id": null,
    })
}
