//! Values in places where some characters mean something.

use url::form_urlencoded::byte_serialize;

use crate::text::is_unseen;

/// Longest company name shown in a bundle, in characters.
const LONGEST: usize = 80;

/// A name on one line, without characters that are not seen or that turn the direction of writing.
pub(super) fn plain(name: &str) -> String {
    let visible = name.chars().map(|c| if is_unseen(c) { ' ' } else { c });
    let words = visible.collect::<String>();
    let name = words.split_whitespace().collect::<Vec<_>>().join(" ");
    name.chars().take(LONGEST).collect()
}

/// What is plain letters and digits in a name, small and with hyphens between.
pub(super) fn letters(name: &str, most: usize) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let mut text = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    text.truncate(most);
    text.truncate(text.trim_end_matches('-').len());
    text
}

/// A word of a POSIX command line; one of usual characters is as it is, for every shell.
pub(super) fn word(text: &str) -> String {
    let usual = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(usual) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Percent-encoded, a space too.
pub(super) fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(plain("  A\r\nB=\u{202e}c\0 é "), "A B= c é");
        assert_eq!(plain(&"x".repeat(1000)).len(), LONGEST);
    }

    #[test]
    fn only_plain_letters_are_taken() {
        assert_eq!(letters("O'Brien & Söhne, Inc.", 20), "o-brien-s-hne-inc");
        assert_eq!(letters("Acme Heating", 5), "acme");
        assert_eq!(letters("冷暖房", 12), "");
    }

    #[test]
    fn a_shell_sees_one_word() {
        assert_eq!(word("NAME=https://a.example"), "NAME=https://a.example");
        assert_eq!(word("/a b/it's $(x)"), r"'/a b/it'\''s $(x)'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn a_link_is_decoded_to_what_went_in() {
        assert_eq!(encoded("a b+c/="), "a%20b%2Bc%2F%3D");
    }
}
