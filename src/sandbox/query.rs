//! Query strings, and the page and order a list request asks for.

use std::cmp::Ordering;

use serde_json::Value;

use crate::sandbox::contract::{CONTRACT, Resource};
use crate::sandbox::table::{Record, integer};

#[derive(Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// As in PHP the last of several equal names wins.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// For the log: decoded, and without the one parameter that is a secret.
    pub(crate) fn for_log(&self) -> String {
        let shown = self.0.iter().map(|(name, value)| match name.as_str() {
            "access_token" => format!("{name}=(hidden)"),
            _ => format!("{name}={value}"),
        });
        shown.collect::<Vec<_>>().join("&")
    }
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Page {
    pub(crate) total: usize,
    pub(crate) count: usize,
    pub(crate) current: usize,
    pub(crate) size: usize,
}

impl Page {
    /// A page beyond the last is the last one, one before the first is the first.
    pub(crate) fn new(query: &Query, total: usize) -> Self {
        let limits = &CONTRACT.pagination;
        let size = number(query, "per-page")
            .map_or(limits.default, |size| size.clamp(limits.min, limits.max));
        let count = total.div_ceil(size);
        let current = number(query, "page").unwrap_or(1).clamp(1, count.max(1));
        Self {
            total,
            count,
            current,
            size,
        }
    }

    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        let start = (self.current - 1) * self.size;
        start..(start + self.size).min(self.total)
    }
}

/// Values that are no number count as not sent; negative ones clamp to zero.
fn number(query: &Query, name: &str) -> Option<usize> {
    let value: i64 = query.get(name)?.trim().parse().ok()?;
    Some(usize::try_from(value).unwrap_or(0))
}

pub(crate) struct Order(Vec<(usize, bool)>);

impl Order {
    pub(crate) fn new(resource: &Resource, query: &Query) -> Self {
        let keys = query
            .text("sort")
            .split(',')
            .map(str::trim)
            .filter_map(|key| {
                let (name, descending) = key
                    .strip_prefix('-')
                    .map_or((key, false), |name| (name, true));
                let is_sortable = resource.sort.iter().any(|known| known == name);
                Some((resource.column(name).filter(|_| is_sortable)?, descending))
            });
        Self(keys.collect())
    }

    /// Records are kept in the order of their ids, so the default needs no sort.
    pub(crate) fn apply(&self, records: &mut [&Record]) {
        match self.0.as_slice() {
            [] | [(0, false), ..] => {}
            [(0, true), ..] => records.reverse(),
            keys => records.sort_by(|left, right| compare(keys, left, right)),
        }
    }
}

fn compare(keys: &[(usize, bool)], left: &Record, right: &Record) -> Ordering {
    let mut orders = keys.iter().map(|&(column, descending)| {
        let order = compare_values(left.at(column), right.at(column));
        if descending { order.reverse() } else { order }
    });
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// As the database orders: nulls first, text without regard to case.
fn compare_values(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::String(left), Value::String(right)) => left
            .bytes()
            .map(|byte| byte.to_ascii_lowercase())
            .cmp(right.bytes().map(|byte| byte.to_ascii_lowercase())),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => compare_numbers(left, right),
    }
}

fn compare_numbers(left: &Value, right: &Value) -> Ordering {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left
            .as_f64()
            .unwrap_or_default()
            .total_cmp(&right.as_f64().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::table::fields;

    fn page(query: &str, total: usize) -> Page {
        Page::new(&Query::parse(query), total)
    }

    #[test]
    fn a_page_out_of_range_is_the_nearest_page() {
        assert_eq!(
            page("page=99", 25),
            Page {
                total: 25,
                count: 3,
                current: 3,
                size: 10
            }
        );
        assert_eq!(page("page=-4", 25).current, 1);
        assert_eq!(page("page=3", 25).range(), 20..25);
        assert_eq!(
            page("page=2", 0),
            Page {
                total: 0,
                count: 0,
                current: 1,
                size: 10
            }
        );
    }

    #[test]
    fn only_the_hyphenated_page_size_counts() {
        assert_eq!(page("per-page=500", 100).size, 50);
        assert_eq!(page("per-page=0", 100).size, 1);
        assert_eq!(page("per_page=50&perPage=50", 100).size, 10);
    }

    #[test]
    fn records_sort_by_several_keys_and_unknown_keys_are_ignored() {
        let resource = &CONTRACT.resources.sources;
        let rows = [(1, "b", "x"), (2, "A", "x"), (3, "c", "y")];
        let records: Vec<_> = rows
            .iter()
            .map(|(id, short, long)| json!({"id": id, "short_name": short, "long_name": long}))
            .map(|row| Record::new(resource, fields(row)))
            .collect();
        let mut sorted: Vec<_> = records.iter().collect();

        Order::new(resource, &Query::parse("sort=-long_name,colour,short_name")).apply(&mut sorted);

        assert_eq!(
            sorted.iter().map(|record| record.id()).collect::<Vec<_>>(),
            [3, 2, 1]
        );
    }

    #[test]
    fn the_log_never_shows_a_token() {
        assert_eq!(
            Query::parse("page=2&access_token=s3").for_log(),
            "page=2&access_token=(hidden)"
        );
    }
}
