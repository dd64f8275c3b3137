//! Checks a call's arguments against the tool's schema and says everything that is wrong with them at once.
//!
//! Models now and then send `"20"` for 20 or one text where a list is taken; what is meant is plain, so it is
//! accepted. An argument that does not exist is an error: ignoring a misspelt filter would return everything.

use serde_json::{Map, Value};

use crate::server::{
    tool::{Access, Tool},
    tool_error::{ToolError, closest},
};

/// Longest text an argument may hold; more is never a search or a note but a mistake.
const LONGEST_TEXT: usize = 20_000;

/// How many mistakes of a call are said; whoever makes more has made one that explains them.
const MOST_PROBLEMS: usize = 10;

/// Puts the arguments into the form the schema asks for.
pub fn normalize(tool: &Tool, arguments: Map<String, Value>) -> Map<String, Value> {
    let properties = tool.schema().get("properties").and_then(Value::as_object);
    arguments
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .filter(|(name, value)| {
            // A record is created without a list whose text is blank; a search would take it for "all".
            let schema = properties.and_then(|known| known.get(name));
            let is_list = schema.is_some_and(|schema| schema["type"] == "array");
            tool.access == Access::Reads || !is_list || !is_blank(value)
        })
        .map(
            |(name, value)| match properties.and_then(|known| known.get(&name)) {
                Some(schema) => (name, coerce(schema, value)),
                None => (name, value),
            },
        )
        .collect()
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn coerce(schema: &Value, value: Value) -> Value {
    let kind = schema
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (kind, value) {
        ("integer", Value::String(text)) => {
            let digits = text.trim().trim_start_matches('#');
            digits
                .parse::<i64>()
                .map_or(Value::String(text), Value::from)
        }
        ("integer", Value::Number(number)) => {
            let whole = number
                .as_f64()
                .filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a whole number below 9e15 is exact"
            )]
            match whole {
                Some(float) if number.as_i64().is_none() => Value::from(float as i64),
                _ => Value::Number(number),
            }
        }
        ("number", Value::String(text)) => {
            let plain = text.trim().trim_start_matches('$').replace(',', "");
            let number = plain.parse::<f64>().ok();
            number
                .filter(|number| number.is_finite())
                .map_or(Value::String(text), Value::from)
        }
        ("boolean", Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "true" | "yes" => Value::Bool(true),
            "false" | "no" => Value::Bool(false),
            _ => Value::String(text),
        },
        ("string", Value::Number(number)) => Value::String(number.to_string()),
        ("string", Value::String(text)) if schema.get("enum").is_some() => {
            Value::String(spelled(schema, text))
        }
        ("array", Value::Array(items)) => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(items.into_iter().map(|value| coerce(item, value)).collect())
        }
        ("array", Value::String(text)) if !text.trim_start().starts_with(['[', '{']) => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            let parts: Vec<Value> = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| coerce(item, Value::from(part)))
                .collect();
            if parts.is_empty() {
                return Value::String(text);
            }
            Value::Array(parts)
        }
        // Some clients send lists and objects as their JSON text.
        ("array" | "object", Value::String(text)) => match serde_json::from_str(&text) {
            Ok(meant @ (Value::Array(_) | Value::Object(_))) => coerce(schema, meant),
            _ => Value::String(text),
        },
        ("array", single @ (Value::Number(_) | Value::Object(_))) => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(vec![coerce(item, single)])
        }
        ("object", Value::Object(fields)) => {
            let known = schema.get("properties").and_then(Value::as_object);
            let coerced = fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(
                    |(name, value)| match known.and_then(|known| known.get(&name)) {
                        Some(schema) => (name, coerce(schema, value)),
                        None => (name, value),
                    },
                );
            Value::Object(coerced.collect())
        }
        (_, value) => value,
    }
}

/// `Normal` where `normal` was meant.
fn spelled(schema: &Value, text: String) -> String {
    let choices = schema.get("enum").and_then(Value::as_array);
    let plain = |text: &str| text.trim().to_lowercase().replace([' ', '-'], "_");
    choices
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|choice| plain(choice) == plain(&text))
        .map_or(text, ToOwned::to_owned)
}

/// Refuses what the schema does not take. `arguments` are normalized.
pub fn check(tool: &Tool, arguments: &Map<String, Value>) -> Result<(), ToolError> {
    let mut problems = match tool.access {
        Access::Reads => blanks(tool.schema(), arguments),
        Access::Creates => Vec::new(),
    };
    let mut others = Vec::new();
    check_object(tool.schema(), arguments, "", &mut others);
    others.retain(|(place, _)| !problems.iter().any(|(blank, _)| blank == place));
    problems.extend(others);
    let Some(((name, message), others)) = problems.split_first() else {
        return Ok(());
    };
    let others = others.iter().take(MOST_PROBLEMS - 1);
    let mut all = vec![message.clone()];
    all.extend(others.map(|(name, message)| format!("`{name}`: {message}")));
    if problems.len() > all.len() {
        all.push("and there is more".to_owned());
    }
    Err(ToolError::argument(name, all.join("; ")))
}

/// Blank texts: as filters they would let everything through.
fn blanks(schema: &Map<String, Value>, arguments: &Map<String, Value>) -> Vec<(String, String)> {
    let required = schema.get("required").and_then(Value::as_array);
    let required: Vec<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut places = Vec::new();
    for (name, value) in arguments {
        match value {
            Value::Array(items) => places.extend(
                items
                    .iter()
                    .enumerate()
                    .filter(|(_, item)| is_blank(item))
                    .map(|(index, _)| format!("{}[{index}]", join("", name))),
            ),
            value if is_blank(value) && !required.contains(&name.as_str()) => {
                places.push(join("", name));
            }
            _ => {}
        }
    }
    places
        .into_iter()
        .take(MOST_PROBLEMS)
        .map(|place| (place, "is empty; leave it out".to_owned()))
        .collect()
}

fn check_object(
    schema: &Map<String, Value>,
    fields: &Map<String, Value>,
    path: &str,
    problems: &mut Vec<(String, String)>,
) {
    let empty = Map::new();
    let known = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    for (name, value) in fields {
        // Nothing beyond is looked at: there may be thousands.
        if problems.len() > MOST_PROBLEMS {
            return;
        }
        let place = join(path, name);
        match known.get(name) {
            Some(schema) => check_value(schema, value, &place, problems),
            None => problems.push((place, unknown(name, known))),
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            let what = known
                .get(name)
                .and_then(|schema| schema.get("description"))
                .and_then(Value::as_str);
            let mut message = "is required".to_owned();
            if let Some(what) = what {
                message = format!("{message}: {}", what.trim_end_matches('.'));
            }
            problems.push((join(path, name), message));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

fn unknown(name: &str, known: &Map<String, Value>) -> String {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    match (closest(name, names.iter().copied()), names.is_empty()) {
        (_, true) => "this tool takes no arguments".to_owned(),
        (Some(meant), _) => format!(
            "there is no such argument; did you mean `{meant}`? Accepted: {}",
            names.join(", ")
        ),
        (None, _) => format!("there is no such argument. Accepted: {}", names.join(", ")),
    }
}

fn check_value(schema: &Value, value: &Value, place: &str, problems: &mut Vec<(String, String)>) {
    let kind = schema
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut refuse = |message: String| problems.push((place.to_owned(), message));
    match (kind, value) {
        ("integer", Value::Number(number)) if number.is_i64() => {
            check_bounds(schema, number.as_f64(), &mut refuse);
        }
        ("number", Value::Number(number)) => check_bounds(schema, number.as_f64(), &mut refuse),
        ("boolean", Value::Bool(_)) | ("", _) => {}
        ("string", Value::String(text)) => check_text(schema, text, &mut refuse),
        ("array", Value::Array(items)) => {
            let most = schema
                .get("maxItems")
                .and_then(Value::as_u64)
                .unwrap_or(100);
            if items.len() as u64 > most {
                refuse(format!(
                    "holds {} entries, at most {most} are taken",
                    items.len()
                ));
            }
            let item = schema.get("items").unwrap_or(&Value::Null);
            for (index, value) in items.iter().enumerate().take(100) {
                check_value(item, value, &format!("{place}[{index}]"), problems);
            }
        }
        ("object", Value::Object(fields)) => {
            if let Value::Object(schema) = schema {
                check_object(schema, fields, place, problems);
            }
        }
        (wanted, other) => refuse(format!("must be {}, not {}", article(wanted), shown(other))),
    }
}

fn check_bounds(schema: &Value, number: Option<f64>, refuse: &mut impl FnMut(String)) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let number = number.unwrap_or(f64::NAN);
    let below = bound("minimum").is_some_and(|least| number < least);
    let above = bound("maximum").is_some_and(|most| number > most);
    if below || above {
        let range = match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("must be from {least} to {most}"),
            (Some(least), None) => format!("must be at least {least}"),
            (None, most) => format!("must be at most {}", most.unwrap_or_default()),
        };
        refuse(range);
    }
}

fn check_text(schema: &Value, text: &str, refuse: &mut impl FnMut(String)) {
    let longest = schema
        .get("maxLength")
        .and_then(Value::as_u64)
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(LONGEST_TEXT);
    let length = text.chars().count();
    if length > longest {
        refuse(format!(
            "is {length} characters long, at most {longest} are taken"
        ));
    }
    let Some(choices) = schema.get("enum").and_then(Value::as_array) else {
        return;
    };
    let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
    if !choices.contains(&text) {
        let meant = closest(text, choices.iter().copied())
            .map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        refuse(format!("accepts {}{meant}", choices.join(", ")));
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "string" => "a text",
        "array" => "a list",
        _ => "an object",
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{config::Toolset, tools};

    fn tool(name: &str) -> Tool {
        let all = [Toolset::Core, Toolset::Dispatch, Toolset::Extra];
        let mut tools = tools::catalog(&all, false).into_iter();
        tools.find(|tool| tool.name == name).unwrap()
    }

    fn fields(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_list_that_came_as_its_text_is_read_like_one_that_did_not() {
        let tool = tool("create_estimate");
        let lines = json!([{"name": "Anode rod", "quantity": "2", "kind": "Product"}]);
        for given in [lines.to_string().into(), lines] {
            let normal = normalize(&tool, fields(json!({"lines": given})));
            let meant = json!([{"name": "Anode rod", "quantity": 2, "kind": "product"}]);
            assert_eq!(normal["lines"], meant);
        }
    }

    #[test]
    fn what_is_no_number_stays_a_text() {
        let tool = tool("search_estimates");
        for given in ["1e999", "inf", "NaN"] {
            let given = fields(json!({"minimum_total": given}));
            assert_eq!(normalize(&tool, given.clone()), given);
            assert!(check(&tool, &given).is_err());
        }
    }

    #[test]
    fn an_error_shows_no_control_characters() {
        let tool = tool("search_estimates");
        let given = fields(json!({"open": "\u{7f}\u{9b}yes\u{1b}", "\u{85}x": 1}));
        let problem = check(&tool, &given).unwrap_err().to_string();
        assert!(!problem.chars().any(char::is_control), "{problem:?}");
    }

    #[test]
    fn an_error_about_many_arguments_is_short() {
        let tool = tool("search_customers");
        let many = (0..100_000).map(|n| (format!("a{n}"), json!("")));
        let problem = check(&tool, &many.collect()).unwrap_err().to_string();
        assert!(problem.len() < 10_000, "{} bytes", problem.len());
        assert!(problem.contains("and there is more"), "{problem}");
    }
}
