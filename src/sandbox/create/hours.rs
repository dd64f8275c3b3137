//! What was worked and spent on a new job.

use serde_json::{Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::company::charges::{money, real};
use crate::sandbox::create::customer::{dated, default};
use crate::sandbox::create::lines::{Body, rows};
use crate::sandbox::create::{Problems, references};
use crate::sandbox::table::integer;

pub(crate) fn labor(
    company: &Company,
    body: &Body,
    stamp: &str,
    problems: &mut Problems,
) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, row) in rows(body, "labor_charges").iter().enumerate() {
        let mut row = row.clone();
        let mut total = 0.0;
        for kind in ["drive", "labor"] {
            match minutes(&row, kind) {
                Ok(minutes) => {
                    row[format!("{kind}_time")] = json!(minutes);
                    let rate = row[format!("{kind}_time_rate")]
                        .as_f64()
                        .unwrap_or_default();
                    let is_billed = row[format!("is_{kind}_time_billed")] == true;
                    total += if is_billed {
                        rate * real(minutes) / 60.0
                    } else {
                        0.0
                    };
                }
                Err(message) => {
                    problems.add(&format!("labor_charges[{index}].{kind}_time"), message);
                }
            }
        }
        name_user(
            company,
            &mut row,
            &format!("labor_charges[{index}].user"),
            problems,
        );
        dated(&mut row, stamp);
        row["total"] = money(total);
        row["is_status_generated"] = json!(false);
        out.push(row);
    }
    out
}

/// Either minutes, or a start and an end of which the end is later.
fn minutes(row: &Value, kind: &str) -> Result<i64, &'static str> {
    let given = integer(&row[format!("{kind}_time")]);
    let bound = |name: &str| {
        row[format!("{kind}_time_{name}")]
            .as_str()
            .and_then(|time| time.parse::<jiff::civil::Time>().ok())
    };
    match (given, bound("start"), bound("end")) {
        (minutes, None, None) => Ok(minutes.unwrap_or(0)),
        (Some(_), ..) => Err("Minutes can not be set together with start and end."),
        (None, Some(start), Some(end)) if end > start => Ok(start.duration_until(end).as_mins()),
        (None, Some(_), Some(_)) => Err("The end must be later than the start."),
        (None, ..) => Err("Start and end must be set together."),
    }
}

pub(crate) fn expenses(
    company: &Company,
    body: &Body,
    stamp: &str,
    problems: &mut Problems,
) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, row) in rows(body, "expenses").iter().enumerate() {
        let mut row = row.clone();
        name_user(
            company,
            &mut row,
            &format!("expenses[{index}].user"),
            problems,
        );
        default(&mut row, "amount", json!(0));
        default(&mut row, "is_billable", json!(false));
        default(&mut row, "category", json!("Materials"));
        dated(&mut row, stamp);
        out.push(row);
    }
    out
}

fn name_user(company: &Company, row: &mut Value, path: &str, problems: &mut Problems) {
    if row["user"].is_null() {
        return;
    }
    match references::user(company, &row["user"]) {
        Some(user) => row["user"] = user,
        None => problems.add(path, "User can not be found."),
    }
}
