//! One renewal of a tenant's tokens, under the tenant's lock.

use std::time::Duration;

use secrecy::ExposeSecret;
use sf_mcp::auth::oauth::{self, Grant};
use tokio::time::Instant;

use super::{Access, Error, Inner, Known, MARGIN, SETTLING, unavailable};
use crate::{
    limits::{self, Limit},
    store,
    vault::{self, Head, Kind, Secrets},
};

/// Renewals of tokens that had not run out but that Service Fusion refused, per tenant.
const FORCED: Limit = Limit {
    name: "forced-renewal",
    most: 6,
    window: 10 * 60_000,
};
/// How long a token that can be asked for again is tried to be written.
const WRITING: Duration = Duration::from_secs(5);
/// The same for one whose refresh token is spent: it is all that is left of the sign-in.
const WRITING_THE_LAST: Duration = Duration::from_mins(5);

impl Inner {
    /// A token other than the rejected one with so much left, from the database or from Service Fusion.
    pub(super) async fn obtain(
        &self,
        tenant_id: &str,
        needed: (Duration, i64),
        rejected: Option<&str>,
    ) -> Result<Access, Error> {
        let started = Instant::now();
        let _held = self.store.lock(&format!("refresh/{tenant_id}")).await?;
        let known = self.known(tenant_id).await?;
        // Another process may have renewed while we waited; its tokens are ours too.
        if let Some(access) = known.usable(needed, rejected) {
            return Ok(access);
        }
        if let Some(reason) = &known.head.ended {
            return Err(Error::Ended(reason.clone()));
        }
        if let Some(access) = self.interrupted(tenant_id, &known).await? {
            return Ok(access);
        }
        if rejected.is_some_and(|rejected| known.is(rejected))
            && known.usable(MARGIN, None).is_some()
        {
            self.take_forced(tenant_id).await?;
        }
        let renewed = self.renew(tenant_id, known).await;
        let outcome = match &renewed {
            Ok(_) => "renewed",
            Err(Error::Ended(_)) => "ended",
            Err(Error::Unavailable { .. }) => "unavailable",
            Err(_) => "failed",
        };
        metrics::counter!("sf_supervisor_renewals_total", "outcome" => outcome).increment(1);
        metrics::histogram!("sf_supervisor_renewal_seconds")
            .record(started.elapsed().as_secs_f64());
        renewed
    }

    /// Devices that report every token as refused must not make us ask for ever new ones.
    async fn take_forced(&self, tenant_id: &str) -> Result<(), Error> {
        match limits::take(&self.store, FORCED, tenant_id, self.clock.now()).await? {
            None => Ok(()),
            Some(reached) => Err(Error::Unavailable {
                why: "Service Fusion has refused several fresh tokens of this company".to_owned(),
                seconds: reached.seconds,
            }),
        }
    }

    /// A renewal was begun and its end not noted. Sending its refresh token again could end the whole family, so it
    /// counts as spent, as soon as nobody can be waiting for the answer any more: a process that lost the database,
    /// and with it the lock, may still write down what it got.
    async fn interrupted(&self, tenant_id: &str, known: &Known) -> Result<Option<Access>, Error> {
        let (Kind::AuthorizationCode, Some(intent)) = (known.head.kind, known.head.intent_at)
        else {
            return Ok(None);
        };
        let alone = self.store.kind() == store::Kind::Sqlite;
        let started = Instant::now();
        let quiet = i64::try_from(SETTLING.as_millis()).unwrap_or(i64::MAX);
        while !alone && started.elapsed() < SETTLING && self.clock.now() - intent < quiet {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.known(tenant_id).await?;
            if now.head.generation != known.head.generation {
                let access = now.usable(MARGIN, None);
                return access.map(Some).ok_or_else(changed);
            }
            if now.head.intent_at.is_none() {
                return Err(changed());
            }
        }
        let reason = "a renewal was interrupted and its answer lost";
        Err(self.end(tenant_id, known.head.generation, reason).await?)
    }

    async fn renew(&self, tenant_id: &str, known: Known) -> Result<Access, Error> {
        let secrets = self.vault.secrets(known.row).await?;
        let head = known.head;
        // The intent also proves that the answer can be written: a token must not be spent otherwise.
        let begun = self
            .store
            .begin_renewal(tenant_id, head.generation, self.clock.now());
        if !begun.await? {
            return Err(changed());
        }
        let grant = match self.ask(&head, &secrets).await {
            Ok(grant) => grant,
            Err(problem) => return Err(self.failed(tenant_id, &head, problem).await?),
        };
        self.keep_grant(tenant_id, &head, &secrets, grant).await
    }

    async fn ask(&self, head: &Head, secrets: &Secrets) -> Result<Grant, oauth::Error> {
        let (http, origin) = (self.outside.client()?, self.origin.as_str());
        let (id, secret) = (secrets.client_id.expose_secret(), &secrets.client_secret);
        match (&secrets.refresh_token, head.kind) {
            // The id and secret bring a new token at any time, also when an answer was lost.
            (_, Kind::ClientCredentials) => {
                match oauth::client_credentials(http, origin, id, secret).await {
                    Err(oauth::Error::Lost(_) | oauth::Error::Unavailable(_)) => {
                        oauth::client_credentials(http, origin, id, secret).await
                    }
                    outcome => outcome,
                }
            }
            (Some(refresh_token), Kind::AuthorizationCode) => {
                oauth::refresh(http, origin, id, secret, refresh_token).await
            }
            (None, Kind::AuthorizationCode) => Err(oauth::Error::Refused(
                "there is no refresh token".to_owned(),
            )),
        }
    }

    async fn failed(
        &self,
        tenant_id: &str,
        head: &Head,
        problem: oauth::Error,
    ) -> Result<Error, Error> {
        match (problem, head.kind) {
            (problem @ oauth::Error::Refused(_), _) => {
                self.end(tenant_id, head.generation, &problem.to_string())
                    .await
            }
            (oauth::Error::Lost(_), Kind::AuthorizationCode) => {
                let reason = "the answer to a renewal was lost";
                self.end(tenant_id, head.generation, reason).await
            }
            (problem, kind) => {
                let mut writing = Writing::within(patience(kind));
                while let Err(unwritten) =
                    self.store.cancel_renewal(tenant_id, head.generation).await
                {
                    writing.again(unwritten).await?;
                }
                Ok(unavailable(problem.to_string()))
            }
        }
    }

    /// Notes that only connecting again helps, and says so, unless the tokens were replaced meanwhile.
    async fn end(&self, tenant_id: &str, generation: i64, reason: &str) -> Result<Error, Error> {
        let mut writing = Writing::within(WRITING);
        loop {
            let now = self.clock.now();
            let ending = self
                .store
                .end_credentials(tenant_id, generation, reason, now);
            match ending.await {
                Ok(true) => return Ok(Error::Ended(reason.to_owned())),
                Ok(false) => return Ok(changed()),
                Err(unwritten) => writing.again(unwritten).await?,
            }
        }
    }

    /// Writes the new tokens: durable before anybody uses them.
    async fn keep_grant(
        &self,
        tenant_id: &str,
        head: &Head,
        secrets: &Secrets,
        grant: Grant,
    ) -> Result<Access, Error> {
        let issued_at = self.clock.now();
        let mut writing = Writing::within(patience(head.kind));
        let written = loop {
            let finishing =
                self.vault
                    .finish_renewal(tenant_id, head.generation, secrets, &grant, issued_at);
            match finishing.await {
                Err(vault::Error::Store(unwritten)) => writing.again(unwritten).await?,
                written => break written?,
            }
        };
        if written {
            self.keep(tenant_id, head.generation + 1, &grant.access_token);
            return Ok(Access {
                access_token: grant.access_token,
                expires_in: grant.expires_in,
            });
        }
        // Others were quicker, or the write before the last did succeed and only its answer was lost.
        let known = self.known(tenant_id).await?;
        known.usable(MARGIN, None).ok_or_else(changed)
    }
}

fn changed() -> Error {
    unavailable("the connection to Service Fusion changed meanwhile")
}

fn patience(kind: Kind) -> Duration {
    match kind {
        Kind::ClientCredentials => WRITING,
        Kind::AuthorizationCode => WRITING_THE_LAST,
    }
}

/// A write that is tried more than once when the database fails meanwhile.
struct Writing {
    until: Instant,
    wait: Duration,
}

impl Writing {
    fn within(patience: Duration) -> Self {
        Self {
            until: Instant::now() + patience,
            wait: Duration::from_millis(50),
        }
    }

    /// Waits before the next try, if there is to be one.
    async fn again(&mut self, problem: store::Error) -> Result<(), Error> {
        if Instant::now() + self.wait > self.until {
            return Err(problem.into());
        }
        tracing::warn!(%problem, "the outcome of a renewal cannot be written yet");
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(Duration::from_secs(1));
        Ok(())
    }
}
