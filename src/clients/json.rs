//! Our entry in a JSON file, comments and trailing commas allowed. Everything else stays byte for byte.

use std::collections::BTreeMap;

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, ObjectProp, Value},
    common::Ranged,
    parse_to_ast,
};
use serde_json::json;

use crate::clients::{
    SERVER,
    entry::{Edit, Entry, Previous, Problem},
    json::{
        layout::Layout,
        splice::{insert, remove},
    },
};

mod layout;
mod splice;

/// Enters `entry` below `key`. `typed` adds `"type": "stdio"`.
pub(super) fn install(text: &str, key: &str, entry: &Entry, typed: bool) -> Result<Edit, Problem> {
    let value = server(entry, typed);
    let Some(root) = parse(text)? else {
        return Ok(Edit::Added(new_document(text, key, &value)));
    };
    let Some(servers) = servers(text, &root, key)? else {
        let servers = json!({ SERVER: value });
        return Ok(Edit::Added(insert(text, &root, &root, key, &servers)));
    };
    match member(servers, SERVER) {
        None => Ok(Edit::Added(insert(text, &root, servers, SERVER, &value))),
        Some(old) => {
            let before = read_entry(&old.value);
            let entry = entry.over(before.as_ref());
            if before.as_ref() == Some(&entry) {
                return Ok(Edit::Unchanged);
            }
            let range = old.value.range();
            let new = Layout::of_member(text, &root, old).render(&server(&entry, typed));
            let text = format!("{}{new}{}", &text[..range.start], &text[range.end..]);
            let previous = previous(&old.value, before.as_ref(), &entry);
            Ok(Edit::Replaced(text, previous))
        }
    }
}

/// Every server in the text with how it is started; `None` for one that is not a program.
pub(super) fn list(text: &str, key: &str) -> Result<Vec<(String, Option<Entry>)>, Problem> {
    let Some(root) = parse(text)? else {
        return Ok(Vec::new());
    };
    let Some(servers) = servers(text, &root, key)? else {
        return Ok(Vec::new());
    };
    let named = servers.properties.iter();
    Ok(named
        .map(|member| (member.name.as_str().to_owned(), read_entry(&member.value)))
        .collect())
}

/// The text without our entry and what that was; `None` when there is none.
pub(super) fn uninstall(text: &str, key: &str) -> Result<Option<(String, Option<Entry>)>, Problem> {
    let Some(root) = parse(text)? else {
        return Ok(None);
    };
    let Some(servers) = servers(text, &root, key)? else {
        return Ok(None);
    };
    let Some(at) = position(servers, SERVER) else {
        return Ok(None);
    };
    let entry = read_entry(&servers.properties[at].value);
    let rest = remove(text, servers, at);
    // Of two entries of one name a client sees the last; with that gone, the other one would come back.
    Ok(match uninstall(&rest, key)? {
        Some((rest, _)) => Some((rest, entry)),
        None => Some((rest, entry)),
    })
}

/// `None` when there is no value in the text, only blanks or comments.
fn parse(text: &str) -> Result<Option<Object<'_>>, Problem> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
        .map_err(|error| Problem::at(text, error.range().start, said(&error)))?;
    match parsed.value {
        None => Ok(None),
        Some(Value::Object(root)) => Ok(Some(root)),
        Some(other) => Err(Problem::at(
            text,
            other.start(),
            "the file does not hold an object, `{ ... }`",
        )),
    }
}

fn said(error: &jsonc_parser::errors::ParseError) -> String {
    let mut message = format!("this is not JSON: {}", error.kind());
    let start = "this is not JSON: ".len();
    if let Some(first) = message.get_mut(start..=start) {
        first.make_ascii_lowercase();
    }
    message
}

/// The object that holds all servers.
fn servers<'o, 'a>(
    text: &str,
    root: &'o Object<'a>,
    key: &str,
) -> Result<Option<&'o Object<'a>>, Problem> {
    match member(root, key).map(|member| &member.value) {
        None => Ok(None),
        Some(Value::Object(servers)) => Ok(Some(servers)),
        Some(other) => Err(Problem::at(
            text,
            other.start(),
            format!("`{key}` is not an object, `{{ ... }}`, so no server can be put there"),
        )),
    }
}

fn member<'o, 'a>(object: &'o Object<'a>, name: &str) -> Option<&'o ObjectProp<'a>> {
    position(object, name).map(|at| &object.properties[at])
}

/// Of two members of one name the last one counts.
fn position(object: &Object, name: &str) -> Option<usize> {
    object
        .properties
        .iter()
        .rposition(|member| member.name.as_str() == name)
}

fn server(entry: &Entry, typed: bool) -> serde_json::Value {
    let Entry { command, args, env } = entry;
    let mut server = if typed {
        json!({"type": "stdio", "command": command, "args": args})
    } else {
        json!({"command": command, "args": args})
    };
    if !env.is_empty() {
        server["env"] = json!(env);
    }
    server
}

/// `None` when this is not a local server.
fn read_entry(value: &Value) -> Option<Entry> {
    let object = value.as_object()?;
    if let Some(kind) = member(object, "type")
        && kind.value.as_string_lit()?.value != "stdio"
    {
        return None;
    }
    let text = |value: &Value| Some(value.as_string_lit()?.value.to_string());
    let args = match member(object, "args") {
        Some(args) => args
            .value
            .as_array()?
            .elements
            .iter()
            .map(text)
            .collect::<Option<_>>()?,
        None => Vec::new(),
    };
    let env = match member(object, "env") {
        Some(env) => {
            let variables = env.value.as_object()?.properties.iter();
            variables
                .map(|member| Some((member.name.as_str().to_owned(), text(&member.value)?)))
                .collect::<Option<_>>()?
        }
        None => BTreeMap::new(),
    };
    Some(Entry {
        command: text(&member(object, "command")?.value)?,
        args,
        env,
    })
}

fn previous(value: &Value, old: Option<&Entry>, new: &Entry) -> Previous {
    let Some(object) = value.as_object() else {
        return Previous::default();
    };
    let target = ["command", "url"].iter().find_map(|name| {
        let text = member(object, name)?.value.as_string_lit()?;
        Some(text.value.to_string())
    });
    let names = object.properties.iter().map(|member| member.name.as_str());
    Previous::of(target, names, old, new)
}

/// A file of our own, below whatever comments are there.
fn new_document(text: &str, key: &str, value: &serde_json::Value) -> String {
    let layout = Layout::plain(text);
    let comments = text.trim_end();
    let gap = if comments.is_empty() {
        ""
    } else {
        layout.newline
    };
    let document = layout.render(&json!({ key: { SERVER: value } }));
    format!("{comments}{gap}{document}{}", layout.newline)
}
