//! `create_job`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    answer::{Fields, job},
    dates::parse_time,
    server::{
        call::Call,
        create::{Draft, Outcome},
        lookup,
        order::{Common, Customer},
        tool::{Tool, record_output},
        tool_error::{ToolError, date_argument},
    },
    service_fusion::query::{JOBS, ListQuery},
    tools::jobs::doubts::{self, Planned},
};

const DESCRIPTION: &str = "Create a job (work order) for an existing customer. Status, category and technicians are checked against the company's own lists first. \
Take customer_id from search_customers or create_customer. `doubts` in the answer says when the time has passed or a technician is booked then. Service Fusion's API cannot change or delete a job afterwards: use dry_run to show \
the user what would be sent. The same job within ten minutes returns the first one.";

#[derive(Deserialize, JsonSchema)]
struct CreateJob {
    /// Customer's id, just read from another answer.
    #[schemars(range(min = 1))]
    customer_id: i64,
    /// What is to be done, in the customer's words.
    #[schemars(length(max = 10_000))]
    description: Option<String>,
    /// Category by name. Example: "Service Call".
    category: Option<String>,
    /// Status by name (the company's default if left out).
    status: Option<String>,
    /// Technicians by name or id.
    #[serde(default)]
    #[schemars(length(max = 20))]
    technicians: Vec<String>,
    /// Priority (normal if left out).
    priority: Option<Priority>,
    /// Day: tomorrow, friday, 2026-11-22. Left out: unscheduled.
    date: Option<String>,
    /// Start of the promised window: 14:00, 2 pm.
    start_time: Option<String>,
    /// End of the promised window.
    end_time: Option<String>,
    /// Planned minutes (60 if left out).
    #[schemars(range(min = 5, max = 1440))]
    duration_minutes: Option<i64>,
    /// Street, when it is not the customer's primary location.
    #[schemars(length(max = 255))]
    street: Option<String>,
    /// City of that street.
    #[schemars(length(max = 255))]
    city: Option<String>,
    /// State of that street.
    #[schemars(length(max = 255))]
    state: Option<String>,
    /// Postal code of that street.
    #[schemars(length(max = 20))]
    postal_code: Option<String>,
    /// Customer's purchase order number.
    #[schemars(length(max = 255))]
    po_number: Option<String>,
    /// Instructions for the technicians.
    tech_notes: Option<String>,
    /// True creates it although the same one was created in the last ten minutes.
    allow_duplicate: Option<bool>,
    /// True sends nothing and returns what would be sent.
    dry_run: Option<bool>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Priority {
    Low,
    Normal,
    High,
}

impl Priority {
    fn word(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Normal => "Normal",
            Self::High => "High",
        }
    }
}

pub(super) fn tool() -> Tool {
    Tool::create(
        "create_job",
        "Create a job",
        DESCRIPTION,
        || record_output("job_id"),
        create,
    )
}

async fn create(call: Call, arguments: CreateJob) -> Result<Fields, ToolError> {
    let customer = Customer::read(&call, arguments.customer_id).await?;
    let description = arguments.description.clone().unwrap_or_default();
    let (body, planned) = body(&call, &arguments).await?;
    let doubts = planned.doubts(&call).await;
    let draft = Draft {
        resource: &JOBS,
        body,
        again: arguments.allow_duplicate.unwrap_or(false),
        dry_run: arguments.dry_run.unwrap_or(false),
    };
    let find = async || {
        let query = ListQuery::new(&JOBS)
            .fields(job::ROW_FIELDS)
            .fields(&["created_at"]);
        customer
            .newest(&call, query, &description, |record| {
                job::row(record, &["created_at"])
            })
            .await
    };
    let outcome = draft.submit(&call, find).await?;
    // The first of two equal jobs is what the second collides with.
    let is_repeated = matches!(outcome, Outcome::Repeated(_));
    let mut answer = customer.answer(outcome, "job", |record| {
        job::row(record, &["street_1", "category"])
    });
    if !is_repeated {
        // Service Fusion's answer names no technicians.
        if answer.0.contains_key("created") && !answer.0.contains_key("technicians") {
            answer.put("technicians", planned.names());
        }
        answer.put("doubts", doubts);
    }
    Ok(answer)
}

async fn body(
    call: &Call,
    arguments: &CreateJob,
) -> Result<(Map<String, Value>, Planned), ToolError> {
    let common = Common {
        category: arguments.category.as_deref(),
        status: arguments.status.as_deref(),
        technicians: &arguments.technicians,
        date: arguments.date.as_deref(),
    };
    let checked = common.check(call).await?;
    let time = |name: &'static str, text: &Option<String>| {
        text.as_deref()
            .map(parse_time)
            .transpose()
            .map_err(date_argument(name))
    };
    let (start, end) = (
        time("start_time", &arguments.start_time)?,
        time("end_time", &arguments.end_time)?,
    );
    if start.is_some() && end.is_some() && end <= start {
        return Err(ToolError::argument(
            "end_time",
            "must be later than start_time",
        ));
    }
    if start.is_none() && end.is_some() {
        return Err(ToolError::argument(
            "start_time",
            "an end_time needs a start_time",
        ));
    }
    if checked.date.is_none() && start.is_some() {
        return Err(ToolError::argument("date", "a time of day needs a date"));
    }
    check_place(arguments)?;
    // The id, as the contract allows: a name may belong to two customers, or be a number.
    let body = Fields::new()
        .with("customer_name", arguments.customer_id.to_string())
        .with("description", arguments.description.clone())
        .with("category", checked.category.clone())
        .with("status", checked.status.clone())
        .with("priority", arguments.priority.map(Priority::word))
        .with("start_date", checked.date.map(|date| date.to_string()))
        .with("time_frame_promised_start", start.map(job::clock))
        .with("time_frame_promised_end", end.map(job::clock))
        .with(
            "duration",
            arguments.duration_minutes.map(|minutes| minutes * 60),
        )
        .with("techs_assigned", checked.assigned())
        .with("street_1", arguments.street.clone())
        .with("city", arguments.city.clone())
        .with("state_prov", arguments.state.clone())
        .with("postal_code", arguments.postal_code.clone())
        .with("po_number", arguments.po_number.clone())
        .with("tech_notes", arguments.tech_notes.clone());
    let planned = Planned {
        technicians: checked.technicians,
        date: checked.date,
        start,
        end: doubts::end(start, end, arguments.duration_minutes),
    };
    Ok((body.0, planned))
}

fn check_place(arguments: &CreateJob) -> Result<(), ToolError> {
    let given = |text: &Option<String>| lookup::given(text.as_deref()).is_some();
    let parts = [&arguments.city, &arguments.state, &arguments.postal_code];
    if !given(&arguments.street) && parts.into_iter().any(given) {
        return Err(ToolError::argument(
            "street",
            "city, state and postal_code need a street; leave them all out for the customer's primary location",
        ));
    }
    Ok(())
}
