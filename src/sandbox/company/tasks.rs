//! Entries of the office calendar.

use serde_json::json;

use crate::sandbox::clock::midnight_stamp;
use crate::sandbox::company::reference::add;
use crate::sandbox::company::setting::Setting;
use crate::sandbox::company::{Company, staff};
use crate::sandbox::table::Record;

const TASKS: [(&str, &str); 18] = [
    ("Call", "Call back about the quote"),
    ("Meeting", "Monday dispatch meeting"),
    ("Call", "Confirm tomorrow's install with the customer"),
    ("Misc", "Order filters for rooftop units"),
    ("Email", "Send backflow reports to the city"),
    ("Call", "Check in after furnace replacement"),
    ("Meeting", "Ride-along with Emily"),
    ("Misc", "Truck 4 oil change"),
    ("Call", "Financing answer for two systems"),
    ("Email", "Renewal letters, Comfort Club"),
    ("Misc", "Return defective blower to supplier"),
    ("Call", "Remind of unpaid invoice"),
    ("Meeting", "Safety training: ladders"),
    ("Call", "Ask for a review"),
    ("Misc", "Pick up permit, Plano"),
    ("Email", "Photos to the insurance adjuster"),
    ("Call", "Property manager walk-through"),
    ("Misc", "Inventory count"),
];

pub(crate) fn fill(company: &mut Company, setting: &Setting) {
    for (position, (kind, description)) in (0_i64..).zip(TASKS) {
        let since = midnight_stamp(setting.day(-20 + position));
        let is_repeated = position == 1;
        let task = json!({
            "id": 16_546 + position, "type": kind, "description": description,
            "start_time": if position % 5 == 3 { json!(null) } else { json!(format!("{:02}:00", 8 + position % 9)) },
            "end_time": if position % 5 == 3 { json!(null) } else { json!(format!("{:02}:30", 8 + position % 9)) },
            "start_date": setting.day(-8 + position).to_string(),
            "end_date": if position % 6 == 2 { json!(setting.day(-7 + position).to_string()) } else { json!(null) },
            "created_at": since, "updated_at": since, "is_public": position % 2 == 0, "is_completed": position < 7,
            "repeat_id": if is_repeated { json!(92) } else { json!(null) }, "users_id": [staff::id(9)],
            "customers_id": related(company.customers.records(), position, kind == "Call"),
            "jobs_id": related(company.jobs.records(), position, kind == "Misc"),
            "estimates_id": related(company.estimates.records(), position, position == 0 || position == 8),
            "repeat": if is_repeated { repeat(setting) } else { json!(null) },
        });
        add(&mut company.calendar_tasks, task);
    }
}

fn related(records: &[Record], position: i64, is_related: bool) -> serde_json::Value {
    let at = usize::try_from(position * 5).unwrap_or_default();
    match records.get(at).filter(|_| is_related) {
        Some(record) => json!([record.id()]),
        None => json!([]),
    }
}

fn repeat(setting: &Setting) -> serde_json::Value {
    json!({
        "id": 92, "repeat_type": "Weekly", "repeat_frequency": 1, "repeat_weekly_days": ["Mon"],
        "repeat_monthly_type": null, "stop_repeat_type": "On Occurrence", "stop_repeat_on_occurrence": 10,
        "stop_repeat_on_date": null, "start_date": midnight_stamp(setting.day(-21)),
        "end_date": midnight_stamp(setting.day(49)),
    })
}
