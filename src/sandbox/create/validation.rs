//! Checks a body against the contract: which fields it may and must have.

use serde_json::{Map, Value};

use crate::sandbox::contract::{Body, CONTRACT};
use crate::sandbox::create::{Problems, values};

pub(crate) fn checked(
    type_name: &str,
    body: &Map<String, Value>,
    prefix: &str,
    problems: &mut Problems,
) -> Map<String, Value> {
    let mut out = Map::new();
    let Some(known) = CONTRACT.body(type_name) else {
        return out;
    };
    for name in body.keys().filter(|name| !known.contains_key(*name)) {
        problems.add(&format!("{prefix}{name}"), "invalid field's name");
    }
    require(known, body, prefix, problems);
    for (name, field) in known {
        let Some(value) = body.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if field.type_name.starts_with('[') {
            out.insert(
                name.clone(),
                checked_rows(&field.type_name, value, &path, problems),
            );
            continue;
        }
        match values::typed(field, value, &label(name)) {
            Ok(value) => {
                out.insert(name.clone(), value);
            }
            Err(message) => problems.add(&path, message),
        }
    }
    out
}

fn require(known: &Body, body: &Map<String, Value>, prefix: &str, problems: &mut Problems) {
    for (name, _) in known.iter().filter(|(_, field)| field.required) {
        let is_blank = match body.get(name) {
            None | Some(Value::Null) => true,
            // A custom field may be emptied on purpose.
            Some(Value::String(text)) => name != "value" && text.trim().is_empty(),
            Some(_) => false,
        };
        if is_blank {
            problems.add(
                &format!("{prefix}{name}"),
                format!("{} cannot be blank.", label(name)),
            );
        }
    }
}

fn checked_rows(type_name: &str, value: &Value, path: &str, problems: &mut Problems) -> Value {
    let Some(rows) = value.as_array() else {
        problems.add(path, format!("{} must be an array.", label(path)));
        return Value::Null;
    };
    let mut out = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        match row.as_object() {
            Some(row) => {
                out.push(checked(type_name, row, &format!("{path}[{index}]."), problems).into());
            }
            None => problems.add(
                &format!("{path}[{index}]"),
                format!("{} is invalid.", label(path)),
            ),
        }
    }
    Value::Array(out)
}

/// `customer_name` reads "Customer Name" in messages.
fn label(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::table::fields;

    fn problems(type_name: &str, body: Value) -> Vec<(String, String)> {
        let mut problems = Problems::default();
        checked(type_name, &fields(body), "", &mut problems);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        problems
            .0
            .iter()
            .map(|problem| (text(&problem["field"]), text(&problem["message"])))
            .collect()
    }

    #[test]
    fn an_unknown_key_is_named() {
        let found = problems("CustomerBody", json!({"customer_name": "A", "phone": "1"}));

        assert_eq!(
            found,
            [("phone".to_owned(), "invalid field's name".to_owned())]
        );
    }

    #[test]
    fn rows_are_checked_with_their_place() {
        let contact = json!({"fname": "A", "lname": "B", "phones": [{"phone": "2145550100"}]});
        let found = problems(
            "CustomerBody",
            json!({"customer_name": "A", "contacts": [contact, {"fname": "C"}]}),
        );

        let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["contacts[0].phones[0].phone", "contacts[1].lname"]);
    }

    #[test]
    fn bounds_enums_and_dates_are_kept() {
        let body = json!({
            "customer_name": "A", "duration": 90_000, "priority": "Urgent", "start_date": "2026-02-30",
            "time_frame_promised_start": "9:00", "is_gated": "maybe", "city": "x".repeat(256),
        });

        let found = problems("JobBody", body);

        assert_eq!(found.len(), 6, "{found:?}");
        assert!(found.contains(&(
            "duration".into(),
            "Duration is too big (maximum is 86400).".into()
        )));
        assert!(found.contains(&("priority".into(), "Priority is not in the list.".into())));
    }

    #[test]
    fn number_like_strings_become_numbers() {
        let mut problems = Problems::default();
        let body = fields(json!({"customer_name": "A", "discount": "15.25", "is_vip": "1"}));

        let body = checked("CustomerBody", &body, "", &mut problems);

        assert!(problems.is_empty());
        assert_eq!(
            (&body["discount"], &body["is_vip"]),
            (&json!(15.25), &json!(true))
        );
    }

    #[test]
    fn a_required_field_must_not_be_blank() {
        for name in [json!(null), json!(" ")] {
            let found = problems("JobBody", json!({"customer_name": name}));
            assert_eq!(
                found,
                [(
                    "customer_name".to_owned(),
                    "Customer Name cannot be blank.".to_owned()
                )]
            );
        }
    }
}
