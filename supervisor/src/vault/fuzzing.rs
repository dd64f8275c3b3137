//! For the targets in `fuzz/` alone: a tenant's column sealed and opened, without a database around it.

use secrecy::SecretString;
use sf_mcp::seal::SealingKey;

use super::{open, seal};
use crate::store::{Credentials, Sealed};

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    pub tenant_id: &'a str,
    pub column: &'static str,
    pub key_id: &'a str,
}

pub fn sealed(key: &SealingKey, spot: Spot<'_>, text: &str) -> Option<String> {
    seal(key, spot.tenant_id, spot.column, text).ok()
}

pub fn opened(key: &SealingKey, spot: Spot<'_>, sealed: &str) -> Option<SecretString> {
    open(key, &row(spot), spot.column, sealed).ok()
}

fn row(spot: Spot<'_>) -> Credentials {
    let nothing = String::new;
    Credentials {
        tenant_id: spot.tenant_id.to_owned(),
        kind: nothing(),
        key_id: spot.key_id.to_owned(),
        sealed: Sealed {
            client_id: nothing(),
            client_secret: nothing(),
            refresh_token: None,
            access_token: nothing(),
            account: nothing(),
        },
        expires_at: 0,
        life: 0,
        generation: 0,
        intent_at: None,
        ended: None,
        created_at: 0,
        updated_at: 0,
        suspended_at: None,
    }
}
