//! Turns the values of a body into the types the contract declares.

use serde_json::{Value, json};

use crate::sandbox::contract::BodyField;
use crate::sandbox::table::integer;

pub(crate) fn typed(field: &BodyField, value: &Value, label: &str) -> Result<Value, String> {
    match field.type_name.as_str() {
        "int" => whole_number(field, value, label),
        "num" => number(value).ok_or_else(|| format!("{label} must be a number.")),
        "bool" => boolean(value).ok_or_else(|| format!("{label} must be either \"1\" or \"0\".")),
        "ref" => match value {
            Value::Number(_) => Ok(value.clone()),
            _ => text(field, value, label),
        },
        "any" => Ok(value.clone()),
        _ => text(field, value, label),
    }
}

fn whole_number(field: &BodyField, value: &Value, label: &str) -> Result<Value, String> {
    let number = integer(value).ok_or_else(|| format!("{label} must be an integer."))?;
    match (field.minval, field.maxval) {
        (Some(least), _) if number < least => {
            Err(format!("{label} is too small (minimum is {least})."))
        }
        (_, Some(most)) if number > most => Err(format!("{label} is too big (maximum is {most}).")),
        _ => Ok(json!(number)),
    }
}

/// Number-like strings pass, as in the API's own examples.
fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(Value::from),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<Value> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    match text.as_str() {
        "true" | "1" => Some(json!(true)),
        "false" | "0" => Some(json!(false)),
        _ => None,
    }
}

fn text(field: &BodyField, value: &Value, label: &str) -> Result<Value, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(format!("{label} must be a string.")),
    };
    if let Some(most) = field.max.filter(|&most| text.chars().count() > most) {
        return Err(format!(
            "{label} is too long (maximum is {most} characters)."
        ));
    }
    let is_valid = text.is_empty() || is_format(&field.type_name, &text);
    if !is_valid
        || field
            .pattern
            .as_deref()
            .is_some_and(|pattern| !fits(pattern, &text))
    {
        return Err(format!("{label} is invalid."));
    }
    let is_list = field.type_name == "strlist";
    let is_allowed = |part: &str| {
        field.allowed.is_empty() || field.allowed.iter().any(|allowed| allowed == part)
    };
    let is_in_list = if is_list {
        text.split(',').all(|part| is_allowed(part.trim()))
    } else {
        is_allowed(&text)
    };
    if !is_in_list {
        return Err(format!("{label} is not in the list."));
    }
    Ok(json!(text))
}

fn is_format(type_name: &str, text: &str) -> bool {
    match type_name {
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "time" => text.len() == 5 && text.parse::<jiff::civil::Time>().is_ok(),
        "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "email" => text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.')),
        _ => true,
    }
}

/// Understands what the contract's patterns are made of: `[0-9]{n}` and plain characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.trim_matches(['^', '$']);
    let mut rest = text;
    while !pattern.is_empty() {
        let digits = pattern
            .strip_prefix("[0-9]{")
            .and_then(|after| after.split_once('}'));
        let Some((count, after)) = digits else {
            let literal = pattern.chars().next().unwrap_or_default();
            let Some(shorter) = rest.strip_prefix(literal) else {
                return false;
            };
            (rest, pattern) = (shorter, &pattern[literal.len_utf8()..]);
            continue;
        };
        let count = count.parse().unwrap_or(0);
        match rest.get(..count) {
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                rest = &rest[count..];
            }
            _ => return false,
        }
        pattern = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_has_its_dashes_in_place() {
        let pattern = "^[0-9]{3}-[0-9]{3}-[0-9]{4}$";

        assert!(fits(pattern, "214-555-0100"));
        for wrong in [
            "2145550100",
            "214-555-01000",
            "214-555-010",
            "(214) 555-0100",
            "214-555-01é",
        ] {
            assert!(!fits(pattern, wrong), "{wrong}");
        }
    }
}
