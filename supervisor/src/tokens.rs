//! Our own tokens: 256 random bits that are shown once and stored as their SHA-256.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What a token is for. Its text begins with the kind, so that a leaked one is recognised by secret scanners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A machine of a tenant: asks the broker and reports usage.
    Device,
    /// A person's or a script's: reads usage, fetches bundles, calls `/mcp`.
    Bearer,
    /// From a confirmed code to the activation, once.
    Activation,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Device, Self::Bearer, Self::Activation];

    /// As it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Bearer => "bearer",
            Self::Activation => "activation",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Device => "sfd_",
            Self::Bearer => "sfb_",
            Self::Activation => "sfa_",
        }
    }
}

/// A new token and what is stored of it.
#[derive(Debug)]
pub struct New {
    pub token: SecretString,
    pub hash: String,
}

/// Makes a token; only the caller ever sees it.
pub fn generate(kind: Kind) -> Result<New, getrandom::Error> {
    with_prefix(kind.prefix())
}

/// Makes what is no token of the table of tokens, but looks and is stored like one.
pub fn with_prefix(prefix: &str) -> Result<New, getrandom::Error> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut_slice())?;
    let token = SecretString::from(format!(
        "{prefix}{}",
        URL_SAFE_NO_PAD.encode(bytes.as_slice())
    ));
    let hash = hash(token.expose_secret());
    Ok(New { token, hash })
}

/// What a token is found by. 256 random bits need no slow hash.
pub fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_prints_redacted() {
        let new = generate(Kind::Device).unwrap();
        assert_eq!(new.token.expose_secret().len(), 4 + 43);
        assert_eq!(hash(new.token.expose_secret()), new.hash);
        assert!(!format!("{new:?}").contains("sfd_"));
    }

    #[test]
    fn kinds_are_stored_as_words() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.word()), Some(kind));
        }
    }
}
