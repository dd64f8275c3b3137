//! Sealed values of both programs. Five lines say where a value stands and where it is moved to (profile, service and
//! tenant, the column's number, the other three, the other number), then comes what is sealed, or claims to be.

#![no_main]

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;
use sf_fuzz::head_and_body;
use sf_mcp::{auth::vault::Vault, origin, seal::SealingKey};
use sf_supervisor::vault::fuzzing::{Spot, opened, sealed};

const COLUMNS: [&str; 5] = [
    "access_token",
    "refresh_token",
    "client_id",
    "client_secret",
    "account",
];

fuzz_target!(|input: &[u8]| {
    static KEYS: LazyLock<[SealingKey; 2]> =
        LazyLock::new(|| ["one", "other"].map(|name| SealingKey::derived(&[7; 32], name)));
    let [key, other_key] = &*KEYS;
    let (head, body) = head_and_body(input);
    let mut head = head.into_iter().map(String::from_utf8_lossy);
    let (here, there) = (Place::next(&mut head), Place::next(&mut head));

    // What nobody sealed never opens.
    assert!(key.open(body, &here.local()).is_err());
    let text = String::from_utf8_lossy(body);
    assert!(opened(key, here.hosted(&key.id()), &text).is_none());

    // What was sealed opens at its place, under its key, unchanged, and nowhere else.
    let value = key.seal(body, &here.local()).unwrap();
    assert_eq!(key.open(&value, &here.local()).unwrap().as_slice(), body);
    assert!(other_key.open(&value, &here.local()).is_err());
    assert_eq!(key.open(&value, &there.local()).is_ok(), here == there);
    let id = key.id();
    let stored = sealed(key, here.hosted(&id), &text).unwrap();
    let open = |place: &Place, id: &str| opened(key, place.hosted(id), &stored);
    assert_eq!(open(&here, &id).unwrap().expose_secret(), text);
    assert!(open(&here, &other_key.id()).is_none());
    assert!(opened(other_key, here.hosted(&id), &stored).is_none());
    let is_there = (here.tenant_id(), here.column) == (there.tenant_id(), there.column);
    assert_eq!(open(&there, &id).is_some(), is_there);

    // One bit or one byte less is another value; neither program opens the other's.
    let at = body.first().map_or(0, |byte| usize::from(*byte)) % value.len();
    let mut changed = value.clone();
    changed[at] ^= 1 << (body.len() % 8);
    assert!(key.open(&changed, &here.local()).is_err());
    assert!(key.open(&value[..at], &here.local()).is_err());
    assert!(opened(key, here.hosted(&id), &STANDARD.encode(&value)).is_none());
    assert!(
        key.open(&STANDARD.decode(&stored).unwrap(), &here.local())
            .is_err()
    );
});

/// Where a value stands, in either program.
#[derive(PartialEq)]
struct Place {
    profile: String,
    service: String,
    column: &'static str,
}

impl Place {
    /// As it is after the checks of settings: others never get as far as a vault.
    fn next<'a>(lines: &mut impl Iterator<Item = std::borrow::Cow<'a, str>>) -> Self {
        let mut line = || lines.next().unwrap_or_default();
        let usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let profile = line().chars().filter(|c| usual(*c)).collect();
        let service = origin::checked(&line());
        let number = line().bytes().fold(0, |sum, byte| sum + usize::from(byte));
        Self {
            profile,
            service: service.unwrap_or_else(|_| "https://api.servicefusion.com".to_owned()),
            column: COLUMNS[number % COLUMNS.len()],
        }
    }

    fn local(&self) -> String {
        Vault::new("tokens.db".into(), &self.profile, &self.service)
            .place(&self.service, self.column)
    }

    fn tenant_id(&self) -> &str {
        &self.profile
    }

    fn hosted<'a>(&'a self, key_id: &'a str) -> Spot<'a> {
        Spot {
            tenant_id: self.tenant_id(),
            column: self.column,
            key_id,
        }
    }
}
