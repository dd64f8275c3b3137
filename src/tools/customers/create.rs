//! `create_customer`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Fields, customer},
    server::{
        call::Call,
        create::{Draft, Outcome},
        lookup,
        tool::{Tool, record_output},
        tool_error::ToolError,
    },
    service_fusion::{
        query::{CUSTOMERS, ListQuery},
        record::Record,
        reference::List,
        walk::Found,
    },
};

const DESCRIPTION: &str = "Create a customer with one contact and one location. Existing customers with the same phone, e-mail, name or street are looked for \
first; if there are any they are returned as `candidates` and nothing is created, unless allow_duplicate is true. \
Service Fusion cannot change or delete customers through its API, so check with dry_run when in doubt.";

/// Similar customers that are shown at most.
const SIMILAR: usize = 8;

#[derive(Deserialize, JsonSchema)]
struct CreateCustomer {
    /// Name of the person or company, as it should stand on invoices.
    #[schemars(length(max = 255))]
    name: String,
    /// First name of the contact person (taken from `name` if left out).
    #[schemars(length(max = 255))]
    first_name: Option<String>,
    /// Last name of the contact person.
    #[schemars(length(max = 255))]
    last_name: Option<String>,
    /// Phone of the contact, ten digits in any format. Example: "214-555-0142".
    phone: Option<String>,
    /// Kind of phone (Mobile if left out).
    phone_type: Option<PhoneType>,
    /// E-mail address of the contact.
    #[schemars(length(max = 255))]
    email: Option<String>,
    /// Street and house number.
    #[schemars(length(max = 255))]
    street: Option<String>,
    /// City.
    #[schemars(length(max = 255))]
    city: Option<String>,
    /// State or province.
    #[schemars(length(max = 255))]
    state: Option<String>,
    /// Postal code.
    #[schemars(length(max = 20))]
    postal_code: Option<String>,
    /// How to get in.
    gate_instructions: Option<String>,
    /// Lead source, as list_reference_data names it.
    source: Option<String>,
    /// Notes only the office sees.
    private_notes: Option<String>,
    /// Whether it is a VIP.
    is_vip: Option<bool>,
    /// True creates it although similar customers exist.
    allow_duplicate: Option<bool>,
    /// True sends nothing and returns what would be sent.
    dry_run: Option<bool>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
enum PhoneType {
    Mobile,
    Home,
    Work,
    Other,
}

impl PhoneType {
    fn word(self) -> &'static str {
        match self {
            Self::Mobile => "Mobile",
            Self::Home => "Home",
            Self::Work => "Work",
            Self::Other => "Other",
        }
    }
}

pub(super) fn tool() -> Tool {
    Tool::create(
        "create_customer",
        "Create a customer",
        DESCRIPTION,
        || record_output("customer_id"),
        create,
    )
}

async fn create(call: Call, arguments: CreateCustomer) -> Result<Fields, ToolError> {
    let name = arguments.name.trim().to_owned();
    if name.is_empty() {
        return Err(ToolError::argument("name", "a customer needs a name"));
    }
    let phone = arguments.phone.as_deref().map(stored_phone).transpose()?;
    let email = arguments.email.as_deref().map(checked_email).transpose()?;
    if phone.is_none() && arguments.phone_type.is_some() {
        return Err(ToolError::argument("phone", "a phone_type needs a phone"));
    }
    let street = checked_street(&arguments)?;
    let source = match &arguments.source {
        Some(said) => Some(lookup::reference_name(&call, List::Sources, "source", said).await?),
        None => None,
    };
    let again = arguments.allow_duplicate.unwrap_or(false);
    let dry_run = arguments.dry_run.unwrap_or(false);
    let draft = Draft {
        resource: &CUSTOMERS,
        body: body(
            &arguments,
            &name,
            phone.as_deref(),
            email.as_deref(),
            street,
            source,
        ),
        again,
        dry_run,
    };
    // The customer that this very create made is no similar one.
    let find = async || named(&call, &name).await;
    if let Some(record) = draft.earlier(&call, find).await? {
        return Ok(repeated(&record, &name));
    }
    let similar = if again {
        Vec::new()
    } else {
        similar(&call, &name, phone.as_deref(), email.as_deref(), street).await?
    };
    if !similar.is_empty() && !dry_run {
        return Ok(Fields::new()
            .with("created", false)
            .with("reason", "similar customers exist; use one of them, or call again with allow_duplicate: true if it is really a new one")
            .with_list("candidates", similar));
    }
    let find = async || named(&call, &name).await;
    Ok(match draft.submit(&call, find).await? {
        Outcome::DryRun(shown) => shown.with(
            "similar_customers",
            similar.into_iter().map(Value::from).collect::<Vec<_>>(),
        ),
        Outcome::Created(record) => created(&record, &name),
        Outcome::Repeated(record) => repeated(&record, &name),
    })
}

fn repeated(record: &Record, name: &str) -> Fields {
    created(record, name).with(
        "repeated",
        "the same customer was created in the last ten minutes; this is that one, nothing new was made",
    )
}

fn created(record: &Record, name: &str) -> Fields {
    Fields::new()
        .with("created", true)
        .with("customer_id", record.id("id"))
        .with(
            "name",
            record
                .text("customer_name")
                .unwrap_or_else(|| name.to_owned()),
        )
        .with("account_number", record.text("account_number"))
}

fn body(
    arguments: &CreateCustomer,
    name: &str,
    phone: Option<&str>,
    email: Option<&str>,
    street: Option<&str>,
    source: Option<String>,
) -> Map<String, Value> {
    let mut body = Fields::new()
        .with("customer_name", name)
        .with("private_notes", arguments.private_notes.clone())
        .with("referral_source", source)
        .with("is_vip", arguments.is_vip);
    let (first, last) = contact_name(arguments, name);
    let contact = Fields::new()
        .with("fname", first)
        .with("lname", last)
        .with("is_primary", true)
        .with(
            "phones",
            phone.map(|phone| json!([{"phone": phone, "type": arguments.phone_type.unwrap_or(PhoneType::Mobile).word()}])),
        )
        .with("emails", email.map(|email| json!([{"email": email}])));
    body.put("contacts", vec![Value::from(contact)]);
    if let Some(street) = street {
        let location = Fields::new()
            .with("street_1", street)
            .with("city", arguments.city.clone())
            .with("state_prov", arguments.state.clone())
            .with("postal_code", arguments.postal_code.clone())
            .with("gate_instructions", arguments.gate_instructions.clone())
            .with("is_primary", true);
        body.put("locations", vec![Value::from(location)]);
    }
    body.0
}

/// The street, without which the API keeps no location.
fn checked_street(arguments: &CreateCustomer) -> Result<Option<&str>, ToolError> {
    let street = lookup::given(arguments.street.as_deref());
    let parts = [
        &arguments.city,
        &arguments.state,
        &arguments.postal_code,
        &arguments.gate_instructions,
    ];
    let has_part = parts
        .into_iter()
        .any(|text| lookup::given(text.as_deref()).is_some());
    if street.is_none() && has_part {
        return Err(ToolError::argument(
            "street",
            "city, state, postal_code and gate_instructions need a street; leave them out if it is not known",
        ));
    }
    Ok(street)
}

/// The API wants both names of a contact; a company's name stands in for what is missing.
fn contact_name(arguments: &CreateCustomer, name: &str) -> (String, String) {
    let given = |text: &Option<String>| lookup::given(text.as_deref()).map(ToOwned::to_owned);
    match (given(&arguments.first_name), given(&arguments.last_name)) {
        (Some(first), Some(last)) => (first, last),
        (Some(first), None) => (first, name.rsplit(' ').next().unwrap_or(name).to_owned()),
        (None, Some(last)) => (name.split(' ').next().unwrap_or(name).to_owned(), last),
        (None, None) => match name.rsplit_once(' ') {
            Some((first, last)) => (first.trim().to_owned(), last.to_owned()),
            None => (name.to_owned(), name.to_owned()),
        },
    }
}

/// `NNN-NNN-NNNN`, the only form the API takes.
fn stored_phone(said: &str) -> Result<String, ToolError> {
    let digits: String = said.chars().filter(char::is_ascii_digit).collect();
    let local = digits
        .strip_prefix('1')
        .filter(|rest| rest.len() == 10)
        .unwrap_or(&digits);
    if local.len() != 10 {
        return Err(ToolError::argument(
            "phone",
            "must have ten digits, such as 214-555-0142; put an extension into private_notes",
        ));
    }
    Ok(format!("{}-{}-{}", &local[..3], &local[3..6], &local[6..]))
}

fn checked_email(said: &str) -> Result<String, ToolError> {
    let plain = said.trim();
    let well_formed = plain.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && host.contains('.')
            && !host.starts_with('.')
            && !host.ends_with('.')
            && !host.contains('@')
    });
    if well_formed && !plain.contains(char::is_whitespace) {
        return Ok(plain.to_owned());
    }
    Err(ToolError::argument(
        "email",
        "must be one e-mail address, such as maria@example.com",
    ))
}

/// Customers that may be the same one, each with what they share.
async fn similar(
    call: &Call,
    name: &str,
    phone: Option<&str>,
    email: Option<&str>,
    street: Option<&str>,
) -> Result<Vec<Fields>, ToolError> {
    let (by_phone, by_email, by_name, by_street) = tokio::join!(
        by_phone(call, phone),
        search(call, "email", email),
        by_name(call, name),
        search(call, "address", street),
    );
    let mut similar: Vec<(i64, Vec<&str>, Fields)> = Vec::new();
    for (field, rows) in [
        ("phone", by_phone?),
        ("e-mail", by_email?),
        ("name", by_name?),
        ("street", by_street?),
    ] {
        for row in rows {
            let id = row.id("id").unwrap_or_default();
            match similar.iter_mut().find(|(known, ..)| *known == id) {
                Some((_, fields, _)) => fields.push(field),
                None => similar.push((id, vec![field], customer::row(&row))),
            }
        }
    }
    Ok(similar
        .into_iter()
        .take(SIMILAR)
        .map(|(_, fields, row)| row.with("same", fields))
        .collect())
}

async fn by_phone(call: &Call, phone: Option<&str>) -> Result<Vec<Record>, ToolError> {
    for search in phone.map(lookup::phone_searches).unwrap_or_default() {
        let walk = call.walk(query("phone", &search.part));
        let found = match &search.digits {
            Some(digits) => {
                walk.keep(|row| lookup::has_phone(row, digits))
                    .take(SIMILAR, None)
                    .await?
            }
            None => walk.take(SIMILAR, None).await?,
        };
        if !found.rows.is_empty() {
            return Ok(records(found));
        }
    }
    Ok(Vec::new())
}

/// The filter matches parts: a new "Ann" must not be held up by every "Joanna".
async fn by_name(call: &Call, name: &str) -> Result<Vec<Record>, ToolError> {
    let same = |row: &Record| {
        row.text("customer_name")
            .is_some_and(|text| lookup::same(&text, name))
    };
    let walk = call.walk(query("name", name)).keep(same);
    Ok(records(walk.take(SIMILAR, None).await?))
}

async fn search(
    call: &Call,
    filter: &'static str,
    value: Option<&str>,
) -> Result<Vec<Record>, ToolError> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let found = call.walk(query(filter, value)).take(20, None).await?;
    Ok(records(found))
}

/// Customers who may be the one whose answer was lost.
async fn named(call: &Call, name: &str) -> Result<Vec<Value>, ToolError> {
    let rows = search(call, "name", Some(name)).await?;
    Ok(lookup::candidates(&rows))
}

fn query(filter: &'static str, value: &str) -> ListQuery {
    ListQuery::new(&CUSTOMERS)
        .filter(filter, value)
        .fields(customer::ROW_FIELDS)
        .expand(customer::ROW_EXPANDS)
}

fn records(found: Found) -> Vec<Record> {
    found.rows.into_iter().map(|(row, _)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_put_into_the_only_form_the_api_takes() {
        assert_eq!(stored_phone("+1 (214) 555 0142").unwrap(), "214-555-0142");
        assert!(stored_phone("555-0142").is_err());
    }

    #[test]
    fn an_email_is_one_address() {
        assert!(checked_email(" maria@example.com ").is_ok());
        for refused in [
            "maria",
            "@example.com",
            "a@b",
            "a b@example.com",
            "a@b@example.com",
        ] {
            assert!(checked_email(refused).is_err(), "{refused}");
        }
    }
}
