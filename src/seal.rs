//! AES-256-GCM over a value and the place it belongs to.

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const NONCE: usize = 12;

/// A 256-bit key. It is wiped from memory when dropped and prints as `[redacted]`.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

/// Why a value cannot be sealed or opened. The two ways of failing to open are one on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "the sealed value does not open with this key: the key is another one, or the value was changed or moved"
    )]
    DoesNotOpen,
    #[error("the key must be 32 bytes in base64, such as `openssl rand -base64 32` prints")]
    NotAKey,
    #[error("the system gives no random numbers")]
    NoRandom,
}

impl SealingKey {
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| Error::NoRandom)?;
        Ok(Self(bytes))
    }

    pub fn from_base64(text: &str) -> Result<Self, Error> {
        let decoded = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| Error::NotAKey)?);
        let bytes: [u8; 32] = decoded.as_slice().try_into().map_err(|_| Error::NotAKey)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// A key for one purpose, made of a secret that has at least 256 bits of chance in it. `purpose` tells keys of one
    /// secret apart; they say nothing of one another (HMAC-SHA-256 as in RFC 5869, without the expanding step).
    pub fn derived(secret: &[u8], purpose: &str) -> Self {
        Self(Zeroizing::new(keyed_hash(secret, purpose.as_bytes())))
    }

    /// A key for one purpose, made of this one.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        Self::derived(self.0.as_slice(), purpose)
    }

    /// HMAC-SHA-256 of a message under this key: what cannot be guessed without the key.
    pub fn hash(&self, message: &[u8]) -> [u8; 32] {
        keyed_hash(self.0.as_slice(), message)
    }

    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    /// Names the key without giving it away.
    pub fn id(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(b"sf-mcp key id\n");
        digest.update(self.0.as_slice());
        STANDARD.encode(&digest.finalize()[..6])
    }

    /// Seals `plain` for `place`; it opens for no other place. A nonce is never used twice.
    pub fn seal(&self, plain: &[u8], place: &str) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| Error::NoRandom)?;
        let payload = Payload {
            msg: plain,
            aad: place.as_bytes(),
        };
        let sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Error::NoRandom)?;
        Ok([&[FORMAT], nonce.as_slice(), &sealed].concat())
    }

    pub fn open(&self, sealed: &[u8], place: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (format, rest) = sealed.split_first().ok_or(Error::DoesNotOpen)?;
        if *format != FORMAT || rest.len() < NONCE {
            return Err(Error::DoesNotOpen);
        }
        let (nonce, message) = rest.split_at(NONCE);
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| Error::DoesNotOpen)?;
        let payload = Payload {
            msg: message,
            aad: place.as_bytes(),
        };
        let plain = self.cipher().decrypt(&Nonce::from(nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| Error::DoesNotOpen)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.0).into())
    }
}

fn keyed_hash(key: &[u8], message: &[u8]) -> [u8; 32] {
    // Only keys of a fixed length can be refused, and this hash takes any.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_for_different_purposes_are_different() {
        let secret = [7; 32];
        let (one, other) = (
            SealingKey::derived(&secret, "one"),
            SealingKey::derived(&secret, "other"),
        );
        assert_ne!(one.id(), other.id());
        assert_eq!(one.id(), SealingKey::derived(&secret, "one").id());
        assert_ne!(one.hash(b"123456"), other.hash(b"123456"));
        // RFC 4231, test case 1.
        let known = keyed_hash(&[0x0b; 20], b"Hi There");
        assert_eq!(known[..4], [0xb0, 0x34, 0x4c, 0x61]);
    }

    #[test]
    fn a_value_opens_only_where_it_was_sealed() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal(b"token", "a/refresh_token").unwrap();
        assert_eq!(
            key.open(&sealed, "a/refresh_token").unwrap().as_slice(),
            b"token"
        );
        assert_eq!(
            key.open(&sealed, "b/refresh_token"),
            Err(Error::DoesNotOpen)
        );
        assert_eq!(
            SealingKey::generate()
                .unwrap()
                .open(&sealed, "a/refresh_token"),
            Err(Error::DoesNotOpen)
        );
        assert_ne!(sealed, key.seal(b"token", "a/refresh_token").unwrap());
    }

    #[test]
    fn a_key_is_32_bytes_and_never_printed() {
        let key = SealingKey::generate().unwrap();
        assert_eq!(
            SealingKey::from_base64(&key.to_base64()).unwrap().id(),
            key.id()
        );
        assert_eq!(format!("{key:?}"), "SealingKey([redacted])");
        for text in ["", "short", "AAAA", "not base64 at all !!"] {
            assert!(
                matches!(SealingKey::from_base64(text), Err(Error::NotAKey)),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(plain in prop::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(), change in 1u8..) {
            let key = SealingKey::generate().unwrap();
            let mut sealed = key.seal(&plain, "place").unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= change;
            prop_assert_eq!(key.open(&sealed, "place"), Err(Error::DoesNotOpen));
        }

        #[test]
        fn what_is_not_sealed_does_not_open(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(SealingKey::generate().unwrap().open(&bytes, "place").is_err());
        }
    }
}
