//! What may be asked of a list: page, sort, filters, fields and expand, from closed lists.
//!
//! Service Fusion ignores names it does not know, so a misspelt filter would return everything.
//! Names are therefore checked here, against the documented contract, before anything is sent.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays readable in a query string; everything else is encoded, the plus of a time offset above all.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b',')
    .remove(b':');

/// Largest page the API gives.
pub const MAX_PER_PAGE: u32 = 50;

/// A kind of record with its address and the names the contract gives it.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Path below `/v1`.
    pub path: &'static str,
    /// The order that is stable and fast: `GET /jobs` without a sort has been seen to hang for minutes.
    pub default_sort: &'static str,
    pub sorts: &'static [&'static str],
    pub filters: &'static [&'static str],
    pub expands: &'static [&'static str],
}

pub const CUSTOMERS: Resource = Resource {
    path: "customers",
    default_sort: "-id",
    sorts: &[
        "id",
        "customer_name",
        "last_serviced_date",
        "created_at",
        "updated_at",
    ],
    filters: &[
        "name",
        "contact_first_name",
        "contact_last_name",
        "address",
        "city",
        "postal_code",
        "phone",
        "email",
        "tags",
        "last_serviced_date][lte",
        "last_serviced_date][gte",
        "agreement_date_effective][lte",
        "agreement_date_effective][gte",
        "agreement_date_expires][lte",
        "agreement_date_expires][gte",
    ],
    expands: &[
        "contacts",
        "contacts.phones",
        "contacts.emails",
        "locations",
        "custom_fields",
    ],
};

pub const JOBS: Resource = Resource {
    path: "jobs",
    default_sort: "-id",
    sorts: &[
        "id",
        "number",
        "start_date",
        "time_frame_promised_start",
        "end_date",
        "created_at",
        "updated_at",
        "closed_at",
        "customer_name",
        "status",
        "category",
    ],
    filters: &[
        "status",
        "number",
        "po_number",
        "invoice_number",
        "customer_name",
        "parent_customer_name",
        "contact_first_name",
        "contact_last_name",
        "address",
        "city",
        "zip_code",
        "phone",
        "email",
        "category",
        "source",
        "start_date][lte",
        "start_date][gte",
        "end_date][lte",
        "end_date][gte",
        "updated_date][lte",
        "updated_date][gte",
        "closed_date][lte",
        "closed_date][gte",
    ],
    expands: &[
        "agents",
        "custom_fields",
        "pictures",
        "documents",
        "equipment",
        "equipment.custom_fields",
        "techs_assigned",
        "tasks",
        "notes",
        "products",
        "services",
        "other_charges",
        "labor_charges",
        "expenses",
        "payments",
        "invoices",
        "visits",
        "visits.techs_assigned",
    ],
};

pub const ESTIMATES: Resource = Resource {
    path: "estimates",
    default_sort: "-id",
    sorts: &[
        "id",
        "number",
        "start_date",
        "created_at",
        "updated_at",
        "customer_name",
        "status",
        "opportunity_rating",
    ],
    filters: &[
        "status",
        "number",
        "po_number",
        "customer_name",
        "parent_customer_name",
        "contact_first_name",
        "contact_last_name",
        "address",
        "city",
        "zip_code",
        "phone",
        "email",
        "category",
        "source",
        "start_date][lte",
        "start_date][gte",
        "end_date][lte",
        "end_date][gte",
        "requested_date][lte",
        "requested_date][gte",
    ],
    expands: &[
        "agents",
        "custom_fields",
        "pictures",
        "documents",
        "equipment",
        "techs_assigned",
        "tasks",
        "notes",
        "products",
        "services",
        "other_charges",
        "payments",
        "tags",
    ],
};

pub const INVOICES: Resource = Resource {
    path: "invoices",
    default_sort: "-id",
    sorts: &["id", "number", "date", "total", "is_paid", "customer"],
    filters: &[],
    expands: &[],
};

pub const TECHS: Resource = Resource {
    path: "techs",
    default_sort: "id",
    sorts: &["id", "first_name", "last_name"],
    filters: &["first_name", "last_name", "email"],
    expands: &[],
};

pub const CALENDAR_TASKS: Resource = Resource {
    path: "calendar-tasks",
    default_sort: "-id",
    sorts: &["id", "start_date"],
    filters: &[],
    expands: &["repeat"],
};

pub const JOB_STATUSES: Resource = lookup("job-statuses");
pub const JOB_CATEGORIES: Resource = lookup("job-categories");
pub const SOURCES: Resource = lookup("sources");
pub const PAYMENT_TYPES: Resource = lookup("payment-types");

const fn lookup(path: &'static str) -> Resource {
    Resource {
        path,
        default_sort: "id",
        sorts: &["id"],
        filters: &[],
        expands: &[],
    }
}

/// Equipment hangs below its customer: there is no list of all equipment.
pub const EQUIPMENT: Resource = Resource {
    path: "equipment",
    default_sort: "id",
    sorts: &["id", "type", "install_date", "warranty_date"],
    filters: &[],
    expands: &["custom_fields"],
};

/// One list request, without its page.
#[derive(Clone, Debug)]
pub struct ListQuery {
    resource: &'static Resource,
    /// The path, which for equipment holds the customer's id.
    path: String,
    sort: String,
    filters: Vec<(&'static str, String)>,
    fields: Vec<&'static str>,
    expand: Vec<&'static str>,
}

impl ListQuery {
    pub fn new(resource: &'static Resource) -> Self {
        Self {
            path: resource.path.to_owned(),
            sort: resource.default_sort.to_owned(),
            filters: Vec::new(),
            fields: Vec::new(),
            expand: Vec::new(),
            resource,
        }
    }

    pub fn equipment_of(customer_id: i64) -> Self {
        let mut query = Self::new(&EQUIPMENT);
        query.path = format!("customers/{customer_id}/equipment");
        query
    }

    /// A comma list, `-` for descending. Names outside the contract are dropped in release builds
    /// and stop a debug build: they are a mistake of this program, never of a user.
    #[must_use]
    pub fn sort(mut self, sort: &str) -> Self {
        debug_assert!(
            sort.split(',')
                .all(|key| self.resource.sorts.contains(&key.trim_start_matches('-'))),
            "{} does not sort by {sort}",
            self.resource.path
        );
        sort.clone_into(&mut self.sort);
        self
    }

    /// `name` as the contract spells it; a range ends in `][gte` or `][lte`.
    #[must_use]
    pub fn filter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        debug_assert!(
            self.resource.filters.contains(&name),
            "{} has no filter {name}",
            self.resource.path
        );
        self.filters.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn expand(mut self, names: &[&'static str]) -> Self {
        for name in names {
            debug_assert!(
                self.resource.expands.contains(name),
                "{} does not expand {name}",
                self.resource.path
            );
            if !self.expand.contains(name) {
                self.expand.push(name);
            }
        }
        self
    }

    /// Scalar fields to send; without any, all come.
    #[must_use]
    pub fn fields(mut self, names: &[&'static str]) -> Self {
        for name in names {
            if !self.fields.contains(name) {
                self.fields.push(name);
            }
        }
        self
    }

    pub fn resource(&self) -> &'static Resource {
        self.resource
    }

    pub fn sorted_by(&self) -> &str {
        &self.sort
    }

    /// Path and query below `/v1`. `page` starts at 1; `per_page` is 1 to 50.
    pub fn page(&self, page: u32, per_page: u32) -> String {
        let mut url = format!(
            "{}?page={page}&per-page={}&sort={}",
            self.path,
            per_page.clamp(1, MAX_PER_PAGE),
            encode(&self.sort)
        );
        for (name, value) in &self.filters {
            // `encode` leaves brackets out of names on purpose: the API takes them encoded.
            let _ = write!(
                url,
                "&filters%5B{}%5D={}",
                name.replace("][", "%5D%5B"),
                encode(value)
            );
        }
        append_lists(&mut url, &self.fields, &self.expand);
        url
    }
}

/// Path and query below `/v1` of a single record.
pub fn one(resource: &'static Resource, id: i64, expand: &[&'static str]) -> String {
    let mut url = format!("{}/{id}?", resource.path);
    append_lists(&mut url, &[], expand);
    url.truncate(url.trim_end_matches('?').len());
    url.replace("?&", "?")
}

fn append_lists(url: &mut String, fields: &[&str], expand: &[&str]) {
    if !fields.is_empty() {
        let _ = write!(url, "&fields={}", fields.join(","));
    }
    if !expand.is_empty() {
        let _ = write!(url, "&expand={}", expand.join(","));
    }
}

fn encode(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_always_says_its_sort_and_hyphenated_page_size() {
        let url = ListQuery::new(&JOBS).page(1, 500);
        assert_eq!(url, "jobs?page=1&per-page=50&sort=-id");
    }

    #[test]
    fn the_plus_of_a_time_offset_is_encoded() {
        let url = ListQuery::new(&JOBS)
            .filter("updated_date][gte", "2026-11-22T06:00:00+00:00")
            .expand(&["visits.techs_assigned"])
            .page(2, 50);
        assert_eq!(
            url,
            "jobs?page=2&per-page=50&sort=-id&filters%5Bupdated_date%5D%5Bgte%5D=2026-11-22T06:00:00%2B00:00&expand=visits.techs_assigned"
        );
    }

    #[test]
    fn a_single_record_needs_no_question_mark() {
        assert_eq!(one(&JOBS, 7, &[]), "jobs/7");
        assert_eq!(
            one(&JOBS, 7, &["notes", "visits"]),
            "jobs/7?expand=notes,visits"
        );
    }

    #[test]
    fn every_name_is_in_the_contract_the_sandbox_serves() {
        let contract: serde_json::Value =
            serde_json::from_str(include_str!("../sandbox/contract.json")).unwrap();
        for resource in [
            &CUSTOMERS,
            &JOBS,
            &ESTIMATES,
            &INVOICES,
            &TECHS,
            &CALENDAR_TASKS,
            &JOB_STATUSES,
            &JOB_CATEGORIES,
            &SOURCES,
            &PAYMENT_TYPES,
            &EQUIPMENT,
        ] {
            let known = &contract["resources"][resource.path];
            let listed = |kind: &str, name: &str| {
                known[kind]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|entry| entry == name)
            };
            for sort in resource.sorts {
                assert!(listed("sort", sort), "{} sort {sort}", resource.path);
            }
            for expand in resource.expands {
                assert!(
                    listed("expand", expand),
                    "{} expand {expand}",
                    resource.path
                );
            }
            for filter in resource.filters {
                let param = format!("filters[{filter}]");
                let documented = known["filters"].as_array().unwrap();
                assert!(
                    documented
                        .iter()
                        .any(|entry| entry["param"] == param.as_str()),
                    "{} filter {filter}",
                    resource.path
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_value_can_add_a_parameter(value in any::<String>()) {
            let url = ListQuery::new(&JOBS).filter("customer_name", value.clone()).page(1, 20);
            let query = url.split_once('?').unwrap().1;
            let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            prop_assert_eq!(pairs.len(), 4);
            prop_assert_eq!(&pairs[3].0, "filters[customer_name]");
            prop_assert_eq!(&pairs[3].1, &value);
        }
    }
}
