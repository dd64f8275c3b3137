//! W3C Trace Context: which trace a call belongs to, as its client says it and as Service Fusion is told it.
//!
//! Whoever sends it is a stranger, and what is valid goes on to others. So what breaks a rule of the specification is
//! dropped, as the specification wants it, and what goes on is written anew. Baggage is not read at all: it may hold
//! anybody's data.

use std::fmt::Write;

/// The header, and the member of a message's `_meta` (SEP-414).
pub const TRACEPARENT: &str = "traceparent";
/// What tracing systems on the way add to it; it goes with a `traceparent` or not at all.
pub const TRACESTATE: &str = "tracestate";
/// What is never passed on.
pub const BAGGAGE: &str = "baggage";

/// The flags that are defined: recorded by the caller, and a trace id that is random.
const FLAGS: u8 = 0b11;
/// Members of a `tracestate`, and bytes of the whole that go on.
const MEMBERS: usize = 32;
const STATE: usize = 512;
/// Bytes of a member's key, and of its value.
const MEMBER: usize = 256;

/// A place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
    state: Box<str>,
}

impl TraceContext {
    /// Of a span; `None` when an id is all zeros. Members of `state` that break a rule take all of it with them.
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8], flags: u8, state: &str) -> Option<Self> {
        let is_valid = trace_id != [0; 16] && parent_id != [0; 8];
        is_valid.then(|| Self {
            trace_id,
            parent_id,
            flags: flags & FLAGS,
            state: members(state).unwrap_or_default().into(),
        })
    }

    /// Reads both as they were sent; `tracestate` may be empty.
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let [version] = bytes(parts.next()?)?;
        let (trace_id, parent_id) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        let [flags] = bytes(parts.next()?)?;
        // Later versions may say more at the end; what is known of them stands where it did.
        let is_known = match version {
            0 => parts.next().is_none(),
            version => version != 0xff,
        };
        if !is_known {
            return None;
        }
        Self::new(trace_id, parent_id, flags, tracestate)
    }

    /// The same trace with a new id as its parent, for a request that this program makes. `None` when the system gives
    /// no random numbers: a request is sent all the same.
    pub fn next_hop(&self) -> Option<Self> {
        let mut parent_id = [0; 8];
        getrandom::fill(&mut parent_id).ok()?;
        (parent_id != [0; 8]).then(|| Self {
            parent_id,
            ..self.clone()
        })
    }

    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    pub fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// As it is sent, whatever version it came in.
    pub fn traceparent(&self) -> String {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        for byte in self.trace_id {
            // Writing to memory cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('-');
        for byte in self.parent_id {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = write!(text, "-{:02x}", self.flags);
        text
    }

    /// As it is sent; `None` when there is nothing in it.
    pub fn tracestate(&self) -> Option<&str> {
        (!self.state.is_empty()).then_some(&self.state)
    }
}

/// Bytes from exactly as many pairs of lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// The members of a `tracestate` in their order, as many of the first as may go on; `None` when one breaks a rule.
fn members(text: &str) -> Option<String> {
    let mut keys = Vec::new();
    let mut kept = String::new();
    let mut is_full = false;
    let given = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    for member in given.filter(|member| !member.is_empty()) {
        let (key, value) = member.split_once('=')?;
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MEMBERS {
            return None;
        }
        keys.push(key);
        // Members are kept whole or not at all, and those that follow one that is not are older still.
        is_full |= kept.len() + 1 + member.len() > STATE;
        if !is_full {
            if !kept.is_empty() {
                kept.push(',');
            }
            kept.push_str(member);
        }
    }
    Some(kept)
}

fn is_key(key: &str) -> bool {
    let mut letters = key.bytes();
    let begins =
        (letters.next()).is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let goes_on =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    begins && key.len() <= MEMBER && letters.all(goes_on)
}

fn is_value(value: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    (1..=MEMBER).contains(&value.len()) && value.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn state(given: &str) -> Option<String> {
        let context = TraceContext::parse(SENT, given).unwrap();
        context.tracestate().map(str::to_owned)
    }

    #[test]
    fn what_is_valid_goes_on_as_it_came() {
        let context = TraceContext::parse(SENT, "rojo=1,congo=t61rcWkgMzE").unwrap();
        assert_eq!(context.traceparent(), SENT);
        assert_eq!(context.tracestate(), Some("rojo=1,congo=t61rcWkgMzE"));
        assert_eq!(context.flags(), 1);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in ["01-", "cc-", "fe-"] {
            for more in ["", "-", "-what the future brings"] {
                let sent = format!("{later}{}{more}", &SENT[3..]);
                let context = TraceContext::parse(&sent, "").unwrap();
                assert_eq!(context.traceparent(), SENT, "{sent}");
            }
        }
        let flags = TraceContext::parse(&SENT.replace("-01", "-ff"), "").unwrap();
        assert!(flags.traceparent().ends_with("-03"));
    }

    #[test]
    fn what_breaks_a_rule_is_no_context() {
        let zeros = "0".repeat(32);
        for sent in [
            "",
            "-",
            "---",
            "00",
            &SENT[..54],
            &format!("{SENT} "),
            &format!(" {SENT}"),
            &format!("{SENT}-"),
            &format!("{SENT}-00"),
            &SENT.to_uppercase(),
            &SENT.replace("4bf9", "4BF9"),
            &SENT.replace("4bf9", "4bg9"),
            &SENT.replace("00-4bf9", "ff-4bf9"),
            &SENT.replace("00-4bf9", "0-4bf9"),
            &SENT.replace("00-4bf9", "000-4bf9"),
            &SENT.replace("4736", "473"),
            &SENT.replace("4736", "47361"),
            &SENT.replace("-01", "-1"),
            &SENT.replace("-01", "-01.1"),
            &SENT.replace('-', "_"),
            &SENT.replace("4bf9", "4bfé"),
            &format!("00-{zeros}-00f067aa0ba902b7-01"),
            &format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", &zeros[..16]),
        ] {
            assert_eq!(TraceContext::parse(sent, ""), None, "{sent}");
        }
    }

    #[test]
    fn a_state_is_kept_whole_or_dropped() {
        for (given, kept) in [
            ("", ""),
            (" , ,\t", ""),
            ("a=1", "a=1"),
            (" a=1 ,\tb=x y ,", "a=1,b=x y"),
            ("t61@congo=a:b;c", "t61@congo=a:b;c"),
            ("0a_-*/=~!", "0a_-*/=~!"),
            ("a=1,a=2", ""),
            ("A=1", ""),
            ("a=", ""),
            ("=1", ""),
            ("a", ""),
            ("a=b=c", ""),
            ("a=1,b=\u{7}", ""),
            ("a=é", ""),
            ("_a=1", ""),
        ] {
            assert_eq!(state(given).unwrap_or_default(), kept, "{given}");
        }
        let many = |count: usize| {
            let members: Vec<String> = (0..count).map(|number| format!("k{number}=1")).collect();
            members.join(",")
        };
        assert_eq!(state(&many(32)), Some(many(32)));
        assert_eq!(state(&many(33)), None);
        let long = |length: usize| format!("a={}", "v".repeat(length));
        assert_eq!(state(&long(256)), Some(long(256)));
        assert_eq!(state(&long(257)), None);
        let both = format!("{},b={},c=1", long(256), "w".repeat(256));
        assert_eq!(state(&both), Some(long(256)));
    }

    #[test]
    fn a_request_of_our_own_has_an_id_of_its_own() {
        let context = TraceContext::parse(SENT, "a=1").unwrap();
        let (first, second) = (context.next_hop().unwrap(), context.next_hop().unwrap());
        for hop in [&first, &second] {
            assert_eq!(hop.trace_id(), context.trace_id());
            assert_eq!((hop.flags(), hop.tracestate()), (1, Some("a=1")));
            assert_ne!(hop.parent_id(), context.parent_id());
        }
        assert_ne!(first, second);
        let again = TraceContext::parse(&first.traceparent(), "a=1");
        assert_eq!(again, Some(first));
    }
}
