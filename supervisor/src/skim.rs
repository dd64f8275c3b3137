//! What can be told of a JSON text without reading its values: each message of each call passes here.

/// What a text's brackets, numbers and escapes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skim {
    /// How deep its values nest.
    pub depth: usize,
    /// It may hold what a reader who keeps values refuses: numbers beyond all bounds, halves of characters.
    pub is_doubtful: bool,
}

/// Digits in a row from which on a number may be larger than any that is read, with an exponent or without.
const DIGITS: usize = 300;

impl Skim {
    pub fn of(text: &[u8]) -> Self {
        let mut skim = Self::default();
        let (mut at, mut depth, mut digits) = (0, 0_usize, 0_usize);
        while let Some(byte) = text.get(at) {
            match byte {
                b'0'..=b'9' => {
                    digits += 1;
                    skim.is_doubtful |= digits > DIGITS;
                    at += 1;
                    continue;
                }
                b'e' | b'E' => skim.is_doubtful |= digits > 0,
                b'{' | b'[' => {
                    depth += 1;
                    skim.depth = skim.depth.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => {
                    let Some(text) = string(&text[at + 1..]) else {
                        return skim;
                    };
                    skim.is_doubtful |= text.has_numbered;
                    at += text.length;
                }
                _ => {}
            }
            digits = 0;
            at += 1;
        }
        skim
    }
}

/// Whether the first bracket is closed by the last byte, and no earlier.
pub fn closes_at_end(text: &[u8]) -> bool {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => match string(&text[at..]) {
                Some(string) => at += string.length,
                None => return false,
            },
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth < 2 => return depth == 1 && at == text.len(),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    false
}

struct Text {
    /// Up to its closing quote, with it.
    length: usize,
    /// It has an escape that gives a character by its number.
    has_numbered: bool,
}

/// The string whose opening quote stands before `text`; `None` when it does not end.
fn string(text: &[u8]) -> Option<Text> {
    let (mut at, mut has_numbered) = (0, false);
    loop {
        at += memchr::memchr2(b'"', b'\\', &text[at..])?;
        if text[at] == b'"' {
            return Some(Text {
                length: at + 1,
                has_numbered,
            });
        }
        has_numbered |= *text.get(at + 1)? == b'u';
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skim(text: &str) -> Skim {
        Skim::of(text.as_bytes())
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert_eq!(skim(r#"{"a":"[[[[\"[[","b":[1]}"#).depth, 2);
        assert_eq!(skim(r#"{"a\\":{"[":[]}}"#).depth, 3);
    }

    #[test]
    fn a_string_ends_wherever_its_quote_is() {
        for length in 0..80 {
            let text = "é!#[]~".repeat(14);
            let text: String = text.chars().take(length).collect();
            for (end, has_numbered) in [("\"", false), ("\\\"\"", false), ("\\u0041\"", true)] {
                let whole = format!("{text}{end}");
                for after in ["", "\"\"", " and so on"] {
                    let found = string(format!("{whole}{after}").as_bytes()).unwrap();
                    assert_eq!(
                        (found.length, found.has_numbered),
                        (whole.len(), has_numbered)
                    );
                }
            }
            assert!(string(text.as_bytes()).is_none());
        }
    }

    #[test]
    fn a_text_that_goes_on_or_breaks_off_does_not_close_at_its_end() {
        for text in ["{}", r#"{"a":[{}],"b":"}{"}"#, "[]", r#" {"a\"}":1}"#] {
            assert!(closes_at_end(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "7",
            "{",
            "}",
            "}{}",
            "]{}",
            "{},{}",
            "{}}",
            "{} ",
            r#"{"a":"}"#,
            r#"{"a":"\"#,
            r#"{"a":"\"}"#,
            r#"{"a":{}"#,
            r#"{},"id":{}"#,
        ] {
            assert!(!closes_at_end(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_may_not_be_read_is_doubtful() {
        let (long, short) = ("1".repeat(DIGITS + 1), "1".repeat(DIGITS));
        for text in ["1e999", "[-1E400]", "1.5e1", &long, r#"{"\ud800":1}"#] {
            assert!(skim(text).is_doubtful, "{text}");
        }
        for text in ["true", "-1.5", &short, r#""1e999""#, r#"["\\u","é\n"]"#] {
            assert!(!skim(text).is_doubtful, "{text}");
        }
    }
}
