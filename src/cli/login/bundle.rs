//! What a bundle of a hosting service says: whose it is and the device token, wherever in the file they stand.

use std::{io::Read, path::Path};

use anyhow::Context;
use jsonc_parser::{JsonValue, ParseOptions};
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    auth::broker::Broker,
    cli::{Exit, Failure},
    origin,
};

const URL: &str = "SF_MCP_SUPERVISOR_URL";
const TOKEN: &str = "SF_MCP_DEVICE_TOKEN";
/// A client's whole configuration may hold the two.
const LARGEST: u64 = 1024 * 1024;

/// Reads `NAME=value` lines, or a client's configuration in JSON or TOML that has the two variables somewhere.
pub(super) fn read(path: &Path) -> Result<Broker, Failure> {
    let refuse = |problem: &str| {
        Failure::new(
            Exit::Usage,
            format!(
                "{} {problem}. For a login, get the `env` bundle from the hosting service and give its path",
                path.display()
            ),
        )
    };
    if path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("mcpb"))
    {
        return Err(refuse("is an extension; open it in Claude Desktop"));
    }
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
        .with_context(|| format!("{} cannot be read", path.display()))?;
    if text.len() as u64 > LARGEST {
        return Err(refuse("is larger than 1 MB, so it is no bundle"));
    }
    let mut found = pairs(&text);
    found.sort();
    found.dedup();
    let (url, token) = match found.len() {
        0 => return Err(refuse(&format!("does not hold both {URL} and {TOKEN}"))),
        1 => found.remove(0),
        _ => return Err(refuse("holds more than one device token")),
    };
    let host = origin::checked_service(&url)
        .map_err(|accepted| refuse(&format!("names `{url}` as {URL}, but {accepted}")))?;
    Broker::new(host, SecretString::from(token))
        .ok_or_else(|| refuse(&format!("holds a {TOKEN} that cannot be one")))
}

/// Every place where both stand side by side.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let text = text.trim_start_matches('\u{feff}');
    let json = jsonc_parser::parse_to_value(text, &ParseOptions::default());
    if let Ok(Some(value @ (JsonValue::Object(_) | JsonValue::Array(_)))) = json {
        collect(&plain(value), &mut found);
    } else if let Ok(value) = toml::from_str::<Value>(text)
        && value.is_object()
    {
        collect(&value, &mut found);
    }
    if found.is_empty() {
        found.extend(of_lines(text));
    }
    found
}

/// Of all values only texts matter here.
fn plain(value: JsonValue<'_>) -> Value {
    match value {
        JsonValue::String(text) => Value::from(text.into_owned()),
        JsonValue::Array(items) => items.into_iter().map(plain).collect(),
        JsonValue::Object(fields) => {
            let fields = fields.into_iter();
            fields
                .map(|(name, value)| (name.to_string(), plain(value)))
                .collect()
        }
        _ => Value::Null,
    }
}

fn collect(value: &Value, found: &mut Vec<(String, String)>) {
    let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
    if let (Some(url), Some(token)) = (text(URL), text(TOKEN)) {
        found.push((url, token));
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|inner| collect(inner, found)),
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}

fn of_lines(text: &str) -> Option<(String, String)> {
    let value = |name: &str| {
        text.lines().rev().find_map(|line| {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            let value = line.strip_prefix(name)?.trim_start().strip_prefix('=')?;
            let value = value.trim();
            let bare = ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            Some(bare.unwrap_or(value).to_owned())
        })
    };
    Some((value(URL)?, value(TOKEN)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_are_found_in_every_form_of_a_bundle() {
        let wanted = vec![("https://sf.example.com".to_owned(), "sfd_x".to_owned())];
        for text in [
            "# a bundle\nSF_MCP_SUPERVISOR_URL=https://sf.example.com\nSF_MCP_DEVICE_TOKEN=sfd_x\n",
            "export SF_MCP_SUPERVISOR_URL='https://sf.example.com'\r\n export SF_MCP_DEVICE_TOKEN=\"sfd_x\"\r\n",
            r#"{"mcpServers": {"service-fusion": {"command": "sf-mcp", // ours
               "env": {"SF_MCP_SUPERVISOR_URL": "https://sf.example.com", "SF_MCP_DEVICE_TOKEN": "sfd_x"}}}}"#,
            "[mcp_servers.service-fusion]\ncommand = \"sf-mcp\"\n[mcp_servers.service-fusion.env]\n\
             SF_MCP_SUPERVISOR_URL = \"https://sf.example.com\"\nSF_MCP_DEVICE_TOKEN = \"sfd_x\"\n",
        ] {
            assert_eq!(pairs(text), wanted, "{text}");
        }
        for text in ["", "SF_MCP_DEVICE_TOKEN=sfd_x", "{}", "[1]", "\u{0}"] {
            assert!(pairs(text).is_empty(), "{text}");
        }
    }
}
