//! A hosting service that lends access tokens: it keeps the company's credentials, this machine only a device token.

use std::{fmt::Write, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    auth::oauth::{LONGEST_LIFE, without_address},
    origin,
    seal::SealingKey,
    told_zone,
};

/// The service asks Service Fusion itself where it has no token left, and that may take a while.
const PATIENCE: Duration = Duration::from_secs(20);
/// A larger answer is none of a hosting service.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Why no token is lent; each is mended by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Asking again does not help; the others may pass.
    #[error("{host} no longer accepts this device: it was removed there, or its token is wrong")]
    Revoked { host: String },
    #[error(
        "your company's account at {host} is suspended; ask whoever runs that service. Nothing needs to be done on this machine"
    )]
    Suspended { host: String },
    #[error(
        "{host} has lost its connection to Service Fusion; the account's owner must connect it again there. Nothing needs to \
         be done on this machine"
    )]
    Reconnect { host: String },
    #[error(
        "{host} cannot be used right now ({reason}); check the network and try again in a minute, and if it stays so, ask \
         whoever runs that hosting service"
    )]
    Unavailable { host: String, reason: String },
}

/// A hosting service and this device's token there.
#[derive(Clone, Debug)]
pub struct Broker {
    host: String,
    token: SecretString,
}

/// A lent access token.
#[derive(Clone, Debug)]
pub struct Lent {
    pub access_token: SecretString,
    /// From the moment of the answer.
    pub expires_in: Duration,
    /// The API the token is for, where the service says it.
    pub api_url: Option<String>,
    /// The company's time zone, where the service knows it.
    pub time_zone: Option<String>,
}

/// What a hosting service answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The stable word of a problem (RFC 9457), or nothing.
    pub fn code(&self) -> &str {
        self.body
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// What to tell a person who wonders: the status, and the code where there is one.
    pub fn shown(&self) -> String {
        let word: String = self.code().chars().filter(|c| is_plain(*c)).collect();
        let word = word.get(..40.min(word.len())).unwrap_or_default();
        match (self.status.is_success(), word) {
            (true, _) => "an answer that makes no sense".to_owned(),
            (false, "") => format!("status {}", self.status.as_u16()),
            (false, word) => format!("status {}, {word}", self.status.as_u16()),
        }
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

impl Broker {
    /// `host` is a checked origin. `None` for a token that cannot be one.
    pub fn new(host: String, token: SecretString) -> Option<Self> {
        let text = token.expose_secret();
        // Much shorter ones could be guessed, and a key is made of it.
        let usable = (32..=256).contains(&text.len()) && text.chars().all(is_plain);
        usable.then_some(Self { host, token })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn token(&self) -> &SecretString {
        &self.token
    }

    /// Names the service and token without giving them away.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(b"sf-mcp device\n");
        digest.update(self.host.as_bytes());
        digest.update(b"\n");
        digest.update(self.token.expose_secret().as_bytes());
        URL_SAFE_NO_PAD.encode(&digest.finalize()[..12])
    }

    /// Seals what is kept for a token that comes from the environment.
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey::derived(
            self.token.expose_secret().as_bytes(),
            &format!("sf-mcp lent tokens 1\n{}", self.host),
        )
    }

    /// Asks for a token. It can be asked for again at any time: nothing is spent. `rejected` is one that
    /// the API has refused, so that another one is lent; only its SHA-256 is sent.
    pub async fn lend(
        &self,
        http: &reqwest::Client,
        rejected: Option<&SecretString>,
    ) -> Result<Lent, Error> {
        let asked = asked(rejected);
        let answer = self.ask(http, Method::POST, "/api/token", Some(&asked));
        lent_by(&self.host, &answer.await?)
    }

    /// Ends this device's access there.
    pub async fn revoke(&self, http: &reqwest::Client) -> Result<(), Error> {
        let answer = self
            .ask(http, Method::DELETE, "/api/devices/self", None)
            .await?;
        match self.refusal(&answer) {
            _ if answer.status.is_success() => Ok(()),
            // It is over already.
            Error::Revoked { .. } => Ok(()),
            problem => Err(problem),
        }
    }

    /// One request in the name of this device.
    pub async fn ask(
        &self,
        http: &reqwest::Client,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        exchange(http, method, &self.host, path, Some(&self.token), body).await
    }

    pub fn refusal(&self, answer: &Answer) -> Error {
        refusal(&self.host, answer)
    }
}

/// The body of a request for a token.
pub(super) fn asked(rejected: Option<&SecretString>) -> Value {
    rejected.map_or_else(
        || json!({}),
        |token| json!({"rejected": sha256_hex(token.expose_secret())}),
    )
}

/// What an answer to a request for a token says.
pub(super) fn lent_by(host: &str, answer: &Answer) -> Result<Lent, Error> {
    if answer.status == StatusCode::OK {
        return lent(&answer.body).map_err(|reason| unavailable(host, reason.to_owned()));
    }
    Err(refusal(host, answer))
}

/// Only the service's own words count: a gateway's page says nothing about the device or the account.
fn refusal(host: &str, answer: &Answer) -> Error {
    let named = host.to_owned();
    match (answer.status.as_u16(), answer.code()) {
        (401, "invalid_token") => Error::Revoked { host: named },
        (403, "tenant_suspended") => Error::Suspended { host: named },
        (409, "reconnect_required") => Error::Reconnect { host: named },
        _ => unavailable(host, answer.shown()),
    }
}

pub(super) fn unavailable(host: &str, reason: String) -> Error {
    Error::Unavailable {
        host: host.to_owned(),
        reason,
    }
}

/// One request to a hosting service at `host`. `http` follows no redirects.
pub async fn exchange(
    http: &reqwest::Client,
    method: Method,
    host: &str,
    path: &str,
    bearer: Option<&SecretString>,
    body: Option<&Value>,
) -> Result<Answer, Error> {
    let failed = |reason: String| Error::Unavailable {
        host: host.to_owned(),
        reason,
    };
    let mut request = http
        .request(method, format!("{host}{path}"))
        .header("accept", "application/json")
        .timeout(PATIENCE);
    if let Some(token) = bearer {
        request = request.header("authorization", format!("Bearer {}", token.expose_secret()));
    }
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    let unanswered = |problem: reqwest::Error| failed(without_address(problem));
    let mut response = request.send().await.map_err(unanswered)?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
        if text.len() + chunk.len() > LARGEST_ANSWER {
            return Err(failed("an answer of more than 64 kB".to_owned()));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        body: serde_json::from_slice(&text).unwrap_or_default(),
    })
}

fn sha256_hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn lent(body: &Value) -> Result<Lent, &'static str> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let token = text("access_token").filter(|token| !token.is_empty());
    let token = token.ok_or("an answer without a token")?;
    let life = body.get("expires_in").and_then(Value::as_u64);
    let life = life.ok_or("an answer that does not say how long its token lasts")?;
    let api_url = text("api_url").map(origin::checked).transpose();
    Ok(Lent {
        access_token: token.to_owned().into(),
        expires_in: Duration::from_secs(life).min(LONGEST_LIFE),
        api_url: api_url.map_err(|_| "a token for an address that none is sent to")?,
        time_zone: text("time_zone").and_then(told_zone::plausible),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker() -> Broker {
        let token = "sfd_planted0123456789012345678901234567890123";
        Broker::new("https://sf.example.com".to_owned(), token.to_owned().into()).unwrap()
    }

    #[test]
    fn only_the_services_own_words_count() {
        let refused = |status: u16, body: Value| {
            broker().refusal(&Answer {
                status: StatusCode::from_u16(status).unwrap(),
                body,
            })
        };
        let says = |code: &str| json!({"code": code, "title": "No"});
        assert!(matches!(
            refused(401, says("invalid_token")),
            Error::Revoked { .. }
        ));
        assert!(matches!(
            refused(403, says("tenant_suspended")),
            Error::Suspended { .. }
        ));
        assert!(matches!(
            refused(409, says("reconnect_required")),
            Error::Reconnect { .. }
        ));
        for (status, body) in [
            (401, Value::Null),
            (403, says("blocked by the firewall")),
            (503, says("upstream_unavailable")),
            (302, Value::Null),
        ] {
            assert!(
                matches!(refused(status, body), Error::Unavailable { .. }),
                "{status}"
            );
        }
    }

    #[test]
    fn a_token_is_taken_for_a_safe_origin_only() {
        let answer = |url: &str| json!({"access_token": "t", "expires_in": 60, "api_url": url});
        for good in ["https://api.servicefusion.com", "http://127.0.0.1:8080/"] {
            assert!(lent(&answer(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://api.servicefusion.com",
            "https://user:password@api.servicefusion.com",
            "https://api.servicefusion.com/elsewhere",
            "",
        ] {
            assert!(lent(&answer(bad)).is_err(), "{bad}");
        }
        for broken in [
            json!({"expires_in": 60}),
            json!({"access_token": "", "expires_in": 60}),
            json!({"access_token": "t"}),
            Value::Null,
        ] {
            assert!(lent(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_token_is_shown_nowhere() {
        let broker = broker();
        assert!(!format!("{broker:?}").contains("planted"));
        assert!(!broker.digest().contains("planted"));
        let other = Broker::new("https://other.example.com".to_owned(), broker.token.clone());
        assert_ne!(other.unwrap().digest(), broker.digest());
        for bad in [
            "",
            "short",
            "sfd_ 0123456789012345678901234567890123456789\r\nx: y",
        ] {
            assert!(Broker::new(String::new(), bad.to_owned().into()).is_none());
        }
    }
}
