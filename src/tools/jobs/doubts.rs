//! What a dispatcher would ask about a new job's time: has it passed, and is the technician free then?

use jiff::{
    ToSpan,
    civil::{Date, Time},
};

use crate::{
    answer::job,
    dates::DateRange,
    schedule::Appointment,
    server::{appointments, call::Call, lookup::Technician},
};

/// When a new job is planned, and who is to do it.
pub(super) struct Planned {
    pub(super) technicians: Vec<Technician>,
    pub(super) date: Option<Date>,
    pub(super) start: Option<Time>,
    /// The promised end, or the start and the planned duration.
    pub(super) end: Option<Time>,
}

impl Planned {
    /// In words, for the user. A doubt does not stop the job: people book over one another on purpose.
    pub(super) async fn doubts(&self, call: &Call) -> Vec<String> {
        let mut doubts: Vec<String> = self.past(call).into_iter().collect();
        let office = self.technicians.iter().filter(|one| !one.is_field_worker);
        doubts.extend(office.map(|one| format!("{} is not marked as a field worker", one.name)));
        if let (Some(date), Some(start), Some(end)) = (self.date, self.start, self.end)
            && !self.technicians.is_empty()
        {
            doubts.extend(self.double_bookings(call, date, (start, end)).await);
        }
        doubts
    }

    pub(super) fn names(&self) -> String {
        let names = self.technicians.iter().map(|one| one.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    fn past(&self, call: &Call) -> Option<String> {
        let (date, now) = (self.date?, call.clock().now());
        if date < now.date() {
            return Some(format!("{date} has passed"));
        }
        let start = self
            .start
            .filter(|start| date == now.date() && *start < now.time())?;
        Some(format!("{} today has passed", job::clock(start)))
    }

    async fn double_bookings(&self, call: &Call, date: Date, window: (Time, Time)) -> Vec<String> {
        let day = DateRange {
            from: date,
            to: date,
        };
        let Ok(plan) = appointments::read(call, "date", day).await else {
            return vec!["whether the technicians are free then could not be read".to_owned()];
        };
        let open = || plan.appointments.iter().filter(|one| one.stage.is_open());
        self.technicians
            .iter()
            .flat_map(|technician| {
                open()
                    .filter(|one| one.is_on(technician.id))
                    .filter_map(|one| collision(one, window))
                    .map(|other| format!("{} has {other}", technician.name))
            })
            .collect()
    }
}

/// The appointment in words, if it reaches into the window.
fn collision(one: &Appointment, (from, to): (Time, Time)) -> Option<String> {
    let start = one.start?;
    let end = one.end.unwrap_or(start);
    let collides = start < to && (from < end || from == start);
    collides.then(|| {
        format!(
            "job {} from {} to {} then",
            one.number(),
            job::clock(start),
            job::clock(end)
        )
    })
}

/// An hour where nothing is said, as Service Fusion plans it; at most until midnight.
pub(super) fn end(start: Option<Time>, end: Option<Time>, minutes: Option<i64>) -> Option<Time> {
    let start = start?;
    end.or_else(|| {
        let planned = start.checked_add(minutes.unwrap_or(60).minutes()).ok();
        Some(
            planned
                .filter(|end| *end > start)
                .unwrap_or(Time::constant(23, 59, 0, 0)),
        )
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    #[test]
    fn a_job_without_an_end_takes_its_planned_minutes_and_ends_by_midnight() {
        let at = |hour, minute| time(hour, minute, 0, 0);
        assert_eq!(end(None, None, Some(90)), None);
        assert_eq!(end(Some(at(9, 0)), None, None), Some(at(10, 0)));
        assert_eq!(end(Some(at(9, 0)), None, Some(90)), Some(at(10, 30)));
        assert_eq!(
            end(Some(at(9, 0)), Some(at(12, 0)), Some(90)),
            Some(at(12, 0))
        );
        assert_eq!(end(Some(at(23, 30)), None, Some(90)), Some(at(23, 59)));
    }
}
