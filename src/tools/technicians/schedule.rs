//! `get_technician_schedule`.

use jiff::{
    ToSpan,
    civil::{Date, Time},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{Fields, job},
    dates::{DateRange, parse_time},
    schedule::{self, Appointment},
    server::{
        appointments,
        call::Call,
        lookup::{self, Technician},
        tool::{Tool, list_output},
        tool_error::{ToolError, date_argument},
    },
};

const DESCRIPTION: &str = "When technicians are booked and free: per technician and day the appointments, booked hours, free gaps and double bookings. With free_from \
it says who is free then, those with a job in the same city first. For a whole day with late and unassigned jobs use get_dispatch_board.";

/// Hours that count as working time where the caller names none; the API knows no working hours.
const WORKDAY: (Time, Time) = (Time::constant(8, 0, 0, 0), Time::constant(17, 0, 0, 0));

#[derive(Deserialize, JsonSchema)]
struct GetTechnicianSchedule {
    /// One technician by name or id (all if left out).
    technician: Option<String>,
    /// Day or range of at most 14 days (today if left out).
    date: Option<String>,
    /// Start of the window that must be free: 14:00, 2 pm.
    free_from: Option<String>,
    /// Length of that window in minutes (60 if left out).
    #[schemars(range(min = 15, max = 720))]
    free_minutes: Option<i64>,
    /// City or street of the customer: technicians with a job there that day come first.
    near: Option<String>,
    /// Only technicians of this department.
    department: Option<String>,
}

pub(super) fn tool() -> Tool {
    Tool::read(
        "get_technician_schedule",
        "Technicians' schedule",
        DESCRIPTION,
        || list_output("technicians"),
        schedule,
    )
}

async fn schedule(call: Call, arguments: GetTechnicianSchedule) -> Result<Fields, ToolError> {
    let text = arguments.date.as_deref().unwrap_or("today");
    let range = DateRange::parse(text, call.today()).map_err(date_argument("date"))?;
    let window = window(&arguments)?;
    let who = who(&call, &arguments).await?;
    let plan = appointments::read(&call, "date", range).await?;
    let near = arguments.near.as_deref();
    let mut rows: Vec<(Rank, Fields)> = who
        .iter()
        .map(|technician| {
            let own: Vec<&Appointment> = plan
                .appointments
                .iter()
                .filter(|one| one.is_on(technician.id))
                .collect();
            person(technician, &own, range, window, near)
        })
        .collect();
    rows.sort_by_key(|(rank, _)| *rank);
    let total = rows.len();
    let answer = Fields::new()
        .with("dates", format!("{} to {}", range.from, range.to))
        .with("time_zone", call.clock().zone_name())
        .with(
            "window",
            window.map(|(from, to)| format!("{}-{}", job::clock(from), job::clock(to))),
        )
        .with_list(
            "technicians",
            rows.into_iter().map(|(_, row)| row).collect(),
        )
        .with("total", total)
        .with(
            "gaps_are_within",
            format!("{}-{}", job::clock(WORKDAY.0), job::clock(WORKDAY.1)),
        )
        .with("incomplete", plan.note);
    Ok(answer)
}

fn window(arguments: &GetTechnicianSchedule) -> Result<Option<(Time, Time)>, ToolError> {
    let Some(text) = &arguments.free_from else {
        return match arguments.free_minutes {
            None => Ok(None),
            Some(_) => Err(ToolError::argument(
                "free_minutes",
                "needs free_from, the time at which the window starts",
            )),
        };
    };
    let from = parse_time(text).map_err(date_argument("free_from"))?;
    let minutes = arguments.free_minutes.unwrap_or(60);
    let to = from
        .checked_add(minutes.minutes())
        .ok()
        .filter(|to| *to > from);
    let to =
        to.ok_or_else(|| ToolError::argument("free_minutes", "the window reaches past midnight"))?;
    Ok(Some((from, to)))
}

async fn who(call: &Call, arguments: &GetTechnicianSchedule) -> Result<Vec<Technician>, ToolError> {
    if let Some(said) = &arguments.technician {
        return Ok(vec![lookup::technician(call, "technician", said).await?]);
    }
    let mut all = lookup::technicians(call).await?;
    all.retain(|technician| technician.is_field_worker);
    match &arguments.department {
        Some(department) => lookup::in_department(&all, department),
        None => Ok(all),
    }
}

/// Who comes first: free, then near, then least booked.
type Rank = (bool, bool, u32);

fn person(
    technician: &Technician,
    own: &[&Appointment],
    range: DateRange,
    window: Option<(Time, Time)>,
    near: Option<&str>,
) -> (Rank, Fields) {
    let days: Vec<Date> = range
        .from
        .series(1.day())
        .take_while(|day| *day <= range.to)
        .collect();
    let on = |day: Date| {
        own.iter()
            .copied()
            .filter(|one| one.date == day)
            .collect::<Vec<_>>()
    };
    let free_days: Vec<Date> = window.map_or_else(Vec::new, |(from, to)| {
        days.iter()
            .copied()
            .filter(|day| schedule::is_free(&on(*day), from, to))
            .collect()
    });
    let nearby = near.and_then(|place| own.iter().find(|one| lookup::is_at(&one.job, place)));
    let hours: f64 = own.iter().fold(0.0, |sum, one| sum + one.hours());
    let mut row = Fields::new()
        .with("technician_id", technician.id)
        .with("name", technician.name.clone())
        .with("department", technician.department.clone())
        .with("booked_hours", (hours * 10.0).round() / 10.0);
    if window.is_some() {
        row.put("is_free", free_days.len() == days.len());
        if days.len() > 1 {
            row.put(
                "free_on",
                free_days
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            );
        }
    }
    row.put(
        "near",
        nearby.map(|one| {
            format!(
                "job {} in {}",
                one.number(),
                one.job.text("city").unwrap_or_default()
            )
        }),
    );
    let rows: Vec<Fields> = days
        .iter()
        .map(|day| one_day(*day, &on(*day), days.len() > 1))
        .collect();
    let row = match <[Fields; 1]>::try_from(rows) {
        Ok([only]) => Fields(row.0.into_iter().chain(only.0).collect()),
        Err(several) => row.with_list("days", several),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "booked hours are small and positive"
    )]
    let booked = (hours * 60.0) as u32;
    (
        (
            window.is_some() && free_days.is_empty(),
            near.is_some() && nearby.is_none(),
            booked,
        ),
        row,
    )
}

fn one_day(day: Date, own: &[&Appointment], with_date: bool) -> Fields {
    let gaps: Vec<String> = schedule::gaps(own, WORKDAY.0, WORKDAY.1)
        .into_iter()
        .map(|(from, to)| format!("{}-{}", job::clock(from), job::clock(to)))
        .collect();
    let appointments = own
        .iter()
        .map(|one| {
            Fields::new()
                .with(
                    "time",
                    one.start.map(|start| match one.end {
                        Some(end) => format!("{}-{}", job::clock(start), job::clock(end)),
                        None => job::clock(start),
                    }),
                )
                .with("job_id", one.job.id("id"))
                .with("number", one.job.text("number"))
                .with("customer", one.job.text("customer_name"))
                .with("city", one.job.text("city"))
                .with("status", one.job.text("status"))
                .with("overlap", one.overlap.clone())
                .with_flag("visit", one.is_visit)
        })
        .collect();
    Fields::new()
        .with("date", with_date.then(|| day.to_string()))
        .with("gaps", gaps)
        .with_list("appointments", appointments)
}
