//! The API's contract as data: what each resource shows, filters and sorts by, and what a body may hold.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

/// A contract that did not parse would leave every path unknown, which the tests notice.
pub(crate) static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| serde_json::from_str(include_str!("contract.json")).unwrap_or_default());

#[derive(Default, Deserialize)]
pub(crate) struct Contract {
    pub(crate) resources: Resources,
    pub(crate) endpoints: Vec<Endpoint>,
    types: BTreeMap<String, Vec<(String, String)>>,
    bodies: BTreeMap<String, Body>,
    pub(crate) errors: BTreeMap<String, Value>,
    pub(crate) pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Resources {
    pub(crate) me: Resource,
    pub(crate) calendar_tasks: Resource,
    pub(crate) customers: Resource,
    pub(crate) equipment: Resource,
    pub(crate) jobs: Resource,
    pub(crate) job_categories: Resource,
    pub(crate) job_statuses: Resource,
    pub(crate) estimates: Resource,
    pub(crate) invoices: Resource,
    pub(crate) payment_types: Resource,
    pub(crate) sources: Resource,
    pub(crate) techs: Resource,
}

#[derive(Default, Deserialize)]
pub(crate) struct Resource {
    #[serde(rename = "type")]
    type_name: String,
    pub(crate) fields: Vec<String>,
    pub(crate) expand: Vec<String>,
    pub(crate) sort: Vec<String>,
    /// Columns that only filters see.
    hidden: Vec<String>,
    pub(crate) filters: Vec<Filter>,
}

impl Resource {
    /// Names in the order in which a record keeps its values.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        let nested = self.expand.iter().filter(|name| !name.contains('.'));
        self.fields
            .iter()
            .chain(nested)
            .chain(&self.hidden)
            .map(String::as_str)
    }

    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns().position(|column| column == name)
    }

    pub(crate) fn type_of(&self, field: &str) -> &'static str {
        CONTRACT
            .type_fields(&self.type_name)
            .iter()
            .find(|(name, _)| name == field)
            .map_or("", |(_, type_name)| type_name)
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Me,
    CalendarTasks,
    Customers,
    Equipment,
    Jobs,
    JobCategories,
    JobStatuses,
    Estimates,
    Invoices,
    PaymentTypes,
    Sources,
    Techs,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    One,
    List,
    Create,
}

#[derive(Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) resource: Kind,
    #[serde(rename = "kind")]
    pub(crate) action: Action,
    #[serde(default)]
    pub(crate) body: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Match {
    Partial,
    Full,
    FullList,
    Lte,
    Gte,
}

#[derive(Deserialize)]
pub(crate) struct Filter {
    /// The query parameter, such as `filters[start_date][gte]`.
    pub(crate) param: String,
    #[serde(rename = "match")]
    pub(crate) kind: Match,
    pub(crate) date_time: bool,
    /// Dotted paths to the values it looks at; `customer.` leads to the record's customer.
    pub(crate) at: Vec<String>,
}

#[derive(Default, Deserialize)]
pub(crate) struct Pagination {
    pub(crate) default: usize,
    pub(crate) min: usize,
    pub(crate) max: usize,
}

pub(crate) type Body = BTreeMap<String, BodyField>;

#[derive(Deserialize)]
pub(crate) struct BodyField {
    #[serde(rename = "t")]
    pub(crate) type_name: String,
    #[serde(default, rename = "req")]
    pub(crate) required: bool,
    pub(crate) max: Option<usize>,
    #[serde(default, rename = "enum")]
    pub(crate) allowed: Vec<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) minval: Option<i64>,
    pub(crate) maxval: Option<i64>,
}

impl Contract {
    pub(crate) fn type_fields(&self, type_name: &str) -> &[(String, String)] {
        let name = type_name.trim_matches(['[', ']']);
        self.types.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn body(&self, type_name: &str) -> Option<&Body> {
        self.bodies.get(type_name.trim_matches(['[', ']']))
    }
}

/// Whether values of this type are records of their own, shown only when expanded.
pub(crate) fn is_nested(type_name: &str) -> bool {
    type_name
        .trim_start_matches('[')
        .starts_with(|first: char| first.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_parses_and_knows_all_operations() {
        assert_eq!(CONTRACT.endpoints.len(), 26);
        assert_eq!(CONTRACT.pagination.max, 50);
        for endpoint in &CONTRACT.endpoints {
            assert!(endpoint.body.is_empty() || CONTRACT.body(&endpoint.body).is_some());
        }
    }

    #[test]
    fn every_filter_looks_at_a_column() {
        let resources = &CONTRACT.resources;
        for resource in [
            &resources.customers,
            &resources.jobs,
            &resources.estimates,
            &resources.techs,
        ] {
            for path in resource.filters.iter().flat_map(|filter| &filter.at) {
                let head = path.split('.').next().unwrap();
                assert!(
                    head == "customer" || resource.column(head).is_some(),
                    "{path}"
                );
            }
        }
    }
}
