//! Arguments of a tool: the first line is the tool's name, then comes what a client sends.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use sf_fuzz::{TOOLSETS, company, wait_for};
use sf_mcp::{
    server::{
        arguments::{check, normalize},
        call::Call,
        tool::Tool,
    },
    tools,
};

/// Longest error: a client's model reads it.
const LONGEST: usize = 24_000;

fuzz_target!(|input: &str| {
    static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| tools::catalog(&TOOLSETS, false));
    let (name, arguments) = input.split_once('\n').unwrap_or_default();
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
        return;
    };
    let Ok(given) = serde_json::from_str::<Map<String, Value>>(arguments) else {
        return;
    };

    let normal = normalize(tool, given);
    assert_eq!(normalize(tool, normal.clone()), normal);
    match check(tool, &normal) {
        Ok(()) => {
            let schema = Value::Object((**tool.schema()).clone());
            assert_eq!(strays(&schema, &Value::Object(normal.clone())), None);
            is_read(tool, normal);
        }
        Err(problem) => {
            let said = problem.to_string();
            assert!(said.len() <= LONGEST, "{} bytes", said.len());
            assert!(!said.chars().any(char::is_control), "{said}");
        }
    }
});

/// Whatever the schema lets through, the tool reads; nobody is signed in, so it goes no further than that.
fn is_read(tool: &Tool, arguments: Map<String, Value>) {
    let call = Call::new(
        &Arc::new(company()),
        tokio_util::sync::CancellationToken::new(),
        None,
    );
    let call = call.with_arguments(tool.name, &arguments);
    let problem = wait_for(tool.run(call, arguments)).expect_err("nobody is signed in");
    let said = problem.to_string();
    assert!(!said.contains("cannot be read"), "{said}");
    assert!(said.len() <= LONGEST, "{} bytes", said.len());
}

/// The first place where a value is not what the schema says, looked up by other code than the program's.
fn strays(schema: &Value, value: &Value) -> Option<String> {
    let is_kind = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !is_kind {
        return Some(value.to_string());
    }
    let choices = schema["enum"].as_array();
    if choices.is_some_and(|choices| !choices.contains(value)) {
        return Some(value.to_string());
    }
    match value {
        Value::Object(fields) => {
            let missing = schema["required"].as_array().into_iter().flatten();
            let missing = missing.filter_map(Value::as_str);
            let mut missing = missing.filter(|name| !fields.contains_key(*name));
            let unknown = |name: &String| schema["properties"].get(name).is_none();
            missing
                .next()
                .map(str::to_owned)
                .or_else(|| fields.keys().find(|name| unknown(name)).cloned())
                .or_else(|| {
                    let mut fields = fields.iter();
                    fields.find_map(|(name, value)| strays(&schema["properties"][name], value))
                })
        }
        Value::Array(items) => items.iter().find_map(|item| strays(&schema["items"], item)),
        _ => None,
    }
}
