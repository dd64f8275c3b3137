//! How a customer is shown.

use crate::{
    answer::{Fields, job},
    service_fusion::record::Record,
};

pub const ROW_FIELDS: &[&str] = &[
    "id",
    "customer_name",
    "account_number",
    "account_balance",
    "last_serviced_date",
    "is_vip",
    "parent_customer",
];

/// What a list of customers expands, so that two of one name can be told apart.
pub const ROW_EXPANDS: &[&str] = &["contacts.phones", "contacts.emails", "locations"];

/// One line about a customer, with the first phone, e-mail and address.
pub fn row(customer: &Record) -> Fields {
    let contacts = customer.list("contacts");
    let locations = customer.list("locations");
    let primary = |records: &[Record]| {
        records
            .iter()
            .find(|record| record.flag("is_primary"))
            .or_else(|| records.first())
            .cloned()
            .unwrap_or_default()
    };
    let phone = contacts
        .iter()
        .flat_map(|contact| contact.list("phones"))
        .find_map(|phone| phone.text("phone"));
    let email = contacts
        .iter()
        .flat_map(|contact| contact.list("emails"))
        .find_map(|email| email.text("email"));
    Fields::new()
        .with("customer_id", customer.id("id"))
        .with("name", customer.text("customer_name"))
        .with("contact", primary(&contacts).name("fname", "lname"))
        .with("phone", phone)
        .with("email", email)
        .with("address", job::short_address(&primary(&locations)))
        .with(
            "other_addresses",
            (locations.len() > 1).then(|| locations.len() - 1),
        )
        .with("account_number", customer.text("account_number"))
        .with(
            "balance",
            customer
                .amount("account_balance")
                .filter(|balance| balance.as_f64() != Some(0.0)),
        )
        .with("last_serviced", job::day(customer, "last_serviced_date"))
        .with("parent", customer.text("parent_customer"))
        .with_flag("is_vip", customer.flag("is_vip"))
}

pub fn contacts(customer: &Record) -> Vec<Fields> {
    customer
        .list("contacts")
        .iter()
        .map(|contact| {
            let phones: Vec<String> = contact
                .list("phones")
                .iter()
                .filter_map(|phone| {
                    let number = phone.text("phone")?;
                    Some(match (phone.text("ext"), phone.text("type")) {
                        (Some(extension), _) => format!("{number} ext. {extension}"),
                        (None, Some(kind)) => format!("{number} ({kind})"),
                        (None, None) => number,
                    })
                })
                .collect();
            let emails: Vec<String> = contact
                .list("emails")
                .iter()
                .filter_map(|email| email.text("email"))
                .collect();
            Fields::new()
                .with("name", contact.name("fname", "lname"))
                .with(
                    "role",
                    contact
                        .text("job_title")
                        .or_else(|| contact.text("contact_type")),
                )
                .with("phones", phones)
                .with("emails", emails)
                .with_flag("is_primary", contact.flag("is_primary"))
        })
        .collect()
}

pub fn locations(customer: &Record) -> Vec<Fields> {
    customer
        .list("locations")
        .iter()
        .map(|location| {
            Fields::new()
                .with("name", location.text("nickname"))
                .with("address", location.address())
                .with("gate_instructions", location.text("gate_instructions"))
                .with_flag("is_primary", location.flag("is_primary"))
                .with_flag("is_bill_to", location.flag("is_bill_to"))
        })
        .collect()
}
