//! A valid access token, now; the only place that changes tokens.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    auth::oauth::{self, Grant},
    config::Credentials,
};

/// A token is renewed this long before it expires, or after four fifths of a short life.
const MARGIN: Duration = Duration::from_mins(2);

/// Why no access token can be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(
        "nobody is signed in to Service Fusion on this machine. Set SF_MCP_CLIENT_ID and SF_MCP_CLIENT_SECRET for \
         sf-mcp, or try the built-in sandbox with `sf-mcp serve --demo`"
    )]
    SignedOut,
    #[error("{0}; check SF_MCP_CLIENT_ID and SF_MCP_CLIENT_SECRET")]
    Refused(String),
    #[error("{0}")]
    Unavailable(String),
}

/// An access token and the moment from which another is asked for.
#[derive(Clone, Debug)]
pub struct Token {
    secret: SecretString,
    renew_at: Instant,
}

impl Token {
    fn new(grant: Grant) -> Self {
        let margin = MARGIN.min(grant.expires_in / 5);
        Self {
            secret: grant.access_token,
            renew_at: Instant::now() + grant.expires_in - margin,
        }
    }

    /// The one place where a token leaves: the value of an `Authorization` header.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.secret.expose_secret())
    }

    fn is(&self, other: &Token) -> bool {
        self.secret.expose_secret() == other.secret.expose_secret()
    }
}

/// The signed-in state of one company in this process.
#[derive(Debug)]
pub struct Session {
    credentials: Option<Credentials>,
    origin: String,
    current: std::sync::RwLock<Option<Token>>,
    /// One task renews; the others wait here and then find the new token.
    gate: Mutex<()>,
}

impl Session {
    pub fn new(origin: String, credentials: Option<Credentials>) -> Self {
        Self {
            credentials,
            origin,
            current: std::sync::RwLock::new(None),
            gate: Mutex::new(()),
        }
    }

    pub fn is_signed_in(&self) -> bool {
        self.credentials.is_some()
    }

    /// A token that is valid for some time yet; asks for one where there is none.
    pub async fn token(&self, http: &reqwest::Client) -> Result<Token, Error> {
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let _turn = self.gate.lock().await;
        match self.fresh() {
            Some(token) => Ok(token),
            None => self.renew(http).await,
        }
    }

    /// A token other than the rejected one: the service answered 401 to it.
    pub async fn replace(&self, http: &reqwest::Client, rejected: &Token) -> Result<Token, Error> {
        let _turn = self.gate.lock().await;
        match self.fresh() {
            Some(token) if !token.is(rejected) => Ok(token),
            _ => self.renew(http).await,
        }
    }

    fn fresh(&self) -> Option<Token> {
        let current = self
            .current
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        current
            .as_ref()
            .filter(|token| Instant::now() < token.renew_at)
            .cloned()
    }

    async fn renew(&self, http: &reqwest::Client) -> Result<Token, Error> {
        let credentials = self.credentials.as_ref().ok_or(Error::SignedOut)?;
        let grant = oauth::client_credentials(
            http,
            &self.origin,
            &credentials.client_id,
            &credentials.client_secret,
        )
        .await
        .map_err(|problem| match problem {
            oauth::Error::Refused(_) => Error::Refused(problem.to_string()),
            oauth::Error::Unavailable(_) => Error::Unavailable(problem.to_string()),
        })?;
        let token = Token::new(grant);
        *self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }
}
