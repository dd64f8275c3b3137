//! The dispatch board.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::{Fields, json_length},
    dates::DateRange,
    schedule::Appointment,
    server::{
        appointments,
        call::Call,
        lookup::{self, Technician},
        resources::BOARD_URI,
        tool::Tool,
        tool_error::{ToolError, date_argument},
    },
    service_fusion::status::Stage,
};

const DESCRIPTION: &str = "The dispatch board of a day or week in one call: jobs and return visits by technician, unassigned ones, and which are late, at risk or \
double-booked right now, with the reason. Clients that show MCP Apps render it as a board. For free time windows use get_technician_schedule; \
to page through jobs by other criteria use search_jobs.";

#[derive(Deserialize, JsonSchema)]
struct GetDispatchBoard {
    /// Day or range of at most 14 days: today (if left out), tomorrow, this week, 2026-11-22.
    date: Option<String>,
    /// Only this technician, by name or id.
    technician: Option<String>,
    /// Only technicians of this department.
    department: Option<String>,
}

pub(super) fn tools() -> Vec<Tool> {
    let board = Tool::read(
        "get_dispatch_board",
        "Dispatch board",
        DESCRIPTION,
        output,
        board,
    )
    .with_view(BOARD_URI);
    vec![board]
}

fn output() -> Value {
    let list = json!({"type": "array", "items": {"type": "object"}});
    json!({
        "type": "object",
        "properties": {"counts": {"type": "object"}, "technicians": list, "unassigned": list}
    })
}

async fn board(call: Call, arguments: GetDispatchBoard) -> Result<Fields, ToolError> {
    let text = arguments.date.as_deref().unwrap_or("today");
    let range = DateRange::parse(text, call.today()).map_err(date_argument("date"))?;
    let only = match &arguments.technician {
        Some(said) => Some(lookup::technician(&call, "technician", said).await?),
        None => None,
    };
    let mut columns = columns(&call, only.as_ref(), arguments.department.as_deref()).await?;
    let plan = appointments::read(&call, "date", range).await?;
    let everyone = only.is_none() && arguments.department.is_none();
    if everyone {
        columns = with_former(columns, &plan.appointments);
    }
    let answer = lay_out(&call, range, &plan, &columns, everyone, false);
    let length = json_length(&answer.0);
    if length <= call.company().max_answer {
        return Ok(answer);
    }
    Ok(lay_out(&call, range, &plan, &columns, everyone, true).with(
        "note",
        "addresses and descriptions are left out to fit; get_job has them",
    ))
}

/// The technicians with a column: field workers, and on a narrowed board whom it names.
async fn columns(
    call: &Call,
    only: Option<&Technician>,
    department: Option<&str>,
) -> Result<Vec<Technician>, ToolError> {
    if let Some(only) = only {
        return Ok(vec![only.clone()]);
    }
    let all = lookup::technicians(call).await?;
    let Some(department) = department else {
        return Ok(all);
    };
    lookup::in_department(&all, department)
}

/// Adds a column for each technician who has an appointment but is no longer in the company's list.
fn with_former(mut columns: Vec<Technician>, appointments: &[Appointment]) -> Vec<Technician> {
    for assigned in appointments.iter().flat_map(|one| &one.technicians) {
        if !columns.iter().any(|known| known.id == assigned.id) {
            columns.push(Technician {
                id: assigned.id,
                name: assigned.name.clone(),
                department: None,
                is_field_worker: true,
            });
        }
    }
    columns
}

fn lay_out(
    call: &Call,
    range: DateRange,
    plan: &appointments::Plan,
    columns: &[Technician],
    everyone: bool,
    lean: bool,
) -> Fields {
    let shown = |one: &Appointment| appointments::shown(one, lean);
    let on_board: Vec<&Appointment> = plan
        .appointments
        .iter()
        .filter(|one| everyone || columns.iter().any(|technician| one.is_on(technician.id)))
        .collect();
    let technicians: Vec<Fields> = columns
        .iter()
        .map(|technician| {
            (
                technician,
                on_board
                    .iter()
                    .filter(|one| one.is_on(technician.id))
                    .collect::<Vec<_>>(),
            )
        })
        // Office staff has a column only when somebody gave them a job.
        .filter(|(technician, jobs)| technician.is_field_worker || !jobs.is_empty())
        .map(|(technician, jobs)| {
            let hours: f64 = jobs.iter().fold(0.0, |sum, one| sum + one.hours());
            Fields::new()
                .with("technician_id", technician.id)
                .with("name", technician.name.clone())
                .with("department", technician.department.clone())
                .with("booked_hours", (hours * 10.0).round() / 10.0)
                .with_list("jobs", jobs.iter().map(|one| shown(one)).collect())
        })
        .collect();
    let unassigned: Vec<Fields> = on_board
        .iter()
        .filter(|one| one.technicians.is_empty() && one.stage.is_open())
        .map(|one| shown(one))
        .collect();
    let now = call.clock().now();
    Fields::new()
        .with("from", range.from.to_string())
        .with("to", range.to.to_string())
        .with("now", now.strftime("%Y-%m-%dT%H:%M").to_string())
        .with("time_zone", call.clock().zone_name())
        .with("counts", counts(&on_board, unassigned.len()))
        .with_list("technicians", technicians)
        .with_list("unassigned", unassigned)
        .with("incomplete", plan.note.clone())
}

fn counts(on_board: &[&Appointment], unassigned: usize) -> Fields {
    let count =
        |test: &dyn Fn(&Appointment) -> bool| on_board.iter().filter(|one| test(one)).count();
    Fields::new()
        .with("jobs", on_board.len())
        .with("unassigned", unassigned)
        .with("late", count(&|one| one.late.is_some()))
        .with("at_risk", count(&|one| one.at_risk.is_some()))
        .with("overlaps", count(&|one| one.overlap.is_some()))
        .with("done", count(&|one| one.stage == Stage::Done))
}

#[cfg(test)]
mod tests {
    use crate::{schedule::appointments, service_fusion::record::Record};

    use super::*;

    #[test]
    fn a_technician_who_left_still_has_a_column() {
        let day = jiff::civil::date(2026, 11, 18);
        let now = day.in_tz("UTC").unwrap();
        let techs = json!([
            {"id": 4, "first_name": "Dana", "last_name": "Whitfield"},
            {"id": 9, "first_name": "Gone", "last_name": "Away"},
        ]);
        let job = json!({"id": 1, "status": "Scheduled", "start_date": "2026-11-18", "techs_assigned": techs});
        let planned = appointments(&[Record::new(job)], DateRange::day(day), &now);
        let dana = Technician {
            id: 4,
            name: "Dana Whitfield".to_owned(),
            department: Some("Plumbing".to_owned()),
            is_field_worker: true,
        };

        let columns = with_former(vec![dana.clone()], &planned);

        assert_eq!(columns.len(), 2);
        assert_eq!(columns[0], dana);
        assert_eq!((columns[1].id, columns[1].name.as_str()), (9, "Gone Away"));
    }
}
