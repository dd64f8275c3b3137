//! Random ids. They are never reused, and nobody can guess one.

use std::cell::RefCell;

use crate::text::hexadecimal;

/// Ids in order for which the system is asked for random bits at once: every request has one.
const AT_ONCE: usize = 25;

/// The random bits of one of them.
type Bits = [u8; 10];

thread_local! {
    static LEFT: RefCell<Vec<Bits>> = const { RefCell::new(Vec::new()) };
}

/// `prefix_` and 128 random bits in hexadecimal.
pub fn new(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(written(prefix, bytes))
}

/// As `new`, with 48 bits of Unix ms before 80 random bits: rows that are written together stand together in an index.
pub fn in_order(prefix: &str, now: i64) -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&now.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&bits()?);
    Ok(written(prefix, bytes))
}

fn written(prefix: &str, bytes: [u8; 16]) -> String {
    [prefix, "_", &hexadecimal(&bytes)].concat()
}

/// Random bits that nobody else gets.
fn bits() -> Result<Bits, getrandom::Error> {
    if let Some(bits) = LEFT.with_borrow_mut(Vec::pop) {
        return Ok(bits);
    }
    let mut more = [Bits::default(); AT_ONCE];
    getrandom::fill(more.as_flattened_mut())?;
    let [first, rest @ ..] = more;
    LEFT.with_borrow_mut(|left| left.extend_from_slice(&rest));
    Ok(first)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_has_its_prefix_and_128_bits() {
        let id = super::new("ten").unwrap();
        assert_eq!(id.len(), 4 + 32);
        assert!(id.starts_with("ten_"));
        assert_ne!(id, super::new("ten").unwrap());
    }

    #[test]
    fn ids_in_order_sort_by_their_time() {
        let (first, second) = (
            super::in_order("req", 1_700_000_000_000).unwrap(),
            super::in_order("req", 1_700_000_000_001).unwrap(),
        );
        assert_eq!(first.len(), 4 + 32);
        assert!(first < second, "{first} {second}");
    }

    #[test]
    fn ids_of_one_moment_differ() {
        let ids = (0..3 * super::AT_ONCE).map(|_| super::in_order("req", 1).unwrap());
        let different: std::collections::HashSet<_> = ids.collect();
        assert_eq!(different.len(), 3 * super::AT_ONCE);
    }
}
