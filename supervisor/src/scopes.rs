//! What a token allows: `sf:read`, and `sf:write`, which implies it. A set is written as words with spaces between.

pub const READ: &str = "sf:read";
pub const WRITE: &str = "sf:write";
/// Everything there is.
pub const ALL: &str = "sf:read sf:write";

/// Whether a set allows to create.
pub fn writes(set: &str) -> bool {
    set.split(' ').any(|scope| scope == WRITE)
}

/// What both sets allow.
pub fn both(one: &str, other: &str) -> &'static str {
    of(writes(one) && writes(other))
}

/// The set with or without writing.
pub fn of(writes: bool) -> &'static str {
    if writes { ALL } else { READ }
}

/// What a request asks for. Unknown words are ignored, as long as one is known; nothing said is reading.
pub fn asked(text: Option<&str>) -> Option<&'static str> {
    let words = || {
        text.unwrap_or_default()
            .split(' ')
            .filter(|word| !word.is_empty())
    };
    let known = words().any(|word| word == READ || word == WRITE);
    (known || words().next().is_none()).then(|| of(text.is_some_and(writes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_known_or_nothing() {
        for (text, found) in [
            (None, Some(READ)),
            (Some(""), Some(READ)),
            (Some("sf:read offline_access"), Some(READ)),
            (Some("sf:write"), Some(ALL)),
            (Some("sf:admin"), None),
            (Some("sf:writes"), None),
        ] {
            assert_eq!(asked(text), found, "{text:?}");
        }
        assert_eq!(both(ALL, READ), READ);
        assert_eq!(both("sf:write", ALL), ALL);
    }
}
