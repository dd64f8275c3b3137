//! How a job is shown.

use jiff::civil::{Date, Time};
use serde_json::Value;

use crate::{
    answer::{Fields, excerpt},
    service_fusion::record::Record,
};

/// Fields a list of jobs asks the API for: enough for [`row`], a third of the whole record.
pub const ROW_FIELDS: &[&str] = &[
    "id",
    "number",
    "priority",
    "description",
    "duration",
    "time_frame_promised_start",
    "time_frame_promised_end",
    "start_date",
    "end_date",
    "customer_id",
    "customer_name",
    "status",
    "street_1",
    "city",
    "category",
];

/// Scalar fields that `fields` may add to a row, by the API's own names.
pub const MORE_FIELDS: &[&str] = &[
    "description",
    "category",
    "street_1",
    "sub_status",
    "total",
    "due_total",
    "payment_status",
    "po_number",
    "source",
    "payment_type",
    "contact_first_name",
    "contact_last_name",
    "street_2",
    "state_prov",
    "postal_code",
    "location_name",
    "gate_instructions",
    "tech_notes",
    "completion_notes",
    "note_to_customer",
    "created_at",
    "updated_at",
    "closed_at",
    "project",
    "contract",
    "called_in_by",
    "is_requires_follow_up",
];

/// Characters of a job's description in a list: enough to tell jobs apart, few enough for twenty of them.
const DESCRIPTION: usize = 22;

/// One line about a job. `more` names further fields of the record.
pub fn row(job: &Record, more: &[&str]) -> Fields {
    let mut row = Fields::new()
        .with("job_id", job.id("id"))
        .with("number", job.text("number"))
        .with("status", job.text("status"))
        .with("customer", job.text("customer_name"))
        .with("customer_id", job.id("customer_id"))
        .with("date", job.date("start_date").map(|date| date.to_string()))
        .with("time", time_window(job))
        .with("technicians", technicians(job).join(", "))
        .with("city", job.text("city"))
        .with("priority", unusual_priority(job))
        .with(
            "description",
            job.text("description")
                .map(|text| excerpt(&text, DESCRIPTION)),
        );
    if job.date("end_date") > job.date("start_date") {
        row.put(
            "end_date",
            job.date("end_date").map(|date| date.to_string()),
        );
    }
    for name in more {
        match *name {
            "street_1" => row.put("address", short_address(job)),
            name => row.put(name, shown(job, name)),
        }
    }
    row
}

/// A field as it stands; zero dates are left out.
fn shown(job: &Record, name: &str) -> Value {
    let value = job.get(name).cloned().unwrap_or_default();
    if name.ends_with("_at") {
        return moment(job, name).into();
    }
    match value {
        Value::String(text) => Value::from(excerpt(&text, 200)),
        Value::Bool(false) => Value::Null,
        other => other,
    }
}

/// `09:00-11:00`, or the start alone.
pub fn time_window(job: &Record) -> Option<String> {
    let start = job.time("time_frame_promised_start")?;
    Some(match job.time("time_frame_promised_end") {
        Some(end) if end > start => format!("{}-{}", clock(start), clock(end)),
        _ => clock(start),
    })
}

pub fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

pub fn short_address(record: &Record) -> Option<String> {
    let parts: Vec<String> = [record.text("street_1"), record.text("city")]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Normal priority is not worth a word.
pub fn unusual_priority(job: &Record) -> Option<String> {
    job.text("priority")
        .filter(|priority| !priority.eq_ignore_ascii_case("normal"))
}

/// Names of the technicians on the job itself and on its visits, each once.
pub fn technicians(job: &Record) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let visits = job.list("visits");
    let assigned = visits.iter().flat_map(|visit| visit.list("techs_assigned"));
    for technician in job.list("techs_assigned").into_iter().chain(assigned) {
        if let Some(name) = technician.name("first_name", "last_name")
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// Ids of the technicians on the job and on its visits.
pub fn technician_ids(job: &Record) -> Vec<i64> {
    let visits = job.list("visits");
    let assigned = visits.iter().flat_map(|visit| visit.list("techs_assigned"));
    job.list("techs_assigned")
        .iter()
        .cloned()
        .chain(assigned)
        .filter_map(|technician| technician.id("id"))
        .collect()
}

/// A date that is set, for people.
pub fn day(record: &Record, name: &str) -> Option<String> {
    record.date(name).map(|date: Date| date.to_string())
}

/// A timestamp as Service Fusion gives it, without the offset that is not to be trusted.
pub fn moment(record: &Record, name: &str) -> Option<String> {
    record.date(name)?;
    let text = record.text(name)?;
    Some(text.get(..16).unwrap_or(&text).to_owned())
}
