//! The jobs of the past months and the coming weeks.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use serde_json::{Map, json};

use crate::sandbox::company::Company;
use crate::sandbox::company::catalogue::{WORKS, Work};
use crate::sandbox::company::plan::{Plan, Return};
use crate::sandbox::company::setting::Setting;
use crate::sandbox::company::staff;

const PAST_DAYS: i64 = 150;
const COMING_DAYS: i64 = 21;
/// Four slots a day that never overlap.
const WINDOWS: [(i64, i64); 4] = [
    (8 * 60, 10 * 60),
    (10 * 60, 12 * 60),
    (13 * 60, 15 * 60),
    (15 * 60, 17 * 60),
];

pub(crate) fn plans(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let mut plans = Vec::new();
    for offset in (-PAST_DAYS..0).chain(1..=COMING_DAYS) {
        let count = jobs_on(setting, offset);
        for slot in 0..count {
            plans.push(on_day(company, setting, offset, slot));
        }
    }
    plans.extend(return_visits(company, setting));
    plans.extend(unscheduled(company, setting));
    plans.extend(multi_day(company, setting));
    plans
}

fn jobs_on(setting: &mut Setting, offset: i64) -> usize {
    let (fewest, most) = match setting.day(offset).weekday() {
        Weekday::Sunday => (0, 1),
        Weekday::Saturday => (1, 2),
        _ if offset > 7 => (0, 2),
        _ => (2, WINDOWS.len()),
    };
    fewest + setting.random.index(most - fewest + 1)
}

fn on_day(company: &Company, setting: &mut Setting, offset: i64, slot: usize) -> Plan {
    let work = setting.random.pick(&WORKS);
    let status = if offset < 0 {
        past_status(setting, offset)
    } else {
        "Scheduled"
    };
    let mut plan = plan(company, setting, work, status);
    let day = usize::try_from(offset + PAST_DAYS).unwrap_or_default();
    let crew = staff::of_trade(work.trade);
    // One technician per slot and day: nobody is in two places unless a plan says so.
    plan.techs = vec![crew[(day + slot) % crew.len()]];
    if work.category == "Service Call" && setting.random.chance(12) {
        plan.instead.insert("category".into(), json!("Emergency"));
        plan.instead.insert("priority".into(), json!("High"));
    }
    if work.category == "Install" {
        plan.techs.push(crew[(day + slot + 1) % crew.len()]);
    }
    if offset > 3 && slot == 1 {
        plan.techs.clear();
    }
    plan.start = Some(setting.day(offset));
    plan.window = Some(WINDOWS[slot % WINDOWS.len()]);
    let ahead = setting.random.between(1, 7);
    plan.created = setting.office_moment((offset - ahead).min(-1));
    plan
}

/// The older a job, the more of it is closed and paid.
fn past_status(setting: &mut Setting, offset: i64) -> &'static str {
    let percent = setting.random.between(0, 100);
    let (completed, uninvoiced, unpaid) = match offset {
        -4.. => (40, 65, 85),
        -50.. => (4, 8, 28),
        _ => (4, 6, 13),
    };
    match percent {
        _ if percent < completed => "Completed",
        _ if percent < uninvoiced => "To Be Invoiced",
        _ if percent < unpaid => "Invoiced",
        86.. => "Cancelled",
        84..86 => "Partially Completed",
        77..84 => "Job Closed",
        _ => "Paid in Full",
    }
}

/// A plan for any customer who has somewhere to go to, without a date.
pub(crate) fn plan(
    company: &Company,
    setting: &mut Setting,
    work: &'static Work,
    status: &'static str,
) -> Plan {
    let customers = company.customers.records();
    let mut customer = setting.random.index(customers.len());
    if customers[customer].get("locations")[0].is_null() {
        customer = 0;
    }
    let places = customers[customer]
        .get("locations")
        .as_array()
        .map_or(1, Vec::len);
    Plan {
        created: setting.now,
        start: None,
        window: None,
        status,
        work,
        customer,
        location: setting.random.index(places),
        techs: Vec::new(),
        returns: Vec::new(),
        instead: Map::new(),
    }
}

/// Begun days ago; the way to the next visit leads through `visits` only.
fn return_visits(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let waits = [
        (
            -9,
            "Waiting for Parts",
            8,
            0,
            (14 * 60, 16 * 60),
            0,
            "Ignitor for model F9 arrived, second visit",
        ),
        (
            -6,
            "On Hold",
            4,
            1,
            (17 * 60, 18 * 60),
            6,
            "Finish the water heater, valve is on the truck",
        ),
        (
            -12,
            "Parts on Order",
            15,
            1,
            (17 * 60, 18 * 60 + 30),
            3,
            "Bring the new line set",
        ),
    ];
    let plans = waits.map(|(began, status, work, returns_on, window, tech, note)| {
        let mut plan = plan(company, setting, &WORKS[work], status);
        plan.created = setting.office_moment(began - 1);
        plan.start = Some(setting.day(began));
        plan.window = Some(WINDOWS[1]);
        plan.techs = vec![tech];
        plan.returns = vec![Return {
            date: setting.day(returns_on),
            window,
            tech,
            note,
        }];
        plan
    });
    plans.into()
}

fn unscheduled(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let waiting = [(-2, 10), (-1, 6), (-5, 12), (-11, 22), (-16, 3), (0, 19)];
    let plans = waiting.map(|(called, work)| {
        let mut plan = plan(company, setting, &WORKS[work], "Unscheduled");
        plan.created = setting.office_moment(called);
        plan.instead
            .insert("called_in_by".into(), json!("Tenant, prefers afternoons"));
        plan
    });
    plans.into()
}

fn multi_day(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let spans = [
        (-1, 2, 18, "Started", [8, 8]),
        (-40, 3, 18, "Paid in Full", [7, 8]),
        (6, 2, 20, "Scheduled", [2, 3]),
    ];
    let plans = spans.map(|(began, days, work, status, techs)| {
        let mut plan = plan(company, setting, &WORKS[work], status);
        let start = working_day(setting.day(began), began > 0);
        plan.created = setting.office_moment(began.min(0) - 12);
        plan.start = Some(start);
        plan.window = Some((8 * 60, 16 * 60));
        plan.techs = techs.into();
        plan.techs.dedup();
        let end = start.saturating_add(days.days());
        plan.instead
            .insert("end_date".into(), json!(end.to_string()));
        plan
    });
    plans.into()
}

/// Big installs do not begin on a Sunday; what has begun stays where it is.
fn working_day(date: Date, can_move: bool) -> Date {
    let is_sunday = date.weekday() == Weekday::Sunday;
    if is_sunday && can_move {
        date.saturating_add(1.days())
    } else {
        date
    }
}
