//! Which revision of the protocol a request speaks, and whether it keeps that revision's rules.
//!
//! 2026-07-28 puts its version into every request and mirrors parts of it in headers; the revisions before begin with
//! `initialize` and name their version in a header only. The order of the checks is the specification's.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::gateway::envelope::Message;

/// Revisions without a handshake.
pub const MODERN: [&str; 1] = ["2026-07-28"];
/// Revisions that begin with `initialize`, the newest first.
pub const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// A legacy request without the header.
const UNNAMED: &str = "2025-03-26";

pub const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
pub const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
pub const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// JSON-RPC's and MCP's error codes that are answered here.
pub mod code {
    pub const PARSE: i64 = -32700;
    pub const INVALID_REQUEST: i64 = -32600;
    pub const METHOD_NOT_FOUND: i64 = -32601;
    pub const INVALID_PARAMS: i64 = -32602;
    pub const INTERNAL: i64 = -32603;
    pub const HEADER_MISMATCH: i64 = -32020;
    pub const UNSUPPORTED_VERSION: i64 = -32022;
}

/// Methods of each era; the child knows them too, but an unknown one needs no child.
pub const SHARED: [&str; 9] = [
    "tools/call",
    "tools/list",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "subscriptions/listen",
];

/// How a request is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Stateless, with this version in the request.
    Modern(&'static str),
    /// As a request after `initialize`, with this version.
    Legacy(&'static str),
    /// `initialize` itself, to be answered with this version.
    Handshake(&'static str),
}

impl Era {
    /// As clients name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Modern(version) | Self::Legacy(version) | Self::Handshake(version) => version,
        }
    }
}

/// A request that is refused: the HTTP status and the JSON-RPC error.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            data: None,
        }
    }

    fn bad(code: i64, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    fn unsupported(requested: &str) -> Self {
        let supported: Vec<&str> = MODERN.into_iter().chain(LEGACY).collect();
        Self {
            data: Some(json!({"supported": supported, "requested": requested})),
            ..Self::bad(
                code::UNSUPPORTED_VERSION,
                format!("the protocol version {requested} is not supported"),
            )
        }
    }
}

/// Decides how a request or notification is served.
pub fn decide(headers: &HeaderMap, message: &Message<'_>) -> Result<Era, Refusal> {
    let header = single(headers, &VERSION)?;
    if let Some(meta) = (message.meta.as_ref()).filter(|meta| meta.get(VERSION_KEY).is_some()) {
        let version = meta.text(VERSION_KEY).ok_or_else(|| {
            Refusal::bad(
                code::INVALID_PARAMS,
                format!("`{VERSION_KEY}` must be a string"),
            )
        })?;
        return modern(headers, header, &version, message);
    }
    let is_modern_header = header.is_some_and(|header| header >= MODERN[0]);
    if message.method == "initialize" {
        return handshake(message, is_modern_header);
    }
    if is_modern_header || message.method == "server/discover" {
        return Err(Refusal::bad(
            code::INVALID_PARAMS,
            format!("`params._meta` must name the protocol version as `{VERSION_KEY}`"),
        ));
    }
    let header = header.unwrap_or(UNNAMED);
    let version = known(&LEGACY, header).ok_or_else(|| Refusal::unsupported(header))?;
    Ok(Era::Legacy(version))
}

fn modern(
    headers: &HeaderMap,
    header: Option<&str>,
    version: &str,
    message: &Message<'_>,
) -> Result<Era, Refusal> {
    // Both name a revision from before: its own shape, without the newer rules.
    if header == Some(version)
        && let Some(legacy) = known(&LEGACY, version)
    {
        return Ok(Era::Legacy(legacy));
    }
    mirrored(headers, header, version, message)?;
    let version = known(&MODERN, version).ok_or_else(|| Refusal::unsupported(version))?;
    let capabilities = message
        .meta
        .as_ref()
        .and_then(|meta| meta.get(CAPABILITIES_KEY));
    if message.id.is_some() && !capabilities.is_some_and(|raw| raw.starts_with('{')) {
        return Err(Refusal::bad(
            code::INVALID_PARAMS,
            format!("`params._meta` must hold `{CAPABILITIES_KEY}`, an object"),
        ));
    }
    let is_known = message.method == "server/discover" || SHARED.contains(&message.method.as_ref());
    if message.id.is_some() && !is_known {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            code::METHOD_NOT_FOUND,
            format!("there is no method {}", shown(&message.method)),
        ));
    }
    Ok(Era::Modern(version))
}

/// The headers that repeat the body must be there and equal: proxies on the way decide by them.
fn mirrored(
    headers: &HeaderMap,
    version_header: Option<&str>,
    version: &str,
    message: &Message<'_>,
) -> Result<(), Refusal> {
    let differs = |name: &str| {
        Refusal::bad(
            code::HEADER_MISMATCH,
            format!("the header {name} must be there and equal to the body"),
        )
    };
    if version_header != Some(version) {
        return Err(differs("MCP-Protocol-Version"));
    }
    if message.id.is_none() {
        return Ok(());
    }
    if decoded(headers, &METHOD)?.as_deref() != Some(message.method.as_ref()) {
        return Err(differs("Mcp-Method"));
    }
    let member = match message.method.as_ref() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(()),
    };
    // A body without the member is the child's to refuse.
    match message.params.text(member) {
        Some(name) if decoded(headers, &NAME)?.as_deref() != Some(&*name) => {
            Err(differs("Mcp-Name"))
        }
        _ => Ok(()),
    }
}

fn handshake(message: &Message<'_>, is_modern_header: bool) -> Result<Era, Refusal> {
    let Some(requested) = message.params.text("protocolVersion") else {
        return Err(if is_modern_header {
            Refusal::new(
                StatusCode::NOT_FOUND,
                code::METHOD_NOT_FOUND,
                "there is no initialize in this protocol version",
            )
        } else {
            Refusal::bad(code::INVALID_PARAMS, "`protocolVersion` must be a string")
        });
    };
    if is_modern_header && known(&LEGACY, &requested).is_none() {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            code::METHOD_NOT_FOUND,
            "there is no initialize in this protocol version",
        ));
    }
    // An unknown version is answered with our newest; the client decides.
    Ok(Era::Handshake(
        known(&LEGACY, &requested).unwrap_or(LEGACY[0]),
    ))
}

/// The method as one of those that are known; what else clients say is a stranger's text.
pub(super) fn method(named: &str) -> &'static str {
    known(&SHARED, named).unwrap_or("_OTHER")
}

fn known(words: &[&'static str], named: &str) -> Option<&'static str> {
    words.iter().find(|word| **word == named).copied()
}

/// A header's value; two of them could be read differently.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().map(str::trim);
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(Refusal::bad(
            code::HEADER_MISMATCH,
            format!("the header {name} must occur once, in plain ASCII"),
        )),
    }
}

/// A mirrored header. What is not plain ASCII comes as `=?base64?…?=`.
fn decoded<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(text) = single(headers, name)? else {
        return Ok(None);
    };
    let Some(inner) = text
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    else {
        return Ok(Some(text.into()));
    };
    STANDARD
        .decode(inner)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(|text| Some(text.into()))
        .ok_or_else(|| {
            Refusal::bad(
                code::HEADER_MISMATCH,
                format!("the header {name} cannot be decoded"),
            )
        })
}

/// A stranger's word, short enough for a message.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn request(method: &str, params: &Value) -> String {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
    }

    fn decided(pairs: &[(&'static str, &str)], body: &str) -> Result<Era, (u16, i64)> {
        let message = Message::parse(body.as_bytes()).unwrap();
        decide(&headers(pairs), &message).map_err(|refusal| (refusal.status.as_u16(), refusal.code))
    }

    fn meta(version: &str) -> Value {
        json!({VERSION_KEY: version, CAPABILITIES_KEY: {}})
    }

    const VERSION: &str = "mcp-protocol-version";
    const METHOD: &str = "mcp-method";
    const NAME: &str = "mcp-name";

    #[test]
    fn modern_requests_mirror_their_body() {
        let call = request(
            "tools/call",
            &json!({"name": "get_job", "_meta": meta(MODERN[0])}),
        );
        let good = [
            (VERSION, MODERN[0]),
            (METHOD, "tools/call"),
            (NAME, "get_job"),
        ];
        assert_eq!(decided(&good, &call), Ok(Era::Modern(MODERN[0])));
        let encoded = [
            (VERSION, MODERN[0]),
            (METHOD, "tools/call"),
            (NAME, "=?base64?Z2V0X2pvYg==?="),
        ];
        assert_eq!(decided(&encoded, &call), Ok(Era::Modern(MODERN[0])));
        for bad in [
            &good[1..],
            &good[..2],
            &[good[0], good[2]],
            &[good[0], good[1], (NAME, "get_customer")],
            &[good[0], good[1], (NAME, "=?base64?*?=")],
            &[(VERSION, "2025-11-25"), good[1], good[2]],
            &[good[0], (METHOD, "tools/list"), good[2]],
        ] {
            assert_eq!(
                decided(bad, &call),
                Err((400, code::HEADER_MISMATCH)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn versions_keys_and_methods_are_checked_in_that_order() {
        let body = |version: &str| request("tools/list", &json!({"_meta": meta(version)}));
        let named = |version| [(VERSION, version), (METHOD, "tools/list")];
        assert_eq!(
            decided(&named("2027-01-01"), &body("2027-01-01")),
            Err((400, code::UNSUPPORTED_VERSION))
        );
        let without = request("tools/list", &json!({"_meta": {VERSION_KEY: MODERN[0]}}));
        assert_eq!(
            decided(&named(MODERN[0]), &without),
            Err((400, code::INVALID_PARAMS))
        );
        let unknown = request("no/such", &json!({"_meta": meta(MODERN[0])}));
        assert_eq!(
            decided(&[(VERSION, MODERN[0]), (METHOD, "no/such")], &unknown),
            Err((404, code::METHOD_NOT_FOUND))
        );
        let number = request("tools/list", &json!({"_meta": {VERSION_KEY: 7}}));
        assert_eq!(
            decided(&named(MODERN[0]), &number),
            Err((400, code::INVALID_PARAMS))
        );
    }

    #[test]
    fn a_modern_header_without_the_version_in_the_body_is_refused() {
        let list = request("tools/list", &json!({}));
        assert_eq!(
            decided(&[(VERSION, MODERN[0]), (METHOD, "tools/list")], &list),
            Err((400, code::INVALID_PARAMS))
        );
        assert_eq!(
            decided(&[], &request("server/discover", &json!({}))),
            Err((400, code::INVALID_PARAMS))
        );
        let bare = request("initialize", &json!({}));
        assert_eq!(
            decided(&[(VERSION, MODERN[0])], &bare),
            Err((404, code::METHOD_NOT_FOUND))
        );
        assert_eq!(decided(&[], &bare), Err((400, code::INVALID_PARAMS)));
    }

    #[test]
    fn legacy_requests_are_known_by_their_header() {
        let list = request("tools/list", &json!({}));
        assert_eq!(
            decided(&[(VERSION, "2025-06-18")], &list),
            Ok(Era::Legacy("2025-06-18"))
        );
        assert_eq!(decided(&[], &list), Ok(Era::Legacy("2025-03-26")));
        assert_eq!(
            decided(&[(VERSION, "2024-01-01")], &list),
            Err((400, code::UNSUPPORTED_VERSION))
        );
        let both = request("tools/list", &json!({"_meta": meta("2025-11-25")}));
        assert_eq!(
            decided(&[(VERSION, "2025-11-25")], &both),
            Ok(Era::Legacy("2025-11-25"))
        );
    }

    #[test]
    fn a_handshake_is_answered_with_the_asked_version_or_our_newest() {
        for (asked, answered) in [
            ("2025-06-18", "2025-06-18"),
            ("2025-11-25", "2025-11-25"),
            ("2024-11-05", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
        ] {
            let body = request("initialize", &json!({"protocolVersion": asked}));
            assert_eq!(decided(&[], &body), Ok(Era::Handshake(answered)), "{asked}");
        }
    }
}
