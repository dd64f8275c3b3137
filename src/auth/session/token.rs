//! An access token in this process, and when the stored one still serves.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::auth::{oauth, vault::Secrets};

/// No request starts with a token that has less than this left.
pub(super) const MARGIN: (Duration, u32) = (Duration::from_mins(1), 5);
/// From here on a call renews the token in the background while it still uses the old one.
pub(super) const AHEAD: (Duration, u32) = (Duration::from_mins(5), 2);

/// An access token, the API it is for, and how long it lasts, on this process's own clock.
#[derive(Clone, Debug)]
pub struct Token {
    pub(super) secret: SecretString,
    origin: Arc<str>,
    pub(super) expires: Instant,
    /// Of what life, so that short ones are not renewed all the time.
    life: Duration,
}

impl Token {
    pub(super) fn new(secret: SecretString, origin: &str, left: Duration) -> Self {
        let left = left.min(oauth::LONGEST_LIFE);
        Self {
            secret,
            origin: origin.into(),
            expires: Instant::now() + left,
            life: left,
        }
    }

    /// The one place where a token leaves: the value of an `Authorization` header.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.secret.expose_secret())
    }

    /// Where it may be sent.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn is(&self, other: &Token) -> bool {
        self.secret.expose_secret() == other.secret.expose_secret()
    }

    /// `least`, or that share of a short life.
    pub(super) fn has_left(&self, (least, share): (Duration, u32)) -> bool {
        self.expires.saturating_duration_since(Instant::now()) > least.min(self.life / share)
    }
}

/// The stored token, when it lasts and is not the one that was rejected.
pub(super) fn usable(secrets: &Secrets, than: Option<&Token>) -> Option<Token> {
    living(secrets, than).filter(|token| token.has_left(MARGIN))
}

/// The same for one that lives for any time yet.
pub(super) fn living(secrets: &Secrets, than: Option<&Token>) -> Option<Token> {
    let now = jiff::Timestamp::now().as_millisecond();
    let left = secrets.expires_at.saturating_sub(now);
    // A clock that was set back must not make a token last longer than it was given.
    let left = u64::try_from(left.min(secrets.life))
        .ok()
        .filter(|left| *left > 0)?;
    let token = Token {
        life: Duration::from_millis(u64::try_from(secrets.life).unwrap_or(0)),
        ..Token::new(
            secrets.access_token.clone(),
            &secrets.api_url,
            Duration::from_millis(left),
        )
    };
    let rejected = than.is_some_and(|than| than.is(&token));
    Some(token).filter(|_| !rejected)
}
