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
        walk::{Found, Total},
    },
};

/// Names that an error lists at most.
const MOST_NAMES: usize = 30;

/// Whether two names or numbers are the same but for capitals and blanks around them.
pub fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// A text that says something.
pub fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Names for an error: the first ones, and how many more there are.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names[..names.len().min(MOST_NAMES)].join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What a search finds that cannot find anything.
pub fn nothing() -> Found {
    Found {
        rows: Vec::new(),
        total: Total::Exact(0),
        next: None,
        looked_at: None,
    }
}

/// The values that a field of a row may have, in the company's own spelling.
///
/// The API takes them as one text with commas between, so where a name holds a comma itself rows are looked at here.
#[derive(Clone, Debug)]
pub struct OneOf {
    field: &'static str,
    names: Vec<String>,
}

impl OneOf {
    /// `field` is both the row's field and the API's filter.
    pub fn new(field: &'static str, names: Vec<String>) -> Self {
        Self { field, names }
    }

    /// Whether no row can pass; the API would take such a filter for none at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn looks_at_rows(&self) -> bool {
        self.names.iter().any(|name| name.contains(','))
    }

    /// Lets the API filter, where it can.
    pub fn limit(&self, query: ListQuery) -> ListQuery {
        if self.looks_at_rows() {
            query
        } else {
            query.filter(self.field, self.names.join(","))
        }
    }

    /// Whether a row passes that the API has not filtered.
    pub fn keeps(&self, row: &Record) -> bool {
        !self.looks_at_rows()
            || row
                .text(self.field)
                .is_some_and(|text| self.names.iter().any(|name| same(name, &text)))
    }
}

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
                    listed(names.into_iter())
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
    let all: Vec<String> = technicians
        .iter()
        .map(|technician| format!("{} (id {})", technician.name, technician.id))
        .collect();
    listed(all.iter().map(String::as_str))
}

/// Those of one department.
pub fn in_department(all: &[Technician], department: &str) -> Result<Vec<Technician>, ToolError> {
    let of = |technician: &Technician| technician.department.clone().unwrap_or_default();
    let chosen: Vec<Technician> = all
        .iter()
        .filter(|technician| same(&of(technician), department))
        .cloned()
        .collect();
    if chosen.is_empty() {
        let mut known: Vec<String> = all.iter().map(of).filter(|name| !name.is_empty()).collect();
        known.sort();
        known.dedup();
        return Err(ToolError::argument(
            "department",
            format!(
                "there is no such department; there are {}",
                listed(known.iter().map(String::as_str))
            ),
        ));
    }
    Ok(chosen)
}

/// The account's own spelling of statuses. `open` and `closed` stand for all such statuses.
pub async fn statuses(
    call: &Call,
    argument: &str,
    said: &[String],
) -> Result<Vec<String>, ToolError> {
    let known = call.statuses().await?;
    let mut names = Vec::new();
    for word in &rejoined(said, known.iter().map(|status| status.name.as_str())) {
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

/// The account's own spelling of job categories.
pub async fn categories(
    call: &Call,
    argument: &str,
    said: &[String],
) -> Result<Vec<String>, ToolError> {
    let records = call.reference(List::JobCategories).await?;
    let known = names(&records);
    let known = || known.iter().map(String::as_str);
    rejoined(said, known())
        .iter()
        .map(|word| spelled(argument, &word.trim().to_lowercase(), word, known(), ""))
        .collect()
}

/// Puts names together again that were taken apart at commas of their own.
fn rejoined<'a>(said: &[String], known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let whole: Vec<(&str, Vec<&str>)> = known
        .filter(|name| name.contains(','))
        .map(|name| {
            let parts = name.split(',').map(str::trim);
            (name, parts.filter(|part| !part.is_empty()).collect())
        })
        .collect();
    let mut names = Vec::new();
    let mut rest = said;
    while let Some((first, others)) = rest.split_first() {
        let begins = |parts: &[&str]| {
            parts.len() > 1
                && rest.len() >= parts.len()
                && rest.iter().zip(parts).all(|(word, part)| same(word, part))
        };
        let longest = whole
            .iter()
            .filter(|(_, parts)| begins(parts))
            .max_by_key(|(_, parts)| parts.len());
        if let Some((name, parts)) = longest {
            names.push((*name).to_owned());
            rest = &rest[parts.len()..];
        } else {
            names.push(first.clone());
            rest = others;
        }
    }
    names
}

fn names(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .filter_map(|record| record.text("name").or_else(|| record.text("short_name")))
        .collect()
}

/// The account's own spelling of one entry of a reference list.
pub async fn reference_name(
    call: &Call,
    list: List,
    argument: &str,
    said: &str,
) -> Result<String, ToolError> {
    let records = call.reference(list).await?;
    let names = names(&records);
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
            listed(known)
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
    let exact = call
        .walk(query.clone())
        .keep(|row| row.text("number").is_some_and(|text| same(&text, number)))
        .take(1, None)
        .await?;
    if let Some(found) = exact.rows.first().and_then(|(row, _)| row.id("id")) {
        return agreed(kind, found, id, number);
    }
    let similar = call.walk(query).take(5, None).await?;
    let similar: Vec<String> = similar
        .rows
        .iter()
        .filter_map(|(row, _)| row.text("number"))
        .collect();
    let hint = if similar.is_empty() {
        format!("search_{kind}s finds it by customer, address or date")
    } else {
        format!("similar numbers: {}", similar.join(", "))
    };
    let searched = match (exact.total, exact.looked_at) {
        (Total::AtLeast(_), Some((looked_at, _))) => {
            format!(" among the newest {looked_at} with such a number")
        }
        _ => String::new(),
    };
    Err(ToolError::not_found(format!(
        "there is no {kind} with number {number}{searched}; {hint}"
    )))
}

/// A number and an id that name two records are a mistake, whichever of them was meant.
fn agreed(kind: &str, found: i64, id: Option<i64>, number: &str) -> Result<i64, ToolError> {
    match id {
        Some(id) if id != found => Err(ToolError::argument(
            &format!("{kind}_id"),
            format!(
                "{kind}_id {id} is not the {kind} with number {number}, whose {kind}_id is {found}; give one of the two"
            ),
        )),
        _ => Ok(found),
    }
}

/// One way to look for a phone number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneSearch {
    /// What the API's filter is given.
    pub part: String,
    /// Digits that one of the customer's phones must hold, where the number's format is not known.
    pub digits: Option<String>,
}

/// As the API stores new numbers first; then by the last four digits, because old ones have any format.
pub fn phone_searches(said: &str) -> Vec<PhoneSearch> {
    let digits = digits(said);
    let local = digits
        .strip_prefix('1')
        .filter(|rest| rest.len() == 10)
        .unwrap_or(&digits);
    let formatted = match local.len() {
        10 => format!("{}-{}-{}", &local[..3], &local[3..6], &local[6..]),
        7 => format!("{}-{}", &local[..3], &local[3..]),
        _ => said.trim().to_owned(),
    };
    let mut searches = vec![PhoneSearch {
        part: formatted,
        digits: None,
    }];
    if local.len() >= 7 {
        searches.push(PhoneSearch {
            part: local[local.len() - 4..].to_owned(),
            digits: Some(local.to_owned()),
        });
    }
    searches
}

pub fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Whether one of a customer's phones holds these digits.
pub fn has_phone(customer: &Record, wanted: &str) -> bool {
    customer
        .list("contacts")
        .iter()
        .flat_map(|contact| contact.list("phones"))
        .filter_map(|phone| phone.text("phone"))
        .any(|phone| digits(&phone).contains(wanted))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_name_with_a_comma_is_looked_for_row_by_row() {
        let row = |status: &str| Record::new(json!({"status": status}));
        let url = |one: &OneOf| one.limit(ListQuery::new(&JOBS)).page(1, 20);
        let plain = OneOf::new("status", words(&["Scheduled", "On Site"]));
        let odd = OneOf::new("status", words(&["Scheduled", "Hold, parts ordered"]));

        assert!(url(&plain).contains("status") && !plain.looks_at_rows());
        assert!(!url(&odd).contains("status") && odd.looks_at_rows());
        assert!(odd.keeps(&row("hold, Parts ordered")) && odd.keeps(&row("Scheduled")));
        assert!(!odd.keeps(&row("Hold")) && !odd.keeps(&Record::default()));
        assert!(OneOf::new("status", Vec::new()).is_empty());
    }

    #[test]
    fn names_taken_apart_at_their_own_commas_are_whole_again() {
        let known = ["Hold", "Hold, parts", "Hold, parts, late", "Scheduled"];
        for (said, whole) in [
            (
                words(&["hold", "PARTS", "Scheduled"]),
                words(&["Hold, parts", "Scheduled"]),
            ),
            (
                words(&["Hold", "parts", "late"]),
                words(&["Hold, parts, late"]),
            ),
            (words(&["Hold", "Scheduled"]), words(&["Hold", "Scheduled"])),
            (words(&["Hold, parts"]), words(&["Hold, parts"])),
        ] {
            assert_eq!(rejoined(&said, known.into_iter()), whole, "{said:?}");
        }
    }

    #[test]
    fn an_error_lists_thirty_names_and_counts_the_others() {
        let names: Vec<String> = (1..=42).map(|number| format!("Status {number}")).collect();
        let all = || names.iter().map(String::as_str);

        let refused = spelled("status", "nope", "Nope", all(), "").unwrap_err();

        assert!(
            refused.to_string().ends_with("Status 30 and 12 more."),
            "{refused}"
        );
        assert_eq!(listed(all().take(2)), "Status 1, Status 2");
    }
}
