//! What clients of the older revisions get without the child: it is driven in the newest revision only.

use serde_json::{Value, json, value::RawValue};

use crate::gateway::envelope::Object;

/// The answer to `initialize`: made of what the child says in `server/discover`, without a session.
pub(super) fn initialized(discovery: &[u8], version: &str) -> Option<String> {
    let text = std::str::from_utf8(discovery).ok()?;
    let known = Object::parse(text).ok()?;
    let mut answer = Object::default();
    let version = json!(version).to_string();
    answer.set("protocolVersion", version.as_str());
    answer.set("capabilities", known.get("capabilities").unwrap_or("{}"));
    let server = known.get("serverInfo").map(str::to_owned);
    let server = server.or_else(|| stamped(&known)).unwrap_or_else(|| {
        json!({"name": "sf-mcp", "version": env!("CARGO_PKG_VERSION")}).to_string()
    });
    answer.set("serverInfo", server);
    if let Some(instructions) = known.get("instructions") {
        answer.set("instructions", instructions);
    }
    Some(answer.to_text())
}

/// The server's name, where it stands in `_meta`.
fn stamped(known: &Object<'_>) -> Option<String> {
    let meta = Object::parse(known.get("_meta")?).ok()?;
    meta.get("io.modelcontextprotocol/serverInfo")
        .map(str::to_owned)
}

/// The code of a raw error.
pub(super) fn error_code(raw: &[u8]) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Error<'a> {
        code: i64,
        #[serde(borrow, rename = "message")]
        _message: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Error<'_>>(raw)
        .ok()
        .map(|error| error.code)
}

/// An empty result, as `ping` gets.
pub(super) fn nothing() -> Value {
    json!({})
}
