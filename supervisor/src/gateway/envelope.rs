//! A JSON-RPC message: its envelope is parsed, and what belongs to others stays the text it came as.
//!
//! Typed models would lose unknown members, the order of members and the digits of large numbers. Forwarding the
//! bytes would let two readers see two messages. So envelopes are parsed strictly and written anew, around raw values.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::skim::Skim;

/// Values nest no deeper, as the child reads them with a recursion limit too.
const DEPTH: usize = 100;
/// Members of one object that is read here; each is compared with those before it.
const MEMBERS: usize = 200;
/// Bytes of an id.
const ID: usize = 256;

/// A JSON object with the order and text of its members. A name that occurs twice is refused: two readers could take
/// different ones.
#[derive(Clone, Debug, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Object<'a> {
    /// Reads the text of an object.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// A member's raw text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).map(AsRef::as_ref)
    }

    /// A member's raw text as it was read; none of one that was set since.
    fn read(&self, name: &str) -> Option<&'a str> {
        match self.raw(name)? {
            Cow::Borrowed(raw) => Some(raw),
            Cow::Owned(_) => None,
        }
    }

    fn raw(&self, name: &str) -> Option<&Cow<'a, str>> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, raw)| raw)
    }

    /// Names and raw texts, in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, raw)| (&**name, &**raw))
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let text: Name<'_> = serde_json::from_str(self.get(name)?).ok()?;
        Some(text.0)
    }

    /// Puts raw JSON in place of a member, or at the end.
    pub fn set(&mut self, name: &'a str, raw: impl Into<Cow<'a, str>>) {
        let raw = raw.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = raw,
            None => self.0.push((Cow::Borrowed(name), raw)),
        }
    }

    /// Appends the object to a line.
    pub fn write(&self, line: &mut Vec<u8>) {
        let mut object = Writing::begin(line);
        for (name, raw) in self.members() {
            object.raw(name, raw);
        }
        object.end();
    }

    pub fn to_text(&self) -> String {
        let mut line = Vec::new();
        self.write(&mut line);
        String::from_utf8(line).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::with_capacity(4);
                while let Some((Name(name), raw)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom(format_args!("`{name}` occurs twice")));
                    }
                    if members.len() == MEMBERS {
                        return Err(de::Error::custom(format_args!(
                            "an object has more than {MEMBERS} members"
                        )));
                    }
                    members.push((name, Cow::Borrowed(raw.get())));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// An object that is written onto a line, member by member. Whoever begins it ends it.
pub struct Writing<'l> {
    line: &'l mut Vec<u8>,
    is_first: bool,
}

impl<'l> Writing<'l> {
    pub fn begin(line: &'l mut Vec<u8>) -> Self {
        line.push(b'{');
        let is_first = true;
        Self { line, is_first }
    }

    /// A member that is JSON. Raw line breaks can only be white space in it, and become blanks.
    pub fn raw(&mut self, name: &str, raw: &str) {
        write_raw(self.name(name), raw.as_bytes());
    }

    /// A member that is a string.
    pub fn text(&mut self, name: &str, text: &str) {
        write_string(self.name(name), text);
    }

    /// A member that is an object.
    pub fn object(&mut self, name: &str) -> Writing<'_> {
        Writing::begin(self.name(name))
    }

    pub fn end(self) {
        self.line.push(b'}');
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.line.push(b',');
        }
        write_string(self.line, name);
        self.line.push(b':');
        self.line
    }
}

/// A string, borrowed where it needs no unescaping.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Self)
    }
}

/// Why a body is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body is not JSON: {0}")]
    Syntax(String),
    #[error("the body nests values deeper than {DEPTH}")]
    Depth,
    #[error("a batch is not supported; send one message at a time")]
    Batch,
    #[error("{0}")]
    Envelope(Cow<'static, str>),
}

/// What a client sent.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The id as it was written; `None` for a notification.
    pub id: Option<&'a str>,
    pub method: Cow<'a, str>,
    pub params: Object<'a>,
    /// `params._meta`.
    pub meta: Option<Object<'a>>,
    /// Bytes of all of it.
    pub length: usize,
}

impl<'a> Message<'a> {
    /// Reads one request or notification.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let text =
            std::str::from_utf8(body).map_err(|problem| Malformed::Syntax(problem.to_string()))?;
        let skim = Skim::of(body);
        if skim.depth > DEPTH {
            return Err(Malformed::Depth);
        }
        if text.trim_start().starts_with('[') {
            return Err(Malformed::Batch);
        }
        let syntax = |problem: serde_json::Error| Malformed::Syntax(problem.to_string());
        if skim.is_doubtful {
            serde_json::from_str::<Readable>(text).map_err(syntax)?;
        }
        match serde_json::from_str(text) {
            Ok(envelope) => message(envelope, body.len()),
            // It is JSON, but no envelope.
            Err(problem) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                Err(Malformed::Envelope(problem.to_string().into()))
            }
            Err(problem) => Err(syntax(problem)),
        }
    }
}

/// The members that are read; others are dropped.
#[derive(Deserialize)]
#[serde(expecting = "a message, which is an object")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Raw<'a>,
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    method: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "params")]
    params: Object<'a>,
}

/// A member's text, whatever it is; `None` where it is not said.
#[derive(Default)]
struct Raw<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(Some(raw.get())))
    }
}

fn params<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Object<'de>, D::Error> {
    Object::deserialize(deserializer)
        .map_err(|problem| de::Error::custom(format_args!("`params` cannot be read: {problem}")))
}

fn message(envelope: Envelope<'_>, length: usize) -> Result<Message<'_>, Malformed> {
    let wrong = |words: &'static str| Malformed::Envelope(words.into());
    if envelope.jsonrpc.0 != Some("\"2.0\"") {
        return Err(wrong("`jsonrpc` must be \"2.0\""));
    }
    let method = envelope.method.0.ok_or_else(|| {
        wrong("`method` is missing; only requests and notifications are taken here")
    })?;
    let method: Name<'_> =
        serde_json::from_str(method).map_err(|_| wrong("`method` must be a string"))?;
    let id = envelope.id.0;
    if id.is_some_and(|id| !is_id(id)) {
        return Err(wrong("`id` must be a short string or an integer"));
    }
    let params = envelope.params;
    let meta = match params.read("_meta") {
        Some(raw) => Some(
            Object::parse(raw)
                .map_err(|_| wrong("`_meta` must be an object that names nothing twice"))?,
        ),
        None => None,
    };
    Ok(Message {
        id,
        method: method.0,
        params,
        meta,
        length,
    })
}

/// A string, or a number without fraction.
fn is_id(raw: &str) -> bool {
    (raw.starts_with('"') && raw.len() <= ID)
        || (raw.len() <= 20
            && raw
                .strip_prefix('-')
                .unwrap_or(raw)
                .bytes()
                .all(|byte| byte.is_ascii_digit()))
}

/// A text whose every value can be read, though none is kept.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Readable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_unit<E>(self) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
                while items.next_element::<Readable>()?.is_some() {}
                Ok(Readable)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Readable, A::Error> {
                while fields.next_entry::<Readable, Readable>()?.is_some() {}
                Ok(Readable)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Appends a JSON string.
pub fn write_string(line: &mut Vec<u8>, text: &str) {
    // Up to the last byte in any case, so that many are looked at together.
    let is_escaped = |byte: u8| byte < b' ' || matches!(byte, b'"' | b'\\');
    let escaped = text
        .bytes()
        .fold(0, |escaped, byte| escaped | u8::from(is_escaped(byte)));
    if escaped == 0 {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        // Writing a string to memory cannot fail.
        let _ = serde_json::to_writer(line, text);
    }
}

/// Appends raw JSON as part of one line.
pub fn write_raw(line: &mut Vec<u8>, raw: &[u8]) {
    line.extend(raw.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Message<'_>, Malformed> {
        Message::parse(body.as_bytes())
    }

    #[test]
    fn what_belongs_to_others_keeps_its_text() {
        let body = "{\"params\":{\"b\": 2.0,\n \"a\":12345678901234567890123,\"_meta\":{\"x\":1}},\"id\":\"1\",\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"}";
        let message = parse(body).unwrap();
        assert_eq!(message.id, Some("\"1\""));
        assert_eq!(message.method, "tools/call");
        assert_eq!(
            message.params.to_text(),
            "{\"b\":2.0,\"a\":12345678901234567890123,\"_meta\":{\"x\":1}}"
        );
        assert_eq!(message.meta.unwrap().get("x"), Some("1"));
    }

    #[test]
    fn line_breaks_between_values_do_not_break_the_line() {
        let body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"a\":{\n\r\n\"b\":[1,\n2]}}}";
        let text = parse(body).unwrap().params.to_text();
        assert!(!text.contains('\n') && !text.contains('\r'));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["a"]["b"][1], 2);
    }

    #[test]
    fn names_that_occur_twice_are_refused_however_they_are_spelt() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","name":"y"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"k":1,"k":2}}}"#,
        ] {
            assert!(parse(body).is_err(), "{body}");
        }
    }

    #[test]
    fn envelopes_are_read_strictly() {
        for body in [
            "",
            "nonsense",
            "[]",
            "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}]",
            "{\"id\":1,\"method\":\"a\"}",
            "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"a\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"a\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"a\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[]}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"} {}",
        ] {
            assert!(parse(body).is_err(), "{body}");
        }
        assert_eq!(parse("[]").unwrap_err(), Malformed::Batch);
        let deep = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":{{\"x\":{}{}}}}}",
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert_eq!(parse(&deep).unwrap_err(), Malformed::Depth);
    }

    #[test]
    fn what_is_json_but_no_envelope_is_told_so() {
        for (body, words) in [
            ("7", "expected a message, which is an object"),
            (r#"{"id":1,"id":2}"#, "duplicate field `id`"),
            (
                r#"{"jsonrpc":"2.0","method":"a","params":7}"#,
                "`params` cannot be read: invalid type: integer `7`, expected an object",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"a","params":{"x":1,"x":2}}"#,
                "`params` cannot be read: `x` occurs twice",
            ),
        ] {
            let problem = parse(body).unwrap_err();
            assert!(matches!(problem, Malformed::Envelope(_)), "{problem:?}");
            assert!(problem.to_string().contains(words), "{problem}");
        }
        for body in ["{", r#"{"jsonrpc":"2.0","params":{"a":}}"#] {
            assert!(matches!(parse(body), Err(Malformed::Syntax(_))), "{body}");
        }
    }

    #[test]
    fn an_object_with_very_many_members_is_refused_at_once() {
        let members: Vec<String> = (0..100_000)
            .map(|number| format!("\"{number}\":1"))
            .collect();
        let members = members.join(",");
        for body in [
            format!("{{{members}}}"),
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{{members}}}}}"#),
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"_meta":{{{members}}}}}}}"#
            ),
        ] {
            assert!(parse(&body).is_err());
        }
        // Arguments are not read here and may have as many as they like.
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"arguments":{{{members}}}}}}}"#
        );
        assert!(parse(&body).is_ok());
        let long = format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"a"}}"#,
            "x".repeat(1000)
        );
        assert!(parse(&long).is_err());
    }

    #[test]
    fn what_the_child_could_not_read_is_refused() {
        let with = |value: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{{"x":[{{"y":{value}}}]}}}}"#)
        };
        let long = "1".repeat(400);
        for value in [
            "1e999",
            "-1E400",
            "12e+999",
            &long,
            r#""\ud800""#,
            r#""\udc00\ud800""#,
        ] {
            assert!(parse(&with(value)).is_err(), "{value}");
        }
        for value in [
            "1e9",
            "1.5E-400",
            r#""1e999""#,
            r#""\ud83d\ude00""#,
            r#""\u00e9""#,
            "true",
        ] {
            assert!(parse(&with(value)).is_ok(), "{value}");
        }
        let name = r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":{"\ud800":1}}}"#;
        assert!(parse(name).is_err());
    }
}
