//! Who is where when: jobs and return visits as appointments, and what is late, at risk or double-booked.

use jiff::{
    ToSpan, Zoned,
    civil::{Date, Time},
};

use crate::{
    clock::Clock,
    dates::DateRange,
    service_fusion::{record::Record, status::Stage},
};

/// A start that is missed by less than this is not worth a word.
const GRACE_MINUTES: i64 = 15;
/// An unassigned job is at risk when it starts within this time.
const SOON_MINUTES: i64 = 60;

/// A technician on an appointment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub id: i64,
    pub name: String,
}

/// One stay of technicians at a customer's.
#[derive(Clone, Debug)]
pub struct Appointment {
    pub job: Record,
    pub date: Date,
    pub start: Option<Time>,
    pub end: Option<Time>,
    pub technicians: Vec<Assigned>,
    /// A return visit, which the job's own start date does not show.
    pub is_visit: bool,
    pub stage: Stage,
    pub late: Option<String>,
    pub at_risk: Option<String>,
    pub overlap: Option<String>,
}

impl Appointment {
    pub fn number(&self) -> String {
        self.job
            .text("number")
            .or_else(|| self.job.id("id").map(|id| id.to_string()))
            .unwrap_or_default()
    }

    pub fn is_on(&self, technician: i64) -> bool {
        self.technicians
            .iter()
            .any(|assigned| assigned.id == technician)
    }

    /// Hours from start to end, 0 where no time is set.
    pub fn hours(&self) -> f64 {
        match (self.start, self.end) {
            (Some(start), Some(end)) if end > start => f64::from(minutes(start, end)) / 60.0,
            _ => 0.0,
        }
    }

    fn collides(&self, other: &Self) -> bool {
        match (self.start, self.end, other.start, other.end) {
            (Some(start), Some(end), Some(other_start), Some(other_end)) => {
                self.date == other.date && start < other_end && other_start < end
            }
            _ => false,
        }
    }
}

/// Minutes from `start` to `end`.
pub fn minutes(start: Time, end: Time) -> i32 {
    let of = |time: Time| i32::from(time.hour()) * 60 + i32::from(time.minute());
    of(end) - of(start)
}

/// The appointments of these jobs that fall into `range`, in order, with everything that is wrong marked.
pub fn appointments(jobs: &[Record], range: DateRange, now: &Zoned) -> Vec<Appointment> {
    let mut all: Vec<Appointment> = jobs
        .iter()
        .flat_map(|job| of_job(job, range))
        .filter(|appointment| appointment.stage != Stage::Dropped)
        .collect();
    all.sort_by_key(|appointment| {
        (
            appointment.date,
            appointment.start,
            appointment.job.id("id"),
        )
    });
    let marks: Vec<_> = all
        .iter()
        .map(|one| {
            (
                lateness(one, now),
                risk(one, &all, now),
                double_booking(one, &all),
            )
        })
        .collect();
    for (one, (late, at_risk, overlap)) in all.iter_mut().zip(marks) {
        one.at_risk = at_risk.filter(|_| late.is_none());
        one.late = late;
        one.overlap = overlap;
    }
    all
}

fn of_job(job: &Record, range: DateRange) -> Vec<Appointment> {
    let stage = Stage::of(&job.text("status").unwrap_or_default());
    let own_technicians = assigned(job);
    let make = |date: Date, source: &Record, technicians: Vec<Assigned>, is_visit: bool| {
        let start = source.time("time_frame_promised_start");
        Appointment {
            job: job.clone(),
            date,
            start,
            end: end(source, start),
            technicians,
            is_visit,
            stage,
            late: None,
            at_risk: None,
            overlap: None,
        }
    };
    let first_day = job.date("start_date");
    let mut planned: Vec<Appointment> = job
        .list("visits")
        .iter()
        .filter_map(|visit| {
            let date = visit
                .date("start_date")
                .filter(|date| range.contains(*date))?;
            let technicians = Some(assigned(visit)).filter(|some| !some.is_empty());
            let technicians = technicians.unwrap_or_else(|| own_technicians.clone());
            Some(make(date, visit, technicians, first_day != Some(date)))
        })
        .collect();
    let Some(first_day) = first_day else {
        return planned;
    };
    // A job over several days is on the board on each of them.
    let last_day = job
        .date("end_date")
        .filter(|end| *end > first_day)
        .unwrap_or(first_day);
    let mut day = first_day.max(range.from);
    while day <= last_day.min(range.to) {
        if !planned.iter().any(|appointment| appointment.date == day) {
            planned.push(make(day, job, own_technicians.clone(), false));
        }
        match day.checked_add(1.day()) {
            Ok(next) => day = next,
            Err(_) => break,
        }
    }
    planned
}

fn assigned(record: &Record) -> Vec<Assigned> {
    record
        .list("techs_assigned")
        .iter()
        .filter_map(|technician| {
            Some(Assigned {
                id: technician.id("id")?,
                name: technician
                    .name("first_name", "last_name")
                    .unwrap_or_default(),
            })
        })
        .collect()
}

/// The promised end, or the start and the planned duration.
fn end(source: &Record, start: Option<Time>) -> Option<Time> {
    let start = start?;
    let promised = source
        .time("time_frame_promised_end")
        .filter(|end| *end > start);
    promised.or_else(|| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a planned duration is at most a day in seconds"
        )]
        let seconds = source.number("duration").filter(|seconds| *seconds > 0.0)? as i64;
        let end = start.checked_add(seconds.min(86_400).seconds()).ok();
        Some(
            end.filter(|end| *end > start)
                .unwrap_or(Time::constant(23, 59, 0, 0)),
        )
    })
}

fn lateness(one: &Appointment, now: &Zoned) -> Option<String> {
    if !matches!(one.stage, Stage::Waiting | Stage::Travelling) {
        return None;
    }
    let today = now.date();
    if one.date < today {
        let days = Clock::days_between(one.date, today);
        return Some(format!("not started, planned {days} d ago"));
    }
    if one.date > today {
        return None;
    }
    let clock = now.time();
    let overdue = |since: Time| i64::from(minutes(since, clock));
    match (one.start, one.end) {
        (_, Some(end)) if overdue(end) > 0 => Some(format!(
            "not started, window ended {} ago",
            spoken(overdue(end))
        )),
        (Some(start), None) if overdue(start) > GRACE_MINUTES => Some(format!(
            "not started, was due {} ago",
            spoken(overdue(start))
        )),
        _ => None,
    }
}

fn risk(one: &Appointment, all: &[Appointment], now: &Zoned) -> Option<String> {
    let start = one.start?;
    if one.stage != Stage::Waiting || one.date != now.date() {
        return None;
    }
    let until = i64::from(minutes(now.time(), start));
    if one.technicians.is_empty() {
        return (until <= SOON_MINUTES).then(|| match until {
            ..=0 => "has started without a technician".to_owned(),
            _ => format!("starts in {} without a technician", spoken(until)),
        });
    }
    all.iter()
        .filter(|other| {
            other.date == one.date && other.stage.is_open() && other.stage != Stage::Paused
        })
        .filter(|other| other.start.is_some_and(|earlier| earlier < start))
        .find_map(|other| {
            let shared = one
                .technicians
                .iter()
                .find(|technician| other.is_on(technician.id))?;
            let runs_over = other.end.is_some_and(|end| end > start) || now.time() > start;
            let busy = matches!(other.stage, Stage::Started | Stage::Travelling)
                && other.end.is_some_and(|end| now.time() > end);
            (runs_over || busy)
                .then(|| format!("{} is not done with job {}", shared.name, other.number()))
        })
}

fn double_booking(one: &Appointment, all: &[Appointment]) -> Option<String> {
    if !one.stage.is_open() {
        return None;
    }
    all.iter()
        .filter(|other| {
            other.job.id("id") != one.job.id("id") && other.stage.is_open() && one.collides(other)
        })
        .find(|other| {
            one.technicians
                .iter()
                .any(|technician| other.is_on(technician.id))
        })
        .map(|other| format!("overlaps job {}", other.number()))
}

fn spoken(minutes: i64) -> String {
    if minutes < 120 {
        format!("{minutes} min")
    } else {
        format!("{} h", minutes / 60)
    }
}

/// The free stretches of a day between `from` and `to`, at least half an hour each.
pub fn gaps(appointments: &[&Appointment], from: Time, to: Time) -> Vec<(Time, Time)> {
    let mut busy: Vec<(Time, Time)> = appointments
        .iter()
        .filter_map(|appointment| {
            Some((appointment.start?, appointment.end.or(appointment.start)?))
        })
        .collect();
    busy.sort();
    let mut free = Vec::new();
    let mut cursor = from;
    for (start, end) in busy {
        if start > cursor && minutes(cursor, start.min(to)) >= 30 {
            free.push((cursor, start.min(to)));
        }
        cursor = cursor.max(end);
    }
    if minutes(cursor, to) >= 30 {
        free.push((cursor, to));
    }
    free
}

/// Whether nothing is booked in a window.
pub fn is_free(appointments: &[&Appointment], from: Time, to: Time) -> bool {
    appointments
        .iter()
        .filter(|appointment| appointment.stage != Stage::Done)
        .all(|appointment| match (appointment.start, appointment.end) {
            (Some(start), Some(end)) => end <= from || start >= to,
            (Some(start), None) => start < from || start >= to,
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use jiff::{civil::date, tz::TimeZone};
    use serde_json::{Value, json};

    use super::*;

    const TODAY: Date = date(2026, 11, 22);

    fn at(hour: i8, minute: i8) -> Zoned {
        TODAY
            .at(hour, minute, 0, 0)
            .to_zoned(TimeZone::UTC)
            .unwrap()
    }

    fn job(id: i64, status: &str, start: &str, end: &str, technician: Option<i64>) -> Record {
        let technicians: Vec<Value> = technician
            .map(|id| json!({"id": id, "first_name": "Sam", "last_name": "Ortiz"}))
            .into_iter()
            .collect();
        Record::new(json!({
            "id": id, "number": id.to_string(), "status": status, "start_date": "2026-11-22",
            "time_frame_promised_start": start, "time_frame_promised_end": end, "duration": 3600,
            "techs_assigned": technicians
        }))
    }

    fn plan(jobs: &[Record], now: &Zoned) -> Vec<Appointment> {
        appointments(jobs, DateRange::day(TODAY), now)
    }

    #[test]
    fn a_job_that_nobody_started_in_its_window_is_late() {
        let plan = plan(
            &[
                job(1, "Scheduled", "09:00", "11:00", Some(7)),
                job(2, "Completed", "09:00", "11:00", Some(7)),
            ],
            &at(11, 45),
        );
        assert_eq!(
            plan[0].late.as_deref(),
            Some("not started, window ended 45 min ago")
        );
        assert_eq!(plan[1].late, None);
    }

    #[test]
    fn a_technician_who_is_still_elsewhere_puts_the_next_job_at_risk() {
        let plan = plan(
            &[
                job(1, "On Site", "09:00", "11:00", Some(7)),
                job(2, "Scheduled", "11:30", "13:00", Some(7)),
            ],
            &at(11, 40),
        );
        assert_eq!(
            plan[1].at_risk.as_deref(),
            Some("Sam Ortiz is not done with job 1")
        );
        assert_eq!(plan[0].at_risk, None);
    }

    #[test]
    fn an_unassigned_job_that_starts_soon_is_at_risk() {
        let plan = plan(&[job(1, "Scheduled", "12:00", "13:00", None)], &at(11, 30));
        assert_eq!(
            plan[0].at_risk.as_deref(),
            Some("starts in 30 min without a technician")
        );
    }

    #[test]
    fn two_open_jobs_of_one_technician_at_one_time_overlap() {
        let plan = plan(
            &[
                job(1, "Scheduled", "14:00", "16:00", Some(7)),
                job(2, "Scheduled", "15:00", "17:00", Some(7)),
                job(3, "Scheduled", "15:00", "17:00", Some(8)),
            ],
            &at(8, 0),
        );
        assert_eq!(plan[0].overlap.as_deref(), Some("overlaps job 2"));
        assert_eq!(plan[1].overlap.as_deref(), Some("overlaps job 1"));
        assert_eq!(plan[2].overlap, None);
    }

    #[test]
    fn a_return_visit_is_on_the_board_of_its_day() {
        let mut old = job(1, "Waiting for Parts", "09:00", "10:00", Some(7));
        old.0["start_date"] = json!("2026-11-02");
        old.0.insert("visits".into(), json!([{"start_date": "2026-11-22", "time_frame_promised_start": "13:00", "duration": 5400,
            "techs_assigned": [{"id": 9, "first_name": "Ana", "last_name": "Ruiz"}]}]));
        let plan = plan(&[old], &at(8, 0));
        assert_eq!(plan.len(), 1);
        assert!(plan[0].is_visit);
        assert_eq!(plan[0].technicians[0].name, "Ana Ruiz");
        assert_eq!(plan[0].end, Some(Time::constant(14, 30, 0, 0)));
    }

    #[test]
    fn gaps_and_free_windows_are_found() {
        let plan = plan(
            &[
                job(1, "Scheduled", "09:00", "11:00", Some(7)),
                job(2, "Scheduled", "14:00", "15:00", Some(7)),
            ],
            &at(8, 0),
        );
        let all: Vec<&Appointment> = plan.iter().collect();
        let time = |hour| Time::constant(hour, 0, 0, 0);
        assert_eq!(
            gaps(&all, time(8), time(17)),
            [
                (time(8), time(9)),
                (time(11), time(14)),
                (time(15), time(17))
            ]
        );
        assert!(is_free(&all, time(11), time(14)));
        assert!(!is_free(&all, time(13), time(15)));
    }
}
