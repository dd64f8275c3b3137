//! The cursor of a list: where the next page starts, bound to the arguments it belongs to.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::civil::Date;
use sha2::{Digest, Sha256};

use crate::{dates::DateRange, service_fusion::walk::Position};

/// What a cursor holds. It names no record's content and grants nothing by itself.
///
/// Its fields travel as a list without names: a cursor stands in every answer, twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    arguments: String,
    pub position: Position,
    /// The dates that words such as `today` meant on the first page.
    range: Option<(Date, Date)>,
    /// Which reading of a free text matched on the first page.
    pub matched_by: Option<String>,
}

type Packed = (String, Position, Option<(Date, Date)>, Option<String>);

/// Why a cursor cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("this is not a cursor of this tool; leave `cursor` out to start again")]
    Unreadable,
    #[error(
        "this cursor belongs to other arguments; repeat the call that returned it and add only `cursor`"
    )]
    OtherArguments,
}

/// Ties cursors to a tool and its arguments (`cursor` and `limit` apart).
#[derive(Clone, Debug)]
pub struct Binding(String);

impl Binding {
    pub fn new(tool: &str, arguments: &serde_json::Map<String, serde_json::Value>) -> Self {
        let mut relevant: Vec<_> = arguments
            .iter()
            .filter(|(name, value)| *name != "cursor" && *name != "limit" && !value.is_null())
            .collect();
        relevant.sort_by_key(|(name, _)| name.as_str());
        let text = serde_json::to_string(&relevant).unwrap_or_default();
        let digest = Sha256::digest(format!("{tool}\n{text}"));
        Self(URL_SAFE_NO_PAD.encode(&digest[..6]))
    }

    /// The text that the next call hands back.
    pub fn cursor(
        &self,
        position: Position,
        range: Option<DateRange>,
        matched_by: Option<&str>,
    ) -> String {
        let range = range.map(|range| (range.from, range.to));
        let packed: Packed = (
            self.0.clone(),
            position,
            range,
            matched_by.map(ToOwned::to_owned),
        );
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&packed).unwrap_or_default())
    }

    pub fn read(&self, text: &str) -> Result<Cursor, Error> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim())
            .map_err(|_| Error::Unreadable)?;
        let (arguments, position, range, matched_by): Packed =
            serde_json::from_slice(&bytes).map_err(|_| Error::Unreadable)?;
        // Places no list has are none that this program gave out.
        let far = |number: u64| number > 1 << 40;
        let Position {
            offset,
            length,
            delivered,
            matches,
            ..
        } = position;
        let is_far = [offset, length, delivered, matches.unwrap_or_default()]
            .into_iter()
            .any(far);
        if is_far || range.is_some_and(|(from, to)| from > to) {
            return Err(Error::Unreadable);
        }
        if arguments != self.0 {
            return Err(Error::OtherArguments);
        }
        Ok(Cursor {
            arguments,
            position,
            range,
            matched_by,
        })
    }
}

impl Cursor {
    pub fn range(&self) -> Option<DateRange> {
        self.range.map(|(from, to)| DateRange { from, to })
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn binding(arguments: &serde_json::Value) -> Binding {
        Binding::new("search_jobs", arguments.as_object().unwrap())
    }

    fn position() -> Position {
        Position {
            offset: 20,
            anchor: 7,
            length: 120,
            matches: None,
            delivered: 20,
        }
    }

    #[test]
    fn a_cursor_fits_only_the_arguments_it_came_from() {
        let first = binding(&json!({"status": "open", "limit": 20}));
        let text = first.cursor(position(), None, None);

        assert_eq!(first.read(&text).unwrap().position, position());
        let again = binding(&json!({"cursor": text.clone(), "limit": 50, "status": "open"}));
        assert!(again.read(&text).is_ok());
        let other = binding(&json!({"status": "closed"}));
        assert_eq!(other.read(&text), Err(Error::OtherArguments));
    }

    #[test]
    fn places_and_days_that_nobody_gave_out_are_refused() {
        let here = binding(&json!({}));
        let far = Position {
            matches: Some(u64::MAX),
            ..position()
        };
        let days = |from, to| Some(DateRange { from, to });
        let (first, last) = (date(2026, 11, 1), date(2026, 11, 22));
        for (position, range, good) in [
            (position(), days(first, last), true),
            (position(), days(last, first), false),
            (far, None, false),
        ] {
            let text = here.cursor(position, range, None);
            assert_eq!(here.read(&text).is_ok(), good, "{position:?} {range:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_stranger_sends_is_refused_without_harm(text in any::<String>()) {
            let read = binding(&json!({})).read(&text);
            prop_assert!(read.is_err());
        }

        #[test]
        fn a_changed_cursor_never_panics(index in 0usize..60, byte in any::<u8>()) {
            let here = binding(&json!({}));
            let mut bytes = here.cursor(position(), None, None).into_bytes();
            let index = index % bytes.len();
            bytes[index] = byte;
            let _ = here.read(&String::from_utf8_lossy(&bytes));
        }
    }
}
