//! `search_customers`.

use std::iter;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{Fields, Listing, customer},
    server::{
        call::Call,
        lookup, street,
        tool::{Tool, list_output},
        tool_error::ToolError,
    },
    service_fusion::{
        query::{CUSTOMERS, ListQuery},
        walk::{Found, Position, Total},
    },
};

const DESCRIPTION: &str = "Find customers by whatever the caller said: a name, phone number, e-mail or street in `query`, or exact filters. \
Returns id, contact, phone, e-mail, address and balance, enough to tell two customers of one name apart. \
For everything about one customer (history, equipment, balance) use get_customer with the id.";

#[derive(Deserialize, JsonSchema)]
struct SearchCustomers {
    /// Name, phone, e-mail, street or city; the likely fields are tried in turn and `matched_by` says which one it was. Example: "alvarez", "214-555-0142".
    #[schemars(length(max = 200))]
    query: Option<String>,
    /// Part of the customer's name.
    name: Option<String>,
    /// Part of a phone number, in any format.
    phone: Option<String>,
    /// A whole e-mail address.
    email: Option<String>,
    /// Part of a street address.
    address: Option<String>,
    /// Whole name of a city.
    city: Option<String>,
    /// Last name of a contact person.
    contact: Option<String>,
    /// Rows to return, 1 to 100 (20 if left out).
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// `next_cursor` of the last answer, with the same other arguments.
    cursor: Option<String>,
}

/// One way to read what the caller said.
struct Reading {
    field: &'static str,
    filters: Vec<(&'static str, String)>,
    /// Digits that one of the phones must hold, where the number's format is not known.
    digits: Option<String>,
}

impl Reading {
    fn new(field: &'static str, filters: &[(&'static str, &str)]) -> Self {
        Self {
            field,
            filters: filters
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            digits: None,
        }
    }
}

pub(super) fn tool() -> Tool {
    Tool::read(
        "search_customers",
        "Search customers",
        DESCRIPTION,
        || list_output("customers"),
        search,
    )
}

async fn search(call: Call, arguments: SearchCustomers) -> Result<Fields, ToolError> {
    let limit = arguments.limit.unwrap_or(20);
    let cursor = arguments
        .cursor
        .as_deref()
        .map(|text| call.binding().read(text))
        .transpose()?;
    let readings = readings(&arguments)?;
    let resumed = cursor.as_ref().and_then(|cursor| cursor.matched_by.clone());
    let from = cursor.map(|cursor| cursor.position);

    let mut tried = Vec::new();
    for reading in &readings {
        if resumed
            .as_deref()
            .is_some_and(|field| field != reading.field)
        {
            continue;
        }
        let found = look(&call, reading, limit, from).await?;
        tried.push(reading.field);
        let empty = found.rows.is_empty() && matches!(found.total, Total::Exact(0));
        if !empty || tried.len() == readings.len() {
            let by_query = arguments
                .query
                .is_some()
                .then_some(reading.field)
                .filter(|_| !empty);
            return Ok(listing(&call, &found, by_query, &tried));
        }
    }
    Ok(listing(&call, &lookup::nothing(), None, &tried))
}

async fn look(
    call: &Call,
    reading: &Reading,
    limit: usize,
    from: Option<Position>,
) -> Result<Found, ToolError> {
    let mut query = ListQuery::new(&CUSTOMERS)
        .fields(customer::ROW_FIELDS)
        .expand(customer::ROW_EXPANDS);
    for (name, value) in &reading.filters {
        query = query.filter(name, value.clone());
    }
    let walk = call.walk(query);
    let found = match &reading.digits {
        Some(digits) => {
            walk.keep(|row| lookup::has_phone(row, digits))
                .take(limit, from)
                .await
        }
        None => walk.take(limit, from).await,
    };
    Ok(found?)
}

fn listing(call: &Call, found: &Found, matched_by: Option<&str>, tried: &[&str]) -> Fields {
    let binding = call.binding();
    let rows: Vec<_> = found
        .rows
        .iter()
        .map(|(row, position)| {
            (
                customer::row(row),
                binding.cursor(*position, None, matched_by),
            )
        })
        .collect();
    let mut remarks = Fields::new().with("matched_by", matched_by);
    if rows.is_empty() && tried.len() > 1 {
        remarks.put("tried", tried.to_vec());
    }
    Listing {
        plural: "customers",
        rows,
        total: found.total,
        next_cursor: found
            .next
            .map(|position| binding.cursor(position, None, matched_by)),
        remarks,
    }
    .into_answer(call.company().max_answer)
}

/// The exact filters as one reading, or what a free text may mean, likeliest first.
fn readings(arguments: &SearchCustomers) -> Result<Vec<Reading>, ToolError> {
    let given = |value: &Option<String>| lookup::given(value.as_deref()).map(ToOwned::to_owned);
    let exact: Vec<(&'static str, String)> = [
        ("name", given(&arguments.name)),
        ("email", given(&arguments.email)),
        ("address", given(&arguments.address)),
        ("city", given(&arguments.city)),
        ("contact_last_name", given(&arguments.contact)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let phone = given(&arguments.phone);
    match given(&arguments.query) {
        Some(_) if !exact.is_empty() || phone.is_some() => Err(ToolError::argument(
            "query",
            "give either `query` or exact filters, not both",
        )),
        Some(query) => Ok(free_text(&query)),
        None => match phone {
            Some(phone) => Ok(phone_readings(&phone)
                .into_iter()
                .map(|mut reading| {
                    reading.filters.extend(exact.clone());
                    reading
                })
                .collect()),
            None => Ok(vec![Reading {
                field: "filters",
                filters: exact,
                digits: None,
            }]),
        },
    }
}

/// "Mrs. Alvarez" is filed under Alvarez.
fn without_title(query: &str) -> &str {
    let query = query.trim().trim_end_matches(['.', ',']);
    let (title, name) = query.split_once(' ').unwrap_or(("", query));
    match title.trim_end_matches('.').to_lowercase().as_str() {
        "mr" | "mrs" | "ms" | "miss" | "dr" => name.trim(),
        _ => query,
    }
}

fn free_text(query: &str) -> Vec<Reading> {
    let query = without_title(query);
    let digits = lookup::digits(query);
    if query.contains('@') {
        return vec![
            Reading::new("email", &[("email", query)]),
            Reading::new("name", &[("name", query)]),
        ];
    }
    let letters = query.chars().filter(|c| c.is_alphabetic()).count();
    if digits.len() >= 7 && letters == 0 {
        return phone_readings(query);
    }
    let by_name = Reading::new("name", &[("name", query)]);
    if !digits.is_empty() && letters > 0 {
        let mut readings = by_address(query);
        readings.push(by_name);
        return readings;
    }
    let mut readings = vec![by_name];
    if let Some((first, last)) = query.rsplit_once(' ') {
        readings.extend(by_two_names(first.trim(), last.trim()));
    } else {
        readings.push(Reading::new(
            "contact last name",
            &[("contact_last_name", query)],
        ));
        readings.push(Reading::new(
            "contact first name",
            &[("contact_first_name", query)],
        ));
    }
    if letters == 0 && (4..7).contains(&digits.len()) {
        readings.push(Reading::new("phone", &[("phone", &digits)]));
    }
    readings.extend(by_address(query));
    readings.push(Reading::new("city", &[("city", query)]));
    readings
}

/// A person in either order: callers say "Maria Alvarez", "Alvarez Maria" and "Alvarez, Maria", and accounts keep all three.
fn by_two_names(first: &str, last: &str) -> [Reading; 4] {
    let family = first.trim_end_matches(',');
    [
        Reading::new(
            "contact",
            &[("contact_first_name", first), ("contact_last_name", last)],
        ),
        Reading::new(
            "name (last name first)",
            &[("name", &format!("{last}, {first}"))],
        ),
        Reading::new(
            "name (words turned)",
            &[("name", &format!("{last} {family}"))],
        ),
        Reading::new(
            "contact (words turned)",
            &[("contact_first_name", last), ("contact_last_name", family)],
        ),
    ]
}

fn by_address(query: &str) -> Vec<Reading> {
    let as_said = Reading::new("address", &[("address", query)]);
    let other = street::written_otherwise(query)
        .map(|other| Reading::new("address (street written otherwise)", &[("address", &other)]));
    iter::once(as_said).chain(other).collect()
}

fn phone_readings(phone: &str) -> Vec<Reading> {
    lookup::phone_searches(phone)
        .into_iter()
        .map(|search| Reading {
            digits: search.digits,
            ..Reading::new("phone", &[("phone", &search.part)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_said_is_read_the_likely_way() {
        let first = |text: &str| free_text(text)[0].field;
        assert_eq!(first("maria@example.com"), "email");
        assert_eq!(first("(214) 555-0142"), "phone");
        assert_eq!(first("12 Elm Street"), "address");
        assert_eq!(first("Maria Alvarez"), "name");
        assert_eq!(without_title("Mrs. Alvarez"), "Alvarez");
        assert_eq!(without_title("Drew Barrymore"), "Drew Barrymore");
        assert_eq!(first("1845"), "name");
    }

    #[test]
    fn a_phone_number_is_sought_in_every_format() {
        let readings = phone_readings("+1 (214) 555.0142");
        assert_eq!(readings[0].filters[0].1, "214-555-0142");
        assert_eq!(readings[1].filters[0].1, "0142");
        assert_eq!(readings[1].digits.as_deref(), Some("2145550142"));
    }
}
