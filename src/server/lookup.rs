//! Turns what a caller said (a status, a category, a technician, a customer) into what the API takes.

use crate::{
    answer::{customer, job},
    server::{
        call::Call,
        tool_error::{ToolError, closest},
    },
    service_fusion::{
        error::Error,
        query::{CUSTOMERS, ESTIMATES, JOBS, ListQuery, Resource},
        record::Record,
        reference::List,
    },
};

/// A technician of the company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Technician {
    pub id: i64,
    pub name: String,
    pub department: Option<String>,
    pub is_field_worker: bool,
}

impl Technician {
    pub fn new(record: &Record) -> Option<Self> {
        Some(Self {
            id: record.id("id")?,
            name: record.name("first_name", "last_name")?,
            department: record.text("department"),
            is_field_worker: record.flag("is_field_worker")
                || record.get("is_field_worker").is_none(),
        })
    }
}

/// All technicians, office staff included.
pub async fn technicians(call: &Call) -> Result<Vec<Technician>, ToolError> {
    let records = call.reference(List::Technicians).await?;
    Ok(records.iter().filter_map(Technician::new).collect())
}

/// The one technician meant by an id, a name, a part of a name, or a nickname.
pub async fn technician(call: &Call, argument: &str, said: &str) -> Result<Technician, ToolError> {
    let records = call.reference(List::Technicians).await?;
    let said = said.trim().to_lowercase();
    let matches = |test: &dyn Fn(&Record, &str) -> bool| -> Vec<Technician> {
        records
            .iter()
            .filter(|record| test(record, &said))
            .filter_map(Technician::new)
            .collect()
    };
    let name = |record: &Record| {
        record
            .name("first_name", "last_name")
            .unwrap_or_default()
            .to_lowercase()
    };
    let nicknames = |record: &Record| {
        ["nickname_on_dispatch", "nickname_on_workorder"]
            .map(|field| record.text(field).unwrap_or_default().to_lowercase())
    };
    let exact = matches(&|record, said| {
        record.id("id").map(|id| id.to_string()).as_deref() == Some(said)
            || name(record) == said
            || nicknames(record).iter().any(|nickname| nickname == said)
    });
    let found = if exact.is_empty() {
        matches(&|record, said| !said.is_empty() && name(record).contains(said))
    } else {
        exact
    };
    let all: Vec<Technician> = records.iter().filter_map(Technician::new).collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let names: Vec<&str> = all
                .iter()
                .map(|technician| technician.name.as_str())
                .collect();
            let meant =
                near(&said, &names).map_or(String::new(), |name| format!(" Did you mean {name}?"));
            Err(ToolError::argument(
                argument,
                format!(
                    "no technician is called that.{meant} The technicians are {}",
                    names.join(", ")
                ),
            ))
        }
        several => Err(ToolError::argument(
            argument,
            format!(
                "several technicians match: {}; give the id or the full name",
                described(several)
            ),
        )),
    }
}

/// The full name closest to what was said, by itself or by one of its parts.
fn near<'a>(said: &str, names: &[&'a str]) -> Option<&'a str> {
    closest(said, names.iter().copied()).or_else(|| {
        let parts = names.iter().flat_map(|name| name.split_whitespace());
        let part = closest(said, parts)?;
        names
            .iter()
            .copied()
            .find(|name| name.split_whitespace().any(|known| known == part))
    })
}

fn described(technicians: &[Technician]) -> String {
    technicians
        .iter()
        .map(|technician| format!("{} (id {})", technician.name, technician.id))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The account's own spelling of statuses. `open` and `closed` stand for all such statuses.
pub async fn statuses(
    call: &Call,
    argument: &str,
    said: &[String],
) -> Result<Vec<String>, ToolError> {
    let known = call.statuses().await?;
    let mut names = Vec::new();
    for word in said {
        match word.trim().to_lowercase().as_str() {
            "open" => names.extend(
                known
                    .iter()
                    .filter(|status| status.is_open())
                    .map(|status| status.name.clone()),
            ),
            "closed" => names.extend(
                known
                    .iter()
                    .filter(|status| !status.is_open())
                    .map(|status| status.name.clone()),
            ),
            plain => {
                let all = known.iter().map(|status| status.name.as_str());
                names.push(spelled(argument, plain, word, all, "open, closed, ")?);
            }
        }
    }
    names.dedup();
    Ok(names)
}

/// The account's own spelling of one entry of a reference list.
pub async fn reference_name(
    call: &Call,
    list: List,
    argument: &str,
    said: &str,
) -> Result<String, ToolError> {
    let records = call.reference(list).await?;
    let names: Vec<String> = records
        .iter()
        .filter_map(|record| record.text("name").or_else(|| record.text("short_name")))
        .collect();
    spelled(
        argument,
        &said.trim().to_lowercase(),
        said,
        names.iter().map(String::as_str),
        "",
    )
}

fn spelled<'a>(
    argument: &str,
    plain: &str,
    said: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    also: &str,
) -> Result<String, ToolError> {
    if let Some(exact) = known
        .clone()
        .find(|name| name.trim().to_lowercase() == plain)
    {
        return Ok(exact.to_owned());
    }
    let shown: String = said.chars().take(60).collect();
    let meant = closest(said, known.clone())
        .map_or(String::new(), |name| format!(" Did you mean `{name}`?"));
    Err(ToolError::argument(
        argument,
        format!(
            "this company has no `{shown}`.{meant} It has: {also}{}",
            known.collect::<Vec<_>>().join(", ")
        ),
    ))
}

/// The customer with that id.
pub async fn customer(call: &Call, id: i64, expand: &[&'static str]) -> Result<Record, ToolError> {
    call.one(&CUSTOMERS, id, expand)
        .await
        .map_err(|problem| match problem {
            Error::NotFound { .. } => ToolError::not_found(format!(
                "there is no customer with id {id}; find the id with search_customers"
            )),
            other => other.into(),
        })
}

/// A list filtered by a customer's name, which the caller must narrow to the customer's id: the API has no such filter.
pub async fn of_customer(
    call: &Call,
    resource: &'static Resource,
    id: i64,
) -> Result<ListQuery, ToolError> {
    let record = customer(call, id, &[]).await?;
    let query = ListQuery::new(resource);
    Ok(match record.text("customer_name") {
        Some(name) => query.filter("customer_name", name),
        None => query,
    })
}

/// A job by id or by its display number.
pub async fn job_id(call: &Call, id: Option<i64>, number: Option<&str>) -> Result<i64, ToolError> {
    by_number(call, &JOBS, "job", id, number).await
}

/// An estimate by id or by its display number.
pub async fn estimate_id(
    call: &Call,
    id: Option<i64>,
    number: Option<&str>,
) -> Result<i64, ToolError> {
    by_number(call, &ESTIMATES, "estimate", id, number).await
}

async fn by_number(
    call: &Call,
    resource: &'static Resource,
    kind: &str,
    id: Option<i64>,
    number: Option<&str>,
) -> Result<i64, ToolError> {
    let number = match (
        id,
        number.map(|number| number.trim().trim_start_matches('#')),
    ) {
        (Some(id), None | Some("")) => return Ok(id),
        (_, Some(number)) if !number.is_empty() => number,
        _ => {
            return Err(ToolError::argument(
                &format!("{kind}_id"),
                format!("give {kind}_id or number; search_{kind}s finds both"),
            ));
        }
    };
    // The filter matches parts of numbers: 104 also finds 1042.
    let query = ListQuery::new(resource).filter("number", number).fields(&[
        "id",
        "number",
        "customer_name",
        "status",
    ]);
    let found = call.walk(query).take(50, None).await?;
    let exact = found.rows.iter().find(|(row, _)| {
        row.text("number")
            .is_some_and(|text| text.eq_ignore_ascii_case(number))
    });
    if let Some(found) = exact.and_then(|(row, _)| row.id("id")) {
        return Ok(found);
    }
    let similar: Vec<String> = found
        .rows
        .iter()
        .take(5)
        .filter_map(|(row, _)| row.text("number"))
        .collect();
    let hint = if similar.is_empty() {
        format!("search_{kind}s finds it by customer, address or date")
    } else {
        format!("similar numbers: {}", similar.join(", "))
    };
    Err(ToolError::not_found(format!(
        "there is no {kind} with number {number}; {hint}"
    )))
}

/// Customers for an error that asks which one is meant.
pub fn candidates(rows: &[Record]) -> Vec<serde_json::Value> {
    rows.iter()
        .take(8)
        .map(|row| customer::row(row).into())
        .collect()
}

/// Whether a record is at an address or in a city, compared loosely.
pub fn is_at(record: &Record, said: &str) -> bool {
    let said = said.trim().to_lowercase();
    job::short_address(record).is_some_and(|address| address.to_lowercase().contains(&said))
        || record
            .text("customer_location")
            .is_some_and(|place| place.to_lowercase().contains(&said))
        || record
            .text("location")
            .is_some_and(|place| place.to_lowercase().contains(&said))
}
