//! The company itself: whatever the hour, its board shows every state.

use jiff::civil::{DateTime, date};

use crate::sandbox::company::Company;
use crate::sandbox::company::setting::clock_time;
use crate::sandbox::table::Record;

fn at(hour: i8, minute: i8) -> DateTime {
    date(2026, 3, 11).at(hour, minute, 0, 0)
}

fn on_board(company: &Company) -> Vec<&Record> {
    company
        .jobs
        .records()
        .iter()
        .filter(|job| job.text("start_date") == "2026-03-11")
        .collect()
}

fn is_waiting(job: &Record) -> bool {
    matches!(job.text("status"), "Scheduled" | "Dispatched")
}

#[test]
fn the_company_has_its_size() {
    let company = Company::new(at(10, 0), 0);

    assert_eq!(company.customers.records().len(), 141);
    assert_eq!(company.estimates.records().len(), 90);
    assert_eq!(company.calendar_tasks.records().len(), 18);
    let sizes =
        [&company.jobs, &company.invoices, &company.equipment].map(|table| table.records().len());
    assert!((390..450).contains(&sizes[0]), "{sizes:?}");
    assert!((210..260).contains(&sizes[1]), "{sizes:?}");
    assert!((150..190).contains(&sizes[2]), "{sizes:?}");
}

#[test]
fn every_state_is_on_the_board_at_any_hour() {
    for hour in [0, 1, 3, 7, 9, 12, 15, 18, 21, 23] {
        let now = at(hour, 20);
        let company = Company::new(now, 0);
        let board = on_board(&company);

        assert!(
            (14..=18).contains(&board.len()),
            "{} jobs at {now}",
            board.len()
        );
        for status in [
            "Completed",
            "On Site",
            "On The Way",
            "Dispatched",
            "Scheduled",
            "Unscheduled",
        ] {
            assert!(
                board.iter().any(|job| job.text("status") == status),
                "no {status} at {now}"
            );
        }
        let unassigned = board.iter().filter(|job| {
            job.get("techs_assigned")
                .as_array()
                .is_some_and(Vec::is_empty)
        });
        assert_eq!(unassigned.count(), 3);
    }
}

#[test]
fn two_visits_are_late_at_any_hour() {
    for hour in [0, 1, 2, 12, 23] {
        for minute in [0, 5, 31, 59] {
            let company = Company::new(at(hour, minute), 0);
            let now = format!(
                "2026-03-11 {}",
                clock_time(i64::from(hour) * 60 + i64::from(minute))
            );
            let end = |job: &Record| {
                format!(
                    "{} {}",
                    job.text("start_date"),
                    job.text("time_frame_promised_end")
                )
            };
            let is_late = |job: &&Record| {
                is_waiting(job) && !job.text("time_frame_promised_end").is_empty() && end(job) < now
            };

            let late = company.jobs.records().iter().filter(is_late).count();

            assert!(late >= 2, "{late} late at {now}");
        }
    }
}

#[test]
fn ids_rise_with_time_and_the_same_clock_makes_the_same_company() {
    let (first, second) = (Company::new(at(9, 0), 3), Company::new(at(9, 0), 3));

    for (left, right) in first.jobs.records().iter().zip(second.jobs.records()) {
        for (index, _) in left.resource.columns().enumerate() {
            assert_eq!(left.at(index), right.at(index));
        }
    }
    assert!(first.jobs.records().is_sorted_by_key(Record::id));
    assert!(first.invoices.records().is_sorted_by_key(Record::id));
}

#[test]
fn nothing_is_called_in_or_closed_in_the_future() {
    let company = Company::new(at(10, 0), 0);

    for table in [
        &company.jobs,
        &company.estimates,
        &company.invoices,
        &company.customers,
    ] {
        for record in table.records() {
            for name in ["created_at", "updated_at", "closed_at"] {
                assert!(
                    record.text(name) <= "2026-03-11T10:00:00+00:00",
                    "{name} of {}",
                    record.id()
                );
            }
        }
    }
}

#[test]
fn extra_jobs_belong_to_one_manager() {
    let company = Company::new(at(10, 0), 500);
    let ours = |job: &&Record| job.text("customer_name") == "Metroplex Property Partners";

    assert!(company.jobs.records().iter().filter(ours).count() >= 500);
}
