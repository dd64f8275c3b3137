//! A record as Service Fusion sent it, read leniently: every field may be missing, null, empty or of another type.

use jiff::civil::{Date, Time};
use serde_json::{Map, Value};

use crate::dates;

/// One JSON object of the API. Getters return `None` for whatever means "not set".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(pub Map<String, Value>);

impl Record {
    /// Anything but an object becomes an empty record.
    pub fn new(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    /// The rows of one page of a list, taken out of the answer.
    pub fn items(answer: &mut Value) -> Vec<Self> {
        match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items.into_iter().map(Self::new).collect(),
            _ => Vec::new(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Text without surrounding blanks; numbers become text; an empty text is not set.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.trim())
                .filter(|text| !text.is_empty())
                .map(ToOwned::to_owned),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// An id, sent as a number or as digits.
    pub fn id(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|id| *id > 0)
    }

    /// A number, sent as a number or as text.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().replace(',', "").parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// A number as it should be shown: the value itself, not its text form.
    pub fn amount(&self, name: &str) -> Option<Value> {
        match self.get(name)? {
            number @ Value::Number(_) => Some(number.clone()),
            _ => self.number(name).map(Value::from),
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            Some(Value::String(text)) => matches!(text.trim(), "1" | "true" | "True" | "yes"),
            _ => false,
        }
    }

    /// The day of a date or timestamp; broken and zero dates are not set.
    pub fn date(&self, name: &str) -> Option<Date> {
        dates::lenient_date(self.get(name)?.as_str()?)
    }

    pub fn time(&self, name: &str) -> Option<Time> {
        dates::lenient_time(self.get(name)?.as_str()?)
    }

    /// The records of an expanded list; what is not an object is left out.
    pub fn list(&self, name: &str) -> Vec<Record> {
        match self.get(name) {
            Some(Value::Array(items)) => items
                .iter()
                .filter_map(Value::as_object)
                .map(|fields| Record(fields.clone()))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the API sent this list at all (it sends none that was not asked for).
    pub fn has_list(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Array(_)))
    }

    /// Two name parts as one name, tolerant of the comma and the order some accounts use.
    pub fn name(&self, first: &str, last: &str) -> Option<String> {
        let part = |name: &str| self.text(name);
        let joined = [part(first), part(last)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        (!joined.is_empty()).then_some(joined)
    }

    /// Street, city, state and postal code on one line.
    pub fn address(&self) -> Option<String> {
        let street = [self.text("street_1"), self.text("street_2")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        let region = [self.text("state_prov"), self.text("postal_code")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        let parts: Vec<String> = [Some(street), self.text("city"), Some(region)]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_read_whatever_their_type() {
        let record = Record::new(json!({
            "id": "1152157", "customer_id": 11, "total": "1,193.25", "due": 193, "note": "  ",
            "updated_at": "-0001-11-30T00:00:00+00:00", "start_date": "2026-11-22",
            "is_custom": "1", "is_vip": true, "visits": [{"duration": 3600}, null, 7],
            "time_frame_promised_start": "14:10"
        }));
        assert_eq!(record.id("id"), Some(1_152_157));
        assert_eq!(record.id("customer_id"), Some(11));
        assert_eq!(record.number("total"), Some(1193.25));
        assert_eq!(record.amount("due"), Some(json!(193)));
        assert_eq!(record.text("note"), None);
        assert_eq!(record.date("updated_at"), None);
        assert!(record.date("start_date").is_some());
        assert!(record.flag("is_custom") && record.flag("is_vip") && !record.flag("is_new"));
        assert_eq!(record.list("visits").len(), 1);
        assert!(record.time("time_frame_promised_start").is_some());
    }
}
