//! `sf-mcp status`: who is signed in, until when, and where the key lives. Nothing is sent.

use serde_json::{Value, json};

use crate::{
    auth::{
        master_key::Place,
        session::{self, Profile},
        vault::{Head, Kind, Means, Secrets},
    },
    cli::{Exit, Failure, company, on_profile, print, runtime},
    config::{Config, Credentials},
    usage::Usage,
};

pub(super) fn run(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let found = read(config)?;
    let runtime = runtime()?;
    let (left, limit) = runtime.block_on(async {
        let connected = company::connect(config).await?;
        Ok::<_, Failure>(connected.company.client.budget().left().await)
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
        found.print(config);
        print(&format!("profile          {}", config.profile));
        print(&format!("service          {}", found.api_url(config)));
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
    /// Of the environment, at that hosting service, before its first token.
    Device(String),
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
    let Some(profile) = company::profile(config)? else {
        return Ok(Found::Nobody);
    };
    match profile.open(None) {
        Ok(opened) => Ok(Found::Profile(Box::new((
            profile,
            opened.head,
            opened.secrets,
        )))),
        Err(session::Error::SignedOut) => Ok(match profile.device {
            Some(device) => Found::Device(device.host().to_owned()),
            None => Found::Nobody,
        }),
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

    /// Where requests go.
    fn api_url<'a>(&'a self, config: &'a Config) -> &'a str {
        match self {
            Self::Profile(found) if found.1.kind == Kind::Device && !found.2.api_url.is_empty() => {
                &found.2.api_url
            }
            _ => &config.api_url,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Nobody => json!({"signed_in": false}),
            Self::Sandbox => json!({"signed_in": true, "sandbox": true}),
            Self::Environment(id) => {
                json!({"signed_in": true, "source": "environment", "client_id": id})
            }
            Self::Device(host) => {
                json!({"signed_in": true, "source": "environment device", "supervisor": host})
            }
            Self::Profile(found) => {
                let (profile, head, secrets) = found.as_ref();
                let source = if profile.device.is_some() {
                    "environment device"
                } else {
                    head.kind.word()
                };
                let supervisor = (head.kind == Kind::Device).then_some(&head.origin);
                json!({
                    "signed_in": head.ended.is_none(),
                    "source": source,
                    "supervisor": supervisor,
                    "token_is_for": secrets.api_url,
                    "account": secrets.account,
                    "token_expires_in_s": left(secrets),
                    "key": head.place.word(),
                    "file": profile.vault.path(),
                    "ended": head.ended,
                })
            }
        }
    }

    fn print(&self, config: &Config) {
        let profile = on_profile(&config.profile);
        match self {
            Self::Nobody => print(&format!(
                "nobody is signed in\n  run `sf-mcp login{profile}` to sign in to your company's Service Fusion\n  \
                 run `sf-mcp demo` to see what sf-mcp does, without an account\n"
            )),
            Self::Sandbox => print("signed in to the built-in demo company\n"),
            Self::Environment(id) => print(&format!(
                "signed in by SF_MCP_CLIENT_ID ({id})\naccess is asked for at each start; nothing is kept on this machine\n"
            )),
            Self::Device(host) => print(&format!(
                "signed in by SF_MCP_DEVICE_TOKEN, through {host}\naccess is asked for at the first call\n"
            )),
            Self::Profile(found) => {
                let (files, head, secrets) = found.as_ref();
                match &head.ended {
                    None => print(&format!(
                        "signed in {}\naccess {}\n",
                        account(head, secrets),
                        lasting(secrets)
                    )),
                    Some(reason) if head.kind == Kind::Device => print(&format!(
                        "no longer signed in: {reason}\n  {}\n",
                        head.remedy()
                    )),
                    Some(reason) => print(&format!(
                        "no longer signed in as {}: {reason}\n  run `sf-mcp login{profile}` to sign in again\n",
                        secrets.account
                    )),
                }
                print(&format!(
                    "kept in          {}",
                    files.vault.path().display()
                ));
                print(&format!("protected by     {}", key(files, head.place)));
                if let Some(left) = usage_left(config, secrets) {
                    print(&format!("usage events     {left}"));
                }
            }
        }
    }
}

/// Who is signed in, and through which hosting service. The environment's device says no name.
pub(super) fn account(head: &Head, secrets: &Secrets) -> String {
    let host = &head.origin;
    match (head.kind, head.place) {
        (Kind::Device, Place::Device) => format!("by SF_MCP_DEVICE_TOKEN, through {host}"),
        (Kind::Device, _) => format!("as {}, through {host}", secrets.account),
        _ => format!("as {}", secrets.account),
    }
}

/// Seconds for which the token lives.
pub(super) fn left(secrets: &Secrets) -> i64 {
    ((secrets.expires_at - jiff::Timestamp::now().as_millisecond()) / 1000).max(0)
}

fn lasting(secrets: &Secrets) -> String {
    match left(secrets) {
        0 => "is renewed by itself at the next call".to_owned(),
        seconds => format!(
            "lasts another {} and is renewed by itself",
            duration(seconds)
        ),
    }
}

pub(super) fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        _ => format!("{} min", seconds / 60),
    }
}

/// What a hosting service has not been told yet.
pub(super) fn usage_left(config: &Config, secrets: &Secrets) -> Option<String> {
    let Means::Device(broker) = &secrets.means else {
        return None;
    };
    let left = Usage::left(config.paths.as_ref()?, broker)?;
    let dropped = match left.dropped {
        0 => String::new(),
        dropped => format!("; {dropped} had to be given up"),
    };
    Some(format!(
        "{} wait to be sent to {}{dropped}",
        left.waiting,
        broker.host()
    ))
}

/// What the sign-in is sealed with.
pub(super) fn key(profile: &Profile, place: Place) -> String {
    match place {
        Place::Keychain => "a key in the system's keychain".to_owned(),
        Place::Environment => "the key in SF_MCP_KEY".to_owned(),
        Place::File => format!("the key in {}", profile.places.file().display()),
        Place::Device => "a key made of SF_MCP_DEVICE_TOKEN".to_owned(),
    }
}
