//! Codes, access tokens and refresh tokens, and what happens when a spent one comes back.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::sandbox::{APP_CLIENT_ID, APP_CLIENT_SECRET, CLIENT_ID, CLIENT_SECRET};

const CODE_LIFE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Client {
    Consumer,
    App,
}

impl Client {
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Consumer => CLIENT_ID,
            Self::App => APP_CLIENT_ID,
        }
    }

    pub(crate) fn with_secret(id: &str, secret: &str) -> Option<Self> {
        match (id, secret) {
            (CLIENT_ID, CLIENT_SECRET) => Some(Self::Consumer),
            (APP_CLIENT_ID, APP_CLIENT_SECRET) => Some(Self::App),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

#[derive(Debug)]
pub(crate) enum Refresh {
    Rotated(Pair),
    /// A spent token came back: its whole family is revoked now.
    Reused,
    Unknown,
}

pub(crate) struct Tokens {
    pub(crate) life: Duration,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    codes: HashMap<String, Code>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, RefreshToken>,
    /// All tokens that descend from one sign-in are a family.
    families: u64,
    revoked: HashSet<u64>,
}

struct Code {
    redirect_uri: Option<String>,
    expires: Instant,
    family: Option<u64>,
}

struct Access {
    client: Client,
    family: u64,
    expires: Instant,
}

struct RefreshToken {
    client: Client,
    family: u64,
    is_spent: bool,
}

impl Tokens {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            life,
            issued: Mutex::default(),
        }
    }

    fn issued(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn issue(&self, client: Client) -> Pair {
        let mut issued = self.issued();
        let family = issued.new_family();
        issued.pair(client, family, self.life)
    }

    /// `redirect_uri` is what the authorize request sent, if it sent one.
    pub(crate) fn new_code(&self, redirect_uri: Option<&str>) -> String {
        let code = random_token();
        let redirect_uri = redirect_uri.map(str::to_owned);
        let expires = Instant::now() + CODE_LIFE;
        self.issued().codes.insert(
            code.clone(),
            Code {
                redirect_uri,
                expires,
                family: None,
            },
        );
        code
    }

    /// A code that comes twice revokes what the first exchange gave.
    pub(crate) fn spend_code(&self, code: &str, redirect_uri: Option<&str>) -> Option<Pair> {
        let mut issued = self.issued();
        let known = issued.codes.get(code)?;
        if let Some(family) = known.family {
            issued.revoked.insert(family);
            return None;
        }
        if known.expires <= Instant::now() || known.redirect_uri.as_deref() != redirect_uri {
            return None;
        }
        let family = issued.new_family();
        issued.codes.get_mut(code)?.family = Some(family);
        Some(issued.pair(Client::App, family, self.life))
    }

    pub(crate) fn refresh(&self, token: &str, client: Option<Client>) -> Refresh {
        let mut issued = self.issued();
        let Some(known) = issued.refresh.get_mut(token) else {
            return Refresh::Unknown;
        };
        if client.is_some_and(|client| client != known.client) {
            return Refresh::Unknown;
        }
        let (owner, family) = (known.client, known.family);
        if std::mem::replace(&mut known.is_spent, true) {
            issued.revoked.insert(family);
            return Refresh::Reused;
        }
        if issued.revoked.contains(&family) {
            return Refresh::Unknown;
        }
        Refresh::Rotated(issued.pair(owner, family, self.life))
    }

    pub(crate) fn client_of(&self, access_token: &str) -> Option<Client> {
        let issued = self.issued();
        let access = issued.access.get(access_token)?;
        let is_valid = access.expires > Instant::now() && !issued.revoked.contains(&access.family);
        is_valid.then_some(access.client)
    }

    pub(crate) fn expire_access_tokens(&self) {
        self.issued().access.clear();
    }
}

impl Issued {
    fn new_family(&mut self) -> u64 {
        self.families += 1;
        self.families
    }

    fn pair(&mut self, client: Client, family: u64, life: Duration) -> Pair {
        let pair = Pair {
            access: random_token(),
            refresh: random_token(),
        };
        let now = Instant::now();
        let expires = now + life;
        self.access.retain(|_, access| access.expires > now);
        self.access.insert(
            pair.access.clone(),
            Access {
                client,
                family,
                expires,
            },
        );
        self.refresh.insert(
            pair.refresh.clone(),
            RefreshToken {
                client,
                family,
                is_spent: false,
            },
        );
        pair
    }
}

fn random_token() -> String {
    let mut bytes = [0; 24];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "the system gave no random bytes for a sandbox token");
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(Duration::from_mins(1))
    }

    fn rotated(refresh: Refresh) -> Pair {
        match refresh {
            Refresh::Rotated(pair) => pair,
            other => panic!("not rotated: {other:?}"),
        }
    }

    #[test]
    fn a_spent_refresh_token_revokes_its_whole_family() {
        let tokens = tokens();
        let first = tokens.issue(Client::Consumer);
        let second = rotated(tokens.refresh(&first.refresh, None));

        assert!(matches!(
            tokens.refresh(&first.refresh, None),
            Refresh::Reused
        ));

        assert_eq!(tokens.client_of(&first.access), None);
        assert_eq!(tokens.client_of(&second.access), None);
        assert!(matches!(
            tokens.refresh(&second.refresh, None),
            Refresh::Unknown
        ));
    }

    #[test]
    fn another_sign_in_survives_the_revocation() {
        let tokens = tokens();
        let (lost, kept) = (tokens.issue(Client::App), tokens.issue(Client::App));

        rotated(tokens.refresh(&lost.refresh, None));
        tokens.refresh(&lost.refresh, None);

        assert_eq!(tokens.client_of(&kept.access), Some(Client::App));
    }

    #[test]
    fn a_refresh_token_is_of_no_use_to_another_client() {
        let tokens = tokens();
        let pair = tokens.issue(Client::App);

        assert!(matches!(
            tokens.refresh(&pair.refresh, Some(Client::Consumer)),
            Refresh::Unknown
        ));
        rotated(tokens.refresh(&pair.refresh, Some(Client::App)));
    }

    #[test]
    fn a_code_works_once_and_only_for_its_redirect_uri() {
        let tokens = tokens();
        let code = tokens.new_code(Some("http://127.0.0.1:1/callback"));

        assert!(tokens.spend_code(&code, None).is_none());
        let pair = tokens
            .spend_code(&code, Some("http://127.0.0.1:1/callback"))
            .unwrap();
        assert_eq!(tokens.client_of(&pair.access), Some(Client::App));

        assert!(
            tokens
                .spend_code(&code, Some("http://127.0.0.1:1/callback"))
                .is_none()
        );
        assert_eq!(tokens.client_of(&pair.access), None);
    }

    #[test]
    fn an_access_token_ends_with_its_life() {
        let tokens = Tokens::new(Duration::ZERO);

        assert_eq!(tokens.client_of(&tokens.issue(Client::App).access), None);
    }
}
