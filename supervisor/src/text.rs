//! Characters and bytes as text.

/// Characters that are not seen, or that change how others are: a name must not look like another one.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        // Letters without a form, of Arabic, Mongolian and Korean; notes to texts; tags.
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Two digits for each byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_known() {
        for c in "\0\n\u{ad}\u{61c}\u{200d}\u{202e}\u{2066}\u{3164}\u{e0041}".chars() {
            assert!(is_unseen(c), "{c:?}");
        }
        assert!(!"Müller & Söhne, 株式会社 ❤\u{fe0f}".chars().any(is_unseen));
    }

    #[test]
    fn a_byte_has_two_digits() {
        assert_eq!(hexadecimal(&[0, 10, 255]), "000aff");
    }
}
