//! One renewal of a profile's tokens, under the lock.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        oauth::{self, Grant},
        session::{ENDING, Error, blocking},
        steps,
        vault::{Head, Kind, Secrets, Vault},
    },
    seal::SealingKey,
};

/// What a renewal needs. The lock is held by the caller.
pub(super) struct Renewal<'a> {
    pub(super) origin: &'a str,
    pub(super) http: &'a reqwest::Client,
    pub(super) vault: &'a Vault,
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
        let grant = match self.ask().await {
            Ok(grant) => grant,
            Err(problem) => return self.failed(problem).await,
        };
        steps::reached("answer received");
        let secrets = Secrets {
            access_token: grant.access_token,
            expires_at: jiff::Timestamp::now().as_millisecond() + millis(grant.expires_in),
            life: millis(grant.expires_in),
            refresh_token: grant.refresh_token.or(self.secrets.refresh_token),
            ..self.secrets
        };
        Ok(Renewed {
            kind: self.head.kind,
            generation,
            key: self.key,
            secrets,
        })
    }

    async fn ask(&self) -> Result<Grant, oauth::Error> {
        let (id, secret) = (
            self.secrets.client_id.expose_secret(),
            &self.secrets.client_secret,
        );
        match (&self.secrets.refresh_token, self.head.kind) {
            // The id and secret bring a new token at any time; the refresh token is not needed.
            (_, Kind::ClientCredentials) => {
                tokio::select! {
                    grant = oauth::client_credentials(self.http, self.origin, id, secret) => grant,
                    () = self.closing.cancelled() => Err(oauth::Error::Unavailable(ENDING.to_owned())),
                }
            }
            (Some(refresh_token), Kind::AuthorizationCode) => {
                oauth::refresh(self.http, self.origin, id, secret, refresh_token).await
            }
            (None, Kind::AuthorizationCode) => Err(oauth::Error::Refused(
                "there is no refresh token".to_owned(),
            )),
        }
    }

    async fn failed(self, problem: oauth::Error) -> Result<Renewed, Error> {
        let generation = self.head.generation;
        match (problem, self.head.kind) {
            (problem @ oauth::Error::Refused(_), _) => self.end(&problem.to_string()).await,
            (oauth::Error::Lost(_), Kind::AuthorizationCode) => {
                self.end("the answer to a renewal was lost").await
            }
            (problem, _) => {
                let vault = self.vault.clone();
                blocking(move || Ok(vault.cancel_renewal(generation)?)).await?;
                Err(Error::Unavailable(problem.to_string()))
            }
        }
    }

    async fn end(&self, reason: &str) -> Result<Renewed, Error> {
        let (vault, generation, text) =
            (self.vault.clone(), self.head.generation, reason.to_owned());
        blocking(move || Ok(vault.end(generation, &text)?)).await?;
        Err(Error::Ended(reason.to_owned()))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
