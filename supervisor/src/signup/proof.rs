//! Credentials are proven by a real token and `/v1/me` before anything of them is stored.

use std::time::Duration;

use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sf_mcp::auth::oauth::{self, Grant};

use crate::{
    app::App,
    error::Problem,
    vault::{Kind, NewCredentials},
};

/// Characters of a client's id or secret.
const LONGEST: usize = 512;
/// Bytes of `/v1/me`'s answer.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A client's id and secret as a person pasted them.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) id: SecretString,
    pub(super) secret: SecretString,
}

impl Client {
    pub(super) fn new(id: &str, secret: &str) -> Result<Self, Problem> {
        let checked = |name: &str, text: &str| {
            let text = text.trim();
            let usual = !text.is_empty()
                && text.len() <= LONGEST
                && text.chars().all(|c| c.is_ascii_graphic());
            usual
                .then(|| SecretString::from(text.to_owned()))
                .ok_or_else(|| {
                    Problem::invalid(format!(
                        "`{name}` must be copied from Service Fusion as it is, without spaces or line breaks."
                    ))
                })
        };
        Ok(Self {
            id: checked("client_id", id)?,
            secret: checked("client_secret", secret)?,
        })
    }

    /// By an OAuth Consumer's own id and secret.
    pub(super) async fn prove(&self, app: &App) -> Result<NewCredentials, Problem> {
        let origin = &app.config.api_url;
        let asking = async {
            let (http, id) = (app.outside.client()?, self.id.expose_secret());
            oauth::client_credentials(http, origin, id, &self.secret).await
        };
        let grant = asking.await.map_err(|problem| {
            refused(problem, "Copy the client id and secret again from Service Fusion: My Office > Developer Settings > OAuth Consumer. An OAuth App's id and secret work only by the browser.")
        })?;
        self.proven(app, Kind::ClientCredentials, grant).await
    }

    /// By the code that a person's consent brought.
    pub(super) async fn prove_code(
        &self,
        app: &App,
        code: &SecretString,
        redirect_uri: &str,
    ) -> Result<NewCredentials, Problem> {
        let origin = &app.config.api_url;
        let id = self.id.expose_secret();
        let asking = async {
            let http = app.outside.client()?;
            oauth::authorization_code(http, origin, id, &self.secret, code, redirect_uri).await
        };
        let grant = asking.await.map_err(|problem| {
            refused(problem, "Copy the client id and secret again from Service Fusion: My Office > Developer Settings > Connected Apps, and begin again.")
        })?;
        if grant.refresh_token.is_none() {
            return Err(rejected(
                "Service Fusion gave no refresh token, so the connection would end within the hour.",
            ));
        }
        self.proven(app, Kind::AuthorizationCode, grant).await
    }

    async fn proven(&self, app: &App, kind: Kind, grant: Grant) -> Result<NewCredentials, Problem> {
        let account = who(app, &grant).await?;
        Ok(NewCredentials {
            kind,
            client_id: self.id.clone(),
            client_secret: self.secret.clone(),
            grant,
            account,
        })
    }
}

fn rejected(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "credentials_rejected",
        detail,
    )
}

fn unavailable(reason: &str) -> Problem {
    tracing::warn!(reason, "Service Fusion could not be asked");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "upstream_unavailable",
        "Service Fusion cannot be reached right now, so the credentials could not be tried. Nothing was stored; try again in a minute; there is no need to begin anew.",
    )
    .retry_after(30)
}

fn refused(problem: oauth::Error, remedy: &str) -> Problem {
    match problem {
        oauth::Error::Refused(_) => rejected(format!(
            "Service Fusion does not accept these credentials. {remedy}"
        )),
        oauth::Error::Unavailable(reason) | oauth::Error::Lost(reason) => unavailable(&reason),
    }
}

/// Whose token it is: the proof that it works for the API too.
async fn who(app: &App, grant: &Grant) -> Result<String, Problem> {
    let http = app.outside.client();
    let http = http.map_err(|problem| unavailable(&problem.to_string()))?;
    let asked = http
        .get(format!("{}/v1/me", app.config.api_url))
        .bearer_auth(grant.access_token.expose_secret())
        .header("accept", "application/json")
        .timeout(Duration::from_secs(20))
        .send()
        .await;
    let answer = asked.map_err(|problem| unavailable(&problem.without_url().to_string()))?;
    let status = answer.status();
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        return Err(rejected(format!(
            "Service Fusion gave a token but does not let it use the API (status {}). API access is part of the Pro plan; ask Service Fusion to enable it.",
            status.as_u16()
        )));
    }
    if !status.is_success() {
        return Err(unavailable(&format!("/v1/me: status {}", status.as_u16())));
    }
    let me: Value = serde_json::from_slice(&whole(answer).await?).unwrap_or_default();
    if !me.is_object() {
        return Err(unavailable("/v1/me: an answer that is no account"));
    }
    Ok(named(&me))
}

/// The answer's body; one that is too long is not read to its end.
async fn whole(mut answer: reqwest::Response) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    let broken = |problem: reqwest::Error| unavailable(&problem.without_url().to_string());
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        if body.len() + piece.len() > LONGEST_ANSWER {
            return Err(unavailable("/v1/me: an answer that is too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// `Anna Smith <anna@example.com>`, as much of it as there is.
fn named(me: &Value) -> String {
    let text = |name: &str| {
        let text = me.get(name).and_then(Value::as_str).unwrap_or_default();
        let plain: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
        plain.trim().to_owned()
    };
    let name = format!("{} {}", text("first_name"), text("last_name"));
    let name = match name.trim() {
        "" => "an unnamed user",
        name => name,
    };
    match text("email").as_str() {
        "" => name.to_owned(),
        email => format!("{name} <{email}>"),
    }
}
