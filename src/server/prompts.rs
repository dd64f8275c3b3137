//! Prompts: the four moments of an office day, and completions for their arguments.

use rmcp::{
    ErrorData,
    model::{
        CompleteRequestParams, CompleteResult, CompletionInfo, GetPromptRequestParams,
        GetPromptResult, Prompt, PromptArgument, PromptMessage, Reference, Role,
    },
};
use serde_json::Value;

use crate::{
    server::call::Call,
    service_fusion::{
        query::{CUSTOMERS, ListQuery},
        record::Record,
        reference::List,
    },
};

struct Template {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    arguments: &'static [(&'static str, &'static str, bool)],
    text: &'static str,
}

const TEMPLATES: [Template; 4] = [
    Template {
        name: "morning_briefing",
        title: "Morning briefing",
        description: "The day ahead: who goes where, what is unassigned, late or at risk, what needs a call first",
        arguments: &[("date", "The day, such as today or 2026-11-22", false)],
        text: "Prepare the dispatcher's briefing for {date|today}. Read get_dispatch_board for that day and list_follow_ups. \
               Say first what needs action now: unassigned jobs, late ones, double bookings. Then one line per technician \
               with the order of their jobs, then the follow-ups worth a call today, by value. Name job numbers.",
    },
    Template {
        name: "call_prep",
        title: "Prepare a call",
        description: "Everything worth knowing before ringing a customer",
        arguments: &[("customer", "Name, phone number, e-mail or street", true)],
        text: "I am about to call {customer}. Find the customer with search_customers; if several match, ask me which. Then \
               read get_customer with jobs, estimates, equipment and balance. Sum up in ten lines: who they are, last work \
               done, what is open or quoted, equipment near the end of its warranty, money owed, and what to mention.",
    },
    Template {
        name: "estimate_follow_up",
        title: "Follow up on estimates",
        description: "Which quotes went quiet and what to say",
        arguments: &[(
            "days",
            "Quiet for at least this many days (7 if left out)",
            false,
        )],
        text: "Read search_estimates for open estimates that are at least {days|7} days old. Rank them by value and age, and \
               for the ten most promising propose one short, friendly sentence to ask the customer about it, with the \
               estimate's number and what it was for.",
    },
    Template {
        name: "end_of_day",
        title: "End of the day",
        description: "What was done, what is left, what must be invoiced, and tomorrow's first problems",
        arguments: &[("date", "The day, such as today or 2026-11-22", false)],
        text: "Close {date|today}: read get_dispatch_board for that day and for the day after, and list_follow_ups for unbilled \
               jobs. List what was completed, what was not and why as far as the records say, what should be invoiced, and \
               what about the next day needs a decision tonight.",
    },
];

pub fn list() -> Vec<Prompt> {
    TEMPLATES
        .iter()
        .map(|template| {
            let arguments = template
                .arguments
                .iter()
                .map(|(name, description, required)| {
                    PromptArgument::new(*name)
                        .with_description(*description)
                        .with_required(*required)
                })
                .collect();
            Prompt::new(template.name, Some(template.description), Some(arguments))
                .with_title(template.title)
        })
        .collect()
}

/// Fills a prompt in.
pub fn get(request: &GetPromptRequestParams) -> Result<GetPromptResult, ErrorData> {
    let template = TEMPLATES
        .iter()
        .find(|template| template.name == request.name)
        .ok_or_else(|| {
            let known: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
            ErrorData::invalid_params(
                format!(
                    "there is no such prompt; the prompts are {}",
                    known.join(", ")
                ),
                None,
            )
        })?;
    let given = request.arguments.clone().unwrap_or_default();
    if let Some(unknown) = given
        .keys()
        .find(|name| !template.arguments.iter().any(|(known, ..)| known == name))
    {
        let shown: String = unknown.chars().take(60).collect();
        return Err(ErrorData::invalid_params(
            format!("the prompt {} has no argument `{shown}`", template.name),
            None,
        ));
    }
    let mut text = template.text.to_owned();
    for (name, description, required) in template.arguments {
        let value = given
            .get(*name)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|value| !value.is_empty());
        if *required && value.is_none() {
            return Err(ErrorData::invalid_params(
                format!("the prompt needs `{name}`: {description}"),
                None,
            ));
        }
        text = fill(&text, name, value);
    }
    let message = PromptMessage::new_text(Role::User, text);
    Ok(GetPromptResult::new(vec![message]).with_description(template.description))
}

/// Replaces `{name}` and `{name|default}`.
fn fill(text: &str, name: &str, value: Option<&str>) -> String {
    let Some((before, rest)) = text.split_once(&format!("{{{name}")) else {
        return text.to_owned();
    };
    let Some((default, after)) = rest.split_once('}') else {
        return text.to_owned();
    };
    let value: String = value
        .unwrap_or(default.trim_start_matches('|'))
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    format!("{before}{value}{after}")
}

/// Proposes values for a prompt's or a resource's argument, at most 100.
pub async fn complete(
    request: &CompleteRequestParams,
    call: Call,
) -> Result<CompleteResult, ErrorData> {
    let typed = request.argument.value.trim().to_lowercase();
    let known = match &request.r#ref {
        Reference::Prompt(prompt) => TEMPLATES
            .iter()
            .find(|template| template.name == prompt.name)
            .is_some_and(|template| {
                template
                    .arguments
                    .iter()
                    .any(|(name, ..)| *name == request.argument.name)
            }),
        Reference::Resource(_) => true,
        _ => false,
    };
    if !known {
        return Err(ErrorData::invalid_params(
            "there is no such prompt argument or resource",
            None,
        ));
    }
    let mut values = candidates(&request.argument.name, &typed, &call).await;
    values.retain(|value| value.to_lowercase().contains(&typed));
    values.dedup();
    let total = u32::try_from(values.len()).ok();
    let more = values.len() > CompletionInfo::MAX_VALUES;
    values.truncate(CompletionInfo::MAX_VALUES);
    let mut completion =
        CompletionInfo::new(values).map_err(|problem| ErrorData::internal_error(problem, None))?;
    completion.total = total;
    completion.has_more = Some(more);
    Ok(CompleteResult::new(completion))
}

/// A completion that cannot be had is an empty one: nobody waits for an error while typing.
async fn candidates(argument: &str, typed: &str, call: &Call) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match argument {
        "date" => words(&[
            "today",
            "tomorrow",
            "yesterday",
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
        ]),
        "days" => words(&["7", "14", "30", "60", "90"]),
        "status" => names(call, List::JobStatuses, &["name"]).await,
        "category" => names(call, List::JobCategories, &["name"]).await,
        "technician" => names(call, List::Technicians, &["first_name", "last_name"]).await,
        "customer" if typed.len() >= 2 => {
            let query = ListQuery::new(&CUSTOMERS)
                .filter("name", typed)
                .sort("customer_name")
                .fields(&["id", "customer_name"]);
            let found = call.walk(query).take(50, None).await;
            found.map_or_else(
                |_| Vec::new(),
                |found| {
                    found
                        .rows
                        .iter()
                        .filter_map(|(row, _)| row.text("customer_name"))
                        .collect()
                },
            )
        }
        _ => Vec::new(),
    }
}

async fn names(call: &Call, list: List, parts: &[&str]) -> Vec<String> {
    let join = |record: &Record| {
        parts
            .iter()
            .filter_map(|part| record.text(part))
            .collect::<Vec<_>>()
            .join(" ")
    };
    call.reference(list)
        .await
        .map_or_else(|_| Vec::new(), |records| records.iter().map(join).collect())
}
