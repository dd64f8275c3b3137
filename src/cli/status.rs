//! `sf-mcp status`: who is signed in, until when, and where the key lives. Nothing is sent.

use serde_json::{Value, json};

use crate::{
    auth::{
        session::{self, Profile},
        vault::{Head, Secrets},
    },
    cli::{Exit, Failure, company, print, runtime},
    config::{Config, Credentials},
};

pub(super) fn run(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let found = read(config)?;
    let runtime = runtime()?;
    let (left, limit) = runtime.block_on(async {
        let connected = company::connect(config).await?;
        Ok::<_, std::io::Error>(connected.company.client.budget().left().await)
    })?;
    if as_json {
        let mut fields = found.json();
        fields["profile"] = json!(config.profile);
        fields["api_url"] = json!(config.api_url);
        fields["time_zone"] = json!(config.clock.zone_name());
        fields["requests_left"] = json!(left);
        fields["requests_a_minute"] = json!(limit);
        print(&serde_json::to_string_pretty(&fields)?);
    } else {
        print(&format!("profile          {}", config.profile));
        print(&format!("service          {}", config.api_url));
        found.print();
        print(&format!("time zone        {}", config.clock.zone_name()));
        print(&format!("requests left    {left} of {limit} this minute"));
    }
    Ok(if found.is_signed_in() {
        Exit::Done
    } else {
        Exit::SignedOut
    })
}

/// What there is of a sign-in.
enum Found {
    Nobody,
    Environment(String),
    Profile(Box<(Profile, Head, Secrets)>),
    Sandbox,
}

fn read(config: &Config) -> Result<Found, Failure> {
    if config.demo {
        return Ok(Found::Sandbox);
    }
    if let Some(credentials) = Credentials::from_environment() {
        return Ok(Found::Environment(credentials.client_id));
    }
    let Some(paths) = &config.paths else {
        return Ok(Found::Nobody);
    };
    let profile = Profile::new(paths, &config.profile, &config.api_url);
    match profile.open(None) {
        Ok(opened) => Ok(Found::Profile(Box::new((
            profile,
            opened.head,
            opened.secrets,
        )))),
        Err(session::Error::SignedOut) => Ok(Found::Nobody),
        Err(problem) => Err(problem.into()),
    }
}

impl Found {
    fn is_signed_in(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Profile(found) => found.1.ended.is_none(),
            _ => true,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Nobody => json!({"signed_in": false}),
            Self::Sandbox => json!({"signed_in": true, "sandbox": true}),
            Self::Environment(id) => {
                json!({"signed_in": true, "source": "environment", "client_id": id})
            }
            Self::Profile(found) => {
                let (profile, head, secrets) = found.as_ref();
                json!({
                    "signed_in": head.ended.is_none(),
                    "source": head.kind.word(),
                    "account": secrets.account,
                    "token_expires_in_s": left(secrets),
                    "key": head.place.word(),
                    "file": profile.vault.path(),
                    "ended": head.ended,
                })
            }
        }
    }

    fn print(&self) {
        match self {
            Self::Nobody => print("signed in        no; run `sf-mcp login`, or try `sf-mcp demo`"),
            Self::Sandbox => print("signed in        to the built-in sandbox company"),
            Self::Environment(id) => print(&format!(
                "signed in        by SF_MCP_CLIENT_ID ({id}); nothing is kept on this machine"
            )),
            Self::Profile(found) => {
                let (profile, head, secrets) = found.as_ref();
                match &head.ended {
                    None => print(&format!("signed in        as {}", secrets.account)),
                    Some(reason) => print(&format!(
                        "signed in        no longer: {reason}; run `sf-mcp login`"
                    )),
                }
                print(&format!("access           {}", lasting(secrets)));
                print(&format!(
                    "kept in          {}",
                    profile.vault.path().display()
                ));
                print(&format!("protected by     {}", place(profile, head)));
            }
        }
    }
}

fn left(secrets: &Secrets) -> i64 {
    ((secrets.expires_at - jiff::Timestamp::now().as_millisecond()) / 1000).max(0)
}

fn lasting(secrets: &Secrets) -> String {
    match left(secrets) {
        0 => "renewed at the next call".to_owned(),
        seconds => format!("for {} min, then renewed by itself", seconds / 60),
    }
}

fn place(profile: &Profile, head: &Head) -> String {
    use crate::auth::master_key::Place;
    match head.place {
        Place::Keychain => "a key in the system's keychain".to_owned(),
        Place::Environment => "the key in SF_MCP_KEY".to_owned(),
        Place::File => format!("the key in {}", profile.places.file().display()),
    }
}
