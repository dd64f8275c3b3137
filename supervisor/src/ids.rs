//! Random ids. They are never reused, and nobody can guess one.

use crate::text::hexadecimal;

/// `prefix_` and 128 random bits in hexadecimal.
pub fn new(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
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
}
