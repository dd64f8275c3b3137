//! The `filters[…]` of a list request: which records they let through.

use jiff::Timestamp;
use serde_json::Value;

use crate::sandbox::company::Company;
use crate::sandbox::contract::{Filter, Match, Resource};
use crate::sandbox::query::Query;
use crate::sandbox::table::{Record, integer};

pub(crate) struct Filters(Vec<Condition>);

struct Condition {
    filter: &'static Filter,
    /// Lower case; several for a comma list.
    wanted: Vec<String>,
    moment: Option<Timestamp>,
}

impl Filters {
    /// Unknown filters, empty values and unreadable dates do not filter.
    pub(crate) fn new(resource: &'static Resource, query: &Query) -> Self {
        let conditions = resource.filters.iter().filter_map(|filter| {
            let value = query
                .get(&filter.param)
                .filter(|value| !value.trim().is_empty())?;
            Condition::new(filter, value)
        });
        Self(conditions.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn allow(&self, company: &Company, record: &Record) -> bool {
        self.0
            .iter()
            .all(|condition| condition.allows(company, record))
    }
}

impl Condition {
    fn new(filter: &'static Filter, value: &str) -> Option<Self> {
        let lower = value.trim().to_lowercase();
        let wanted = match filter.kind {
            Match::FullList => lower
                .split(',')
                .map(|part| part.trim().to_owned())
                .collect(),
            _ => vec![lower],
        };
        let is_range = matches!(filter.kind, Match::Lte | Match::Gte);
        let moment = if is_range && filter.date_time {
            Some(moment(value)?)
        } else {
            None
        };
        if is_range && !filter.date_time {
            value.trim().get(..10)?.parse::<jiff::civil::Date>().ok()?;
        }
        Some(Self {
            filter,
            wanted,
            moment,
        })
    }

    fn allows(&self, company: &Company, record: &Record) -> bool {
        self.filter
            .at
            .iter()
            .any(|path| match path.strip_prefix("customer.") {
                Some(rest) => integer(record.get("customer_id"))
                    .and_then(|id| company.customers.find(id))
                    .is_some_and(|customer| self.reaches(customer, rest)),
                None => self.reaches(record, path),
            })
    }

    fn reaches(&self, record: &Record, path: &str) -> bool {
        let (column, rest) = path.split_once('.').unwrap_or((path, ""));
        self.reaches_value(record.get(column), rest)
    }

    fn reaches_value(&self, value: &Value, path: &str) -> bool {
        match value {
            Value::Array(rows) => rows.iter().any(|row| self.reaches_value(row, path)),
            Value::Object(object) => {
                let (name, rest) = path.split_once('.').unwrap_or((path, ""));
                object
                    .get(name)
                    .is_some_and(|value| self.reaches_value(value, rest))
            }
            Value::String(text) => self.matches(text),
            Value::Number(number) => self.matches(&number.to_string()),
            Value::Bool(_) | Value::Null => false,
        }
    }

    fn matches(&self, text: &str) -> bool {
        let first = self.wanted.first().map_or("", String::as_str);
        match self.filter.kind {
            Match::Partial => text.to_lowercase().contains(first),
            Match::Full | Match::FullList => self.wanted.contains(&text.to_lowercase()),
            Match::Lte => self.compare(text).is_some_and(std::cmp::Ordering::is_le),
            Match::Gte => self.compare(text).is_some_and(std::cmp::Ordering::is_ge),
        }
    }

    fn compare(&self, text: &str) -> Option<std::cmp::Ordering> {
        match self.moment {
            Some(wanted) => Some(moment(text)?.cmp(&wanted)),
            None => Some(text.get(..10)?.cmp(self.wanted.first()?.get(..10)?)),
        }
    }
}

/// Zero dates such as year -0001 have no moment. A plus sign that was not
/// percent-encoded arrives as a space, which PHP reads back as a plus.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim().replace(' ', "+");
    text.parse()
        .or_else(|_| format!("{text}+00:00").parse())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::contract::CONTRACT;

    fn condition(param: &str, value: &str) -> Option<Condition> {
        let filters = &CONTRACT.resources.jobs.filters;
        let filter = filters.iter().find(|filter| filter.param == param).unwrap();
        Condition::new(filter, value)
    }

    #[test]
    fn a_partial_filter_ignores_case() {
        let wanted = condition("filters[customer_name]", "maria").unwrap();

        assert!(wanted.matches("Maria Alvarez"));
        assert!(!wanted.matches("Mario"));
    }

    #[test]
    fn a_list_filter_takes_any_of_its_whole_values() {
        let wanted = condition("filters[status]", "Scheduled, On Site").unwrap();

        assert!(wanted.matches("on site"));
        assert!(!wanted.matches("On"));
    }

    #[test]
    fn a_moment_is_compared_across_offsets_and_broken_dates_never_match() {
        let since = condition("filters[updated_date][gte]", "2026-01-02T00:00:00-05:00").unwrap();

        assert!(since.matches("2026-01-02T05:00:00+00:00"));
        assert!(!since.matches("2026-01-02T04:59:59+00:00"));
        assert!(!since.matches("-0001-11-30T00:00:00+00:00"));
    }

    #[test]
    fn an_unreadable_date_does_not_filter() {
        assert!(condition("filters[start_date][gte]", "yesterday").is_none());
        assert!(condition("filters[closed_date][lte]", "2026-13-01").is_none());
    }
}
