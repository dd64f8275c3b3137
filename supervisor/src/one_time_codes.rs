//! Six digits that prove who reads an address's mail.
//!
//! # How likely a guess is
//!
//! A code is one of 1,000,000, each equally likely, and a wrong try says nothing of the next code. Whoever makes `n`
//! guesses at one address hits with a probability of at most `n / 1,000,000`, however they are spread over codes. What
//! bounds `n`, wherever the tries come from:
//!
//! - five tries per code ([`TRIES_PER_CODE`]) and three mails in ten minutes ([`MAILS_PER_ADDRESS`]): 3 × 5 × 145 = 2,175
//!   a day, for a day touches at most 145 windows of ten minutes;
//! - 20 tries an hour ([`TRIES_PER_ADDRESS`]): 20 × 25 = 500 a day;
//! - 30 tries in twelve hours ([`GUESSES_PER_ADDRESS`]): 30 × 3 = **90** a day.
//!
//! So a day of trying, on every resend and from any number of sources, succeeds with a probability of at most
//! 90 / 1,000,000, less than one in 11,000. A test computes this from the constants below.
//!
//! What bounds strangers bounds the owner: whoever asks for six mails and spends their thirty tries keeps the address's
//! codes from being taken until the twelve hours end. That cannot be told apart by where a try comes from, as each
//! source that asks for a code would bring guesses of its own and the sum would have no bound; it would take something
//! that only the owner has, such as a browser that has proven the address before. Sessions and tokens go on meanwhile.
//!
//! Limits lapse at the end of their window, so nobody can lock an owner out for good. A try that is not six digits, or
//! at an address without a live code, cannot guess anything: it counts for its source alone, and locks nobody out.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    clock::Clock,
    email::Email,
    limits::{self, Limit, Reached},
    master_key,
    store::{self, NewCode, Store},
    vault::{self, Vault},
};

pub use crate::store::TRIES_PER_CODE;

/// How many codes there are.
pub const CODES: u32 = 1_000_000;
/// How long a code is good.
pub const LIFE: Duration = Duration::from_mins(10);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

const fn limit(name: &'static str, most: i64, window: i64) -> Limit {
    Limit { name, most, window }
}

pub const MAILS_PER_ADDRESS: Limit = limit("mails/address", 3, 10 * MINUTE);
pub const MAILS_PER_SOURCE: Limit = limit("mails/source", 20, 10 * MINUTE);
pub const MAILS_IN_TOTAL: Limit = limit("mails/total", 600, 10 * MINUTE);
/// This and the two after the next: only tries that meet a live code.
pub const TRIES_PER_ADDRESS: Limit = limit("tries/address", 20, HOUR);
pub const TRIES_PER_SOURCE: Limit = limit("tries/source", 60, HOUR);
pub const TRIES_IN_TOTAL: Limit = limit("tries/total", 6_000, HOUR);
pub const GUESSES_PER_ADDRESS: Limit = limit("guesses/address", 30, 12 * HOUR);

/// A code is on its way.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CodeSent {
    /// Always `code_sent`.
    #[schema(example = "code_sent")]
    status: &'static str,
    /// Seconds for which the code is good.
    #[schema(example = 600)]
    expires_in: u64,
}

impl CodeSent {
    pub fn now() -> Self {
        Self {
            status: "code_sent",
            expires_in: LIFE.as_secs(),
        }
    }
}

/// Why there is no code, or why it does not count.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("too many requests for {} s", .0.seconds)]
    TooMany(Reached),
    /// Wrong, used, replaced, out of date, or never sent: which of them is nobody's business.
    #[error("the code is not right")]
    Wrong,
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error("the system gives no random numbers")]
    NoRandom(#[from] getrandom::Error),
}

/// Whether a right code is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Spend,
    /// Good for once more: the person has to choose something first.
    Keep,
}

/// Makes codes and checks them, within the limits.
#[derive(Clone, Debug)]
pub struct OneTimeCodes {
    store: Store,
    vault: Vault,
    clock: Clock,
}

impl OneTimeCodes {
    pub fn new(store: Store, vault: Vault, clock: Clock) -> Self {
        Self {
            store,
            vault,
            clock,
        }
    }

    /// A new code for the address, asked for from that network. The one before it ends.
    pub async fn create(
        &self,
        email: &Email,
        network: &str,
        company: Option<&str>,
    ) -> Result<SecretString, Refused> {
        self.take(MAILS_PER_SOURCE, network).await?;
        self.take(MAILS_PER_ADDRESS, &email.mailbox()).await?;
        self.take(MAILS_IN_TOTAL, "").await?;
        let code = six_digits()?;
        let key = self.vault.sealing_key().await?;
        let now = self.clock.now();
        let new = NewCode {
            email: email.as_str(),
            company,
            code_hash: &master_key::code_hash(key, email.as_str(), code.expose_secret()),
            created_at: now,
            expires_at: now + i64::try_from(LIFE.as_millis()).unwrap_or(0),
        };
        self.store.put_code(&new).await?;
        Ok(code)
    }

    /// Tries a code; a right one gives what its asker called the company, if it was for a sign-up.
    pub async fn check(
        &self,
        email: &Email,
        network: &str,
        code: &str,
        usage: Use,
    ) -> Result<Option<String>, Refused> {
        self.take(TRIES_PER_SOURCE, network).await?;
        let code = code_in(code).ok_or(Refused::Wrong)?;
        let now = self.clock.now();
        if !self.store.has_code(email.as_str(), now).await? {
            return Err(Refused::Wrong);
        }
        // Whom a limit refuses uses up nothing of the limits after it.
        self.take(TRIES_PER_ADDRESS, email.as_str()).await?;
        self.take(GUESSES_PER_ADDRESS, email.as_str()).await?;
        self.take(TRIES_IN_TOTAL, "").await?;
        // While a rotation is under way another replica may have made the code under another key.
        let hashes = self.vault.master_keys().all();
        let hashes: Vec<_> = hashes
            .map(|key| master_key::code_hash(key, email.as_str(), &code))
            .collect();
        let keep = usage == Use::Keep;
        let tried = self
            .store
            .try_code(email.as_str(), &hashes, keep, now)
            .await?;
        match tried {
            Some(tried) if tried.right => Ok(tried.company),
            _ => Err(Refused::Wrong),
        }
    }

    async fn take(&self, limit: Limit, whom: &str) -> Result<(), Refused> {
        match limits::take(&self.store, limit, whom, self.clock.now()).await? {
            Some(reached) => {
                metrics::counter!("sf_supervisor_code_limits_total", "limit" => limit.name)
                    .increment(1);
                Err(Refused::TooMany(reached))
            }
            None => Ok(()),
        }
    }
}

/// Six digits as people type them, with a space or a hyphen perhaps.
pub fn code_in(text: &str) -> Option<String> {
    let code: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .take(7)
        .collect();
    (code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())).then_some(code)
}

/// Every code is equally likely: numbers beyond the last whole multiple of [`CODES`] are drawn again.
fn six_digits() -> Result<SecretString, getrandom::Error> {
    const FAIR: u32 = u32::MAX - u32::MAX % CODES;
    loop {
        let number = getrandom::u32()?;
        if number < FAIR {
            return Ok(format!("{:06}", number % CODES).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day touches at most one window more than fit into it.
    fn in_a_day(limit: Limit) -> i64 {
        limit.most * (24 * HOUR / limit.window + 1)
    }

    #[test]
    fn a_day_of_guessing_succeeds_less_than_once_in_ten_thousand() {
        let by_mails = in_a_day(MAILS_PER_ADDRESS) * TRIES_PER_CODE;
        let by_tries = in_a_day(TRIES_PER_ADDRESS);
        let by_guesses = in_a_day(GUESSES_PER_ADDRESS);
        assert_eq!((by_mails, by_tries, by_guesses), (2_175, 500, 90));

        let guesses = by_mails.min(by_tries).min(by_guesses);
        assert!(
            guesses * 10_000 < i64::from(CODES),
            "{guesses} guesses a day"
        );
    }

    #[test]
    fn codes_are_spread_evenly() {
        let mut firsts = [0u32; 10];
        for _ in 0..10_000 {
            let code = six_digits().unwrap();
            assert_eq!(code.expose_secret().len(), 6);
            let first = code.expose_secret().as_bytes()[0] - b'0';
            firsts[usize::from(first)] += 1;
        }
        // Ten standard deviations from the mean.
        assert!(
            firsts.iter().all(|count| (700..1300).contains(count)),
            "{firsts:?}"
        );
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        assert_eq!(code_in(" 012 345\n").as_deref(), Some("012345"));
        assert_eq!(code_in("012-345").as_deref(), Some("012345"));
        for text in ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"] {
            assert_eq!(code_in(text), None, "{text}");
        }
    }
}
