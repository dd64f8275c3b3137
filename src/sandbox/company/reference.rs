//! The lists a company keeps: statuses, categories, sources, payment types.

use serde_json::json;

use crate::sandbox::company::Company;
use crate::sandbox::table::{Record, Table, fields};

/// The charge that is added to every job whose body names no other charges.
pub(crate) const AUTO_CHARGE: (&str, f64) = ("Fuel Surcharge", 12.5);
pub(crate) const TAX: &str = "TX Sales Tax 8.25%";

/// Code, name, category; a code with an `X` belongs to a custom status.
const STATUSES: [(&str, &str, &str); 24] = [
    ("01_UNS", "Unscheduled", "OPEN_UNSCHEDULED"),
    ("02_SCH", "Scheduled", "OPEN_SCHEDULED"),
    ("03_DSP", "Dispatched", "OPEN_ACTIVE"),
    ("04_DLY", "Delayed", "OPEN_ACTIVE"),
    ("05_OTW", "On The Way", "OPEN_ACTIVE"),
    ("06_ONS", "On Site", "OPEN_ACTIVE"),
    ("07_STR", "Started", "OPEN_ACTIVE"),
    ("08_PAU", "Paused", "OPEN_ACTIVE"),
    ("09_HLD", "On Hold", "OPEN_ON_HOLD"),
    ("X1_PRT", "Waiting for Parts", "OPEN_ON_HOLD"),
    ("X2_ORD", "Parts on Order", "OPEN_ON_HOLD"),
    ("10_PCM", "Partially Completed", "OPEN_ACTIVE"),
    ("11_CMP", "Completed", "OPEN_COMPLETED"),
    ("X3_TBI", "To Be Invoiced", "OPEN_COMPLETED"),
    ("12_INV", "Invoiced", "CLOSED"),
    ("13_PIF", "Paid in Full", "CLOSED"),
    ("14_CLS", "Job Closed", "CLOSED"),
    ("15_CAN", "Cancelled", "CLOSED_CANCELLED"),
    ("20_ERQ", "Estimate Requested", "ESTIMATE_OPEN"),
    ("21_EPR", "Estimate Provided", "ESTIMATE_OPEN"),
    ("X4_EFU", "Estimate Follow Up", "ESTIMATE_OPEN"),
    ("22_EWN", "Estimate Won", "ESTIMATE_WON"),
    ("X5_EAC", "Estimate Accepted", "ESTIMATE_WON"),
    ("23_ELS", "Estimate Lost", "ESTIMATE_LOST"),
];

const CATEGORIES: [&str; 8] = [
    "Service Call",
    "Install",
    "Maintenance",
    "Emergency",
    "Drain Cleaning",
    "Water Heater",
    "Inspection",
    "Warranty",
];

pub(crate) const SOURCES: [(&str, &str); 8] = [
    ("Google", "Google search ads"),
    ("Referral", "Referred by a customer"),
    ("Repeat Customer", "Has been served before"),
    ("Yelp", ""),
    ("Nextdoor", "Nextdoor neighborhood posts"),
    ("Truck Sign", "Saw one of our trucks"),
    ("Home Show", "Dallas Home & Garden Show"),
    ("Direct Mail", "Spring postcard"),
];

const PAYMENT_TYPES: [(&str, &str, &str); 7] = [
    ("CASH", "Cash", "CASH"),
    ("CHECK", "Check", "CHECK"),
    ("CC", "Credit Card", "CC"),
    ("ACH", "ACH Transfer", "ACH"),
    ("BILL", "Direct Bill", "BILL"),
    ("FIN", "Financing", "OTHER"),
    ("CLUB", "Comfort Club Prepaid", "OTHER"),
];

pub(crate) fn fill(company: &mut Company) {
    for (id, (code, name, category)) in (1_018_351_001..).zip(STATUSES) {
        let is_custom = code.starts_with('X');
        // The schema calls it a string, the examples show a boolean: some of each.
        let is_custom = if id % 5 == 0 {
            json!(if is_custom { "1" } else { "0" })
        } else {
            json!(is_custom)
        };
        add(
            &mut company.job_statuses,
            json!({"id": id, "code": code, "name": name, "is_custom": is_custom, "category": category}),
        );
    }
    for (id, name) in (481..).zip(CATEGORIES) {
        add(&mut company.job_categories, json!({"id": id, "name": name}));
    }
    for (id, (short_name, long_name)) in (980_192_641..).zip(SOURCES) {
        add(
            &mut company.sources,
            json!({"id": id, "short_name": short_name, "long_name": long_name}),
        );
    }
    for (id, (code, short_name, kind)) in (980_190_981..).zip(PAYMENT_TYPES) {
        let is_custom = kind == "OTHER";
        add(
            &mut company.payment_types,
            json!({"id": id, "code": code, "short_name": short_name, "type": kind, "is_custom": is_custom}),
        );
    }
}

pub(crate) fn add(table: &mut Table, value: serde_json::Value) {
    let record = Record::new(table.resource, fields(value));
    table.push(record);
}
