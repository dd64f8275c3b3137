//! One renewal of a profile's tokens, under the lock.

use std::{path::Path, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        broker, oauth,
        session::{ENDING, Error, blocking, token::Token},
        steps,
        vault::{Head, Kind, Means, Secrets, Vault},
    },
    seal::SealingKey,
    told_zone,
};

/// What a renewal needs. The lock is held by the caller.
pub(super) struct Renewal<'a> {
    /// The API, where nobody says another one.
    pub(super) origin: &'a str,
    pub(super) http: &'a reqwest::Client,
    /// A token that the API has refused: who lent it does not know that.
    pub(super) rejected: Option<&'a Token>,
    pub(super) vault: &'a Vault,
    pub(super) zone_file: Option<&'a Path>,
    pub(super) head: Head,
    pub(super) key: SealingKey,
    pub(super) secrets: Secrets,
    /// This process ends: only what cannot be asked for again is worth waiting for.
    pub(super) closing: &'a CancellationToken,
}

/// What a renewal brought, to be written down.
#[derive(Clone, Debug)]
pub(super) struct Renewed {
    pub(super) kind: Kind,
    /// The one it replaces.
    pub(super) generation: i64,
    pub(super) key: SealingKey,
    pub(super) secrets: Secrets,
}

/// New tokens, from whomever they are.
struct Brought {
    access_token: SecretString,
    expires_in: Duration,
    refresh_token: Option<SecretString>,
    api_url: String,
}

/// Why there are none.
enum Problem {
    Direct(oauth::Error),
    Lender(broker::Error),
    Ending,
}

impl Renewal<'_> {
    /// Asks for new tokens.
    pub(super) async fn run(self) -> Result<Renewed, Error> {
        let generation = self.head.generation;
        if self.head.kind == Kind::AuthorizationCode && self.head.intent_at.is_some() {
            // A process died between sending the refresh token and writing down its successor. Sending it again
            // could end the whole family, so it counts as spent.
            return self
                .end("a renewal was interrupted and its answer lost")
                .await;
        }
        // The intent also proves that the answer can be written: a token must not be spent otherwise.
        let vault = self.vault.clone();
        let begun = blocking(move || {
            Ok(vault.begin_renewal(generation, jiff::Timestamp::now().as_millisecond())?)
        })
        .await?;
        if !begun {
            return Err(Error::Unavailable(
                "the sign-in changed meanwhile; try again".to_owned(),
            ));
        }
        steps::reached("intent written");
        let brought = match self.ask().await {
            Ok(brought) => brought,
            Err(problem) => return self.failed(problem).await,
        };
        steps::reached("answer received");
        let secrets = Secrets {
            access_token: brought.access_token,
            api_url: brought.api_url,
            expires_at: jiff::Timestamp::now().as_millisecond() + millis(brought.expires_in),
            life: millis(brought.expires_in),
            refresh_token: brought.refresh_token.or(self.secrets.refresh_token),
            ..self.secrets
        };
        Ok(Renewed {
            kind: self.head.kind,
            generation,
            key: self.key,
            secrets,
        })
    }

    async fn ask(&self) -> Result<Brought, Problem> {
        if !self.head.kind.is_repeatable() {
            return self.asked().await;
        }
        tokio::select! {
            brought = self.asked() => brought,
            () = self.closing.cancelled() => Err(Problem::Ending),
        }
    }

    async fn asked(&self) -> Result<Brought, Problem> {
        let (id, secret) = match &self.secrets.means {
            Means::Client { id, secret } => (id.expose_secret(), secret),
            Means::Device(broker) => {
                let lent = broker
                    .lend(self.http, self.rejected.map(|token| &token.secret))
                    .await
                    .map_err(Problem::Lender)?;
                if let (Some(file), Some(zone)) = (self.zone_file, &lent.time_zone) {
                    told_zone::keep(file, Some(zone));
                }
                return Ok(Brought {
                    access_token: lent.access_token,
                    expires_in: lent.expires_in,
                    refresh_token: None,
                    api_url: lent.api_url.unwrap_or_else(|| self.origin.to_owned()),
                });
            }
        };
        let grant = match (&self.secrets.refresh_token, self.head.kind) {
            (Some(refresh_token), Kind::AuthorizationCode) => {
                oauth::refresh(self.http, self.origin, id, secret, refresh_token).await
            }
            (None, Kind::AuthorizationCode) => Err(oauth::Error::Refused(
                "there is no refresh token".to_owned(),
            )),
            // The id and secret bring a new token at any time; the refresh token is not needed.
            _ => oauth::client_credentials(self.http, self.origin, id, secret).await,
        };
        let grant = grant.map_err(Problem::Direct)?;
        Ok(Brought {
            access_token: grant.access_token,
            expires_in: grant.expires_in,
            refresh_token: grant.refresh_token,
            api_url: self.secrets.api_url.clone(),
        })
    }

    async fn failed(self, problem: Problem) -> Result<Renewed, Error> {
        let later = match problem {
            Problem::Direct(problem @ oauth::Error::Refused(_)) => {
                return self.end(&problem.to_string()).await;
            }
            Problem::Direct(oauth::Error::Lost(_)) if !self.head.kind.is_repeatable() => {
                return self.end("the answer to a renewal was lost").await;
            }
            Problem::Lender(problem @ broker::Error::Revoked { .. }) => {
                return self.end(&problem.to_string()).await;
            }
            Problem::Direct(problem) => Error::Unavailable(problem.to_string()),
            Problem::Lender(problem) => Error::Lender(problem),
            Problem::Ending => Error::Unavailable(ENDING.to_owned()),
        };
        let (vault, generation) = (self.vault.clone(), self.head.generation);
        blocking(move || Ok(vault.cancel_renewal(generation)?)).await?;
        Err(later)
    }

    async fn end(&self, reason: &str) -> Result<Renewed, Error> {
        let (vault, generation, text) =
            (self.vault.clone(), self.head.generation, reason.to_owned());
        blocking(move || Ok(vault.end(generation, &text)?)).await?;
        Err(Error::ended(&self.head, reason.to_owned()))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
