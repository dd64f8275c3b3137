//! Random ids. They are never reused, and nobody can guess one.

use crate::text::hexadecimal;

/// `prefix_` and 128 random bits in hexadecimal.
pub fn new(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{prefix}_{}", hexadecimal(&bytes)))
}

/// As `new`, with 48 bits of Unix ms before 80 random bits: rows that are written together stand together in an index.
pub fn in_order(prefix: &str, now: i64) -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&now.to_be_bytes()[2..]);
    getrandom::fill(&mut bytes[6..])?;
    Ok(format!("{prefix}_{}", hexadecimal(&bytes)))
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
}
