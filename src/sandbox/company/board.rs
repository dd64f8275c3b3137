//! Today's dispatch board: every state at once, whatever the hour.

use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::json;

use crate::sandbox::company::Company;
use crate::sandbox::company::catalogue::{WORKS, Work};
use crate::sandbox::company::history;
use crate::sandbox::company::plan::Plan;
use crate::sandbox::company::setting::Setting;

const LAST_MINUTE: i64 = 24 * 60 - 1;
/// Those after them are the odd ones.
const ORDINARY_CUSTOMERS: usize = 128;

pub(crate) fn plans(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let mut plans = planned_visits(company, setting);
    plans.extend(moving_visits(company, setting));
    plans.extend(late_emergencies(company, setting));
    plans.extend(unassigned(company, setting));
    send_to_different_customers(company, &mut plans);
    plans
}

/// One visit each, and all of them to ordinary accounts.
fn send_to_different_customers(company: &Company, plans: &mut [Plan]) {
    let dental = position_of(company, "Elm Street Dental");
    let mut visited = vec![dental];
    for plan in plans.iter_mut().filter(|plan| plan.customer != dental) {
        while visited.contains(&plan.customer) || plan.customer >= ORDINARY_CUSTOMERS {
            plan.customer = (plan.customer + 1) % ORDINARY_CUSTOMERS;
            plan.location = 0;
        }
        visited.push(plan.customer);
    }
}

/// Ordinary appointments; the hour of the day decides how far they are.
fn planned_visits(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let visits = [
        (0, 8 * 60, 2),
        (0, 10 * 60, 7),
        (7, 8 * 60, 12),
        (7, 13 * 60, 3),
    ];
    let mut plans: Vec<Plan> = visits
        .into_iter()
        .map(|(tech, start, work)| {
            let status = status_at(setting.minute_of_day(), start, start + 120);
            let mut plan = today(
                company,
                setting,
                &WORKS[work],
                status,
                Some((start, start + 120)),
            );
            plan.techs = vec![tech];
            plan
        })
        .collect();
    if let Some(dental) = plans.last_mut() {
        dental.customer = position_of(company, "Elm Street Dental");
        dental.location = 0;
    }
    plans
}

fn status_at(now: i64, start: i64, end: i64) -> &'static str {
    if now >= end {
        "Completed"
    } else if now >= start {
        "On Site"
    } else if now >= start - 60 {
        "Dispatched"
    } else {
        "Scheduled"
    }
}

/// Visits told from this minute, so that every state is there at any hour.
fn moving_visits(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let now = setting.minute_of_day();
    let visits = [
        // Technician 2 is still on a job that should be over when the next one begins.
        ("On Site", 2, 0, now - 120, now - 10),
        ("Scheduled", 2, 23, now + 10, now + 130),
        ("Completed", 5, 1, now - 240, now - 180),
        ("On Site", 5, 16, now - 45, now + 45),
        ("On The Way", 6, 6, now + 10, now + 100),
        ("Dispatched", 6, 14, now + 110, now + 200),
        // Technician 1 cannot be at both of these.
        ("Scheduled", 1, 11, now + 150, now + 270),
        ("Scheduled", 1, 15, now + 210, now + 330),
    ];
    let plans = visits.map(|(status, tech, work, start, end)| {
        let window = within_today(start, end);
        let mut plan = today(company, setting, &WORKS[work], status, Some(window));
        plan.techs = vec![tech];
        plan
    });
    plans.into()
}

/// Near midnight a window shrinks or moves rather than leave the day.
fn within_today(start: i64, end: i64) -> (i64, i64) {
    let end = end.clamp(15, LAST_MINUTE);
    (start.clamp(0, (end - 15).max(0)), end)
}

/// Promised to be over by now, yet nobody has begun.
fn late_emergencies(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let late = [
        ("Scheduled", 3, 15, 35, "No cooling, infant in the house"),
        ("Dispatched", 4, 10, 75, "Sewage backing up into the tub"),
    ];
    let plans = late.map(|(status, tech, work, minutes_late, description)| {
        let (date, window) = window_ended(setting, minutes_late);
        let mut plan = today(company, setting, &WORKS[work], status, Some(window));
        plan.start = Some(date);
        plan.created = setting.now.saturating_sub((minutes_late + 150).minutes());
        plan.techs = vec![tech];
        plan.instead.insert("category".into(), json!("Emergency"));
        plan.instead.insert("priority".into(), json!("High"));
        plan.instead.insert(
            "description".into(),
            json!(format!("AFTER HOURS: {description}")),
        );
        plan
    });
    plans.into()
}

/// In the first hours of a day the window is cut short, in its first minutes it is yesterday's.
fn window_ended(setting: &Setting, minutes_late: i64) -> (Date, (i64, i64)) {
    let now = setting.minute_of_day();
    if now < 4 {
        let end = LAST_MINUTE + 1 - minutes_late;
        return (setting.day(-1), (end - 60, end));
    }
    let end = if now > minutes_late {
        now - minutes_late
    } else {
        now / 2
    };
    (setting.today, ((end - 60).max(0), end))
}

fn unassigned(company: &Company, setting: &mut Setting) -> Vec<Plan> {
    let later = within_today(setting.minute_of_day() + 120, setting.minute_of_day() + 360);
    let open = [
        ("Unscheduled", 10, None),
        ("Unscheduled", 19, None),
        ("Scheduled", 21, Some(later)),
    ];
    open.map(|(status, work, window)| today(company, setting, &WORKS[work], status, window))
        .into()
}

fn today(
    company: &Company,
    setting: &mut Setting,
    work: &'static Work,
    status: &'static str,
    window: Option<(i64, i64)>,
) -> Plan {
    let mut plan = history::plan(company, setting, work, status);
    let called = setting.random.between(-4, 0);
    plan.created = setting.office_moment(called);
    plan.start = Some(setting.today);
    plan.window = window;
    plan
}

pub(crate) fn position_of(company: &Company, name: &str) -> usize {
    company
        .customers
        .records()
        .iter()
        .position(|customer| customer.text("customer_name") == name)
        .unwrap_or_default()
}
