//! Reads the appointments of some days, return visits of older jobs included.

use jiff::ToSpan;

use crate::{
    answer::{Fields, job},
    dates::DateRange,
    schedule::{self, Appointment},
    server::{
        call::Call,
        lookup::{self, OneOf},
        tool_error::ToolError,
    },
    service_fusion::{
        query::{JOBS, ListQuery},
        record::Record,
        status::Stage,
        walk::{Found, Total},
    },
};

/// How far back jobs are searched for return visits: the API's date filter sees a job's first day only.
pub const VISITS_REACH_DAYS: i64 = 45;
/// Longest range in one call.
pub const MOST_DAYS: i64 = 14;

/// The appointments of a range, and what could not be read.
pub struct Plan {
    pub appointments: Vec<Appointment>,
    pub note: Option<String>,
}

/// Reads all appointments in `range`, at most [`MOST_DAYS`] days.
pub async fn read(call: &Call, argument: &str, range: DateRange) -> Result<Plan, ToolError> {
    if range.days() > MOST_DAYS {
        return Err(ToolError::argument(
            argument,
            format!(
                "spans {} days, at most {MOST_DAYS} fit into one call",
                range.days()
            ),
        ));
    }
    let report = |done, of| call.report(done, of);
    let query = |from: String, to: String| {
        ListQuery::new(&JOBS)
            .fields(job::ROW_FIELDS)
            .expand(&["techs_assigned", "visits", "visits.techs_assigned"])
            .filter("start_date][gte", from)
            .filter("start_date][lte", to)
    };
    let days = call
        .walk(query(range.from.to_string(), range.to.to_string()))
        .progress(&report)
        .keep(|_| true)
        .all();
    let earlier = async {
        let from = range
            .from
            .checked_sub(VISITS_REACH_DAYS.days())
            .unwrap_or(range.from);
        let to = range.from.checked_sub(1.day()).unwrap_or(range.from);
        let open = lookup::statuses(call, "status", &["open".to_owned()]).await?;
        let open = OneOf::new("status", open);
        if open.is_empty() {
            return Ok(lookup::nothing());
        }
        let query = open.limit(query(from.to_string(), to.to_string()));
        Ok::<_, ToolError>(
            call.walk(query)
                .keep(|row| open.keeps(row) && reaches(row, range))
                .all()
                .await?,
        )
    };
    let (days, earlier) = tokio::join!(days, earlier);
    let (days, earlier) = (days?, earlier?);
    let cut = [&days, &earlier].into_iter().find_map(incomplete);
    let jobs: Vec<Record> = days
        .rows
        .into_iter()
        .chain(earlier.rows)
        .map(|(row, _)| row)
        .collect();
    Ok(Plan {
        appointments: schedule::appointments(&jobs, range, &call.clock().now()),
        note: cut,
    })
}

/// Whether an older job still has something to do in the range.
fn reaches(row: &Record, range: DateRange) -> bool {
    row.date("end_date").is_some_and(|end| end >= range.from)
        || row
            .list("visits")
            .iter()
            .filter_map(|visit| visit.date("start_date"))
            .any(|date| range.contains(date))
}

fn incomplete(found: &Found) -> Option<String> {
    match (found.total, found.looked_at) {
        (Total::AtLeast(_), Some((looked_at, length))) => Some(format!(
            "only {looked_at} of {length} jobs of these days were read; ask for fewer days to see all"
        )),
        _ => None,
    }
}

/// One appointment for an answer. `lean` leaves out what a crowded board can do without.
pub fn shown(one: &Appointment, lean: bool) -> Fields {
    let stage = match one.stage {
        Stage::Waiting => "waiting",
        Stage::Travelling => "travelling",
        Stage::Started => "started",
        Stage::Paused => "paused",
        Stage::Done => "done",
        Stage::Dropped => "dropped",
    };
    let mut row = Fields::new()
        .with("job_id", one.job.id("id"))
        .with("number", one.job.text("number"))
        .with("date", one.date.to_string())
        .with("start", one.start.map(job::clock))
        .with("end", one.end.map(job::clock))
        .with("status", one.job.text("status"))
        .with("stage", stage)
        .with("customer", one.job.text("customer_name"))
        .with("city", one.job.text("city"))
        .with_flag("visit", one.is_visit)
        .with("priority", job::unusual_priority(&one.job))
        .with("late", one.late.clone())
        .with("at_risk", one.at_risk.clone())
        .with("overlap", one.overlap.clone());
    if !lean {
        row.put("customer_id", one.job.id("customer_id"));
        row.put("address", one.job.text("street_1"));
        row.put("category", one.job.text("category"));
        row.put(
            "description",
            one.job
                .text("description")
                .map(|text| crate::answer::excerpt(&text, 60)),
        );
    }
    row
}
