//! `sf-mcp login`: proves credentials with a real token, then keeps them sealed.

mod asked;
mod browser;
mod bundle;
mod hidden;
pub(super) mod hosted;

use std::io::IsTerminal;

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    auth::{
        lock,
        master_key::{Chosen, Keychain, Place, Slot},
        oauth::{self, Grant},
        session::Profile,
        steps,
        vault::{Kind, Means, Secrets},
    },
    cli::{Exit, Failure, on_profile, print, runtime, status},
    config::{Config, SERVICE_FUSION},
    paths::Paths,
    service_fusion::{client::build_http, record::Record},
    told_zone,
};

#[derive(Args)]
pub(super) struct Login {
    /// Client id; asked for when left out.
    #[arg(long, env = "SF_MCP_CLIENT_ID", value_name = "ID")]
    client_id: Option<String>,

    /// Read the client secret from stdin instead of asking for it.
    #[arg(long)]
    client_secret_stdin: bool,

    /// Sign in as yourself in the browser, with an OAuth App.
    #[arg(long)]
    browser: bool,

    /// With --browser: print the address instead of opening it.
    #[arg(long, requires = "browser")]
    no_open: bool,

    /// With --browser: the port of the redirect address registered for the app; any free one if left out.
    #[arg(long, requires = "browser", value_name = "PORT")]
    port: Option<u16>,

    /// Where the sealing key goes.
    #[arg(long, env = "SF_MCP_KEYCHAIN", value_enum, default_value = "auto")]
    keychain: Keychain,

    #[command(flatten)]
    hosted: hosted::Hosted,
}

impl Login {
    pub(super) fn run(&self, config: &Config) -> Result<Exit, Failure> {
        if config.demo {
            return Err(Failure::new(
                Exit::Usage,
                "the sandbox needs no sign-in; leave out --demo or `login`",
            ));
        }
        let paths = config
            .paths
            .as_ref()
            .context("this system names no home folder; set SF_MCP_HOME")?;
        let profile = Profile::new(paths, &config.profile, &config.api_url);
        let (kind, secrets, zone) = if self.hosted.is_meant() {
            let (secrets, zone) = self.hosted.sign_in(config)?;
            (Kind::Device, secrets, zone)
        } else {
            let (kind, secrets) = self.sign_in(config)?;
            (kind, secrets, None)
        };
        hosted::warn_of_environment();
        let before = hosted::device_of(&profile);
        let chosen = self.keep(&profile, kind, &secrets)?;
        if let Some(before) = before {
            hosted::replaced(config, paths, &before, &secrets);
        }
        if let Some(remark) = chosen.remark {
            print(&remark);
        }
        told_zone::keep(&paths.told_zone(), zone.as_deref());
        let zone = zone.filter(|_| !config.is_zone_set);
        let zone = zone.unwrap_or_else(|| config.clock.zone_name());
        print(&welcome(config, &profile, &secrets, chosen.place, &zone));
        Ok(Exit::Done)
    }

    /// With credentials of Service Fusion's own.
    fn sign_in(&self, config: &Config) -> Result<(Kind, Secrets), Failure> {
        let redirect = self.redirect()?;
        let asking = std::io::stdin().is_terminal() && !self.client_secret_stdin;
        asked::explain(redirect.as_ref(), asking, self.port.is_some());
        let client_id = asked::client_id(self.client_id.as_deref())?;
        let client_secret = asked::client_secret(self.client_secret_stdin)?;
        let runtime = runtime()?;
        let outcome = runtime.block_on(self.prove(config, redirect, &client_id, &client_secret));
        runtime.shutdown_background();
        let (kind, grant, account) = outcome?;
        let secrets = Secrets {
            means: Means::Client {
                id: client_id.into(),
                secret: client_secret,
            },
            api_url: config.api_url.clone(),
            expires_at: jiff::Timestamp::now().as_millisecond() + life(&grant),
            life: life(&grant),
            access_token: grant.access_token,
            refresh_token: grant.refresh_token,
            account,
        };
        Ok((kind, secrets))
    }

    /// Taken before anything is asked: an app in Service Fusion must name this address.
    fn redirect(&self) -> Result<Option<browser::Redirect>, Failure> {
        self.browser
            .then(|| browser::Redirect::on(self.port.unwrap_or(0)))
            .transpose()
    }

    /// A real token and `/v1/me`: nothing is stored before both have worked.
    async fn prove(
        &self,
        config: &Config,
        redirect: Option<browser::Redirect>,
        client_id: &str,
        secret: &SecretString,
    ) -> Result<(Kind, Grant, String), Failure> {
        let http = build_http().context("preparing the connection")?;
        let origin = &config.api_url;
        let (kind, grant) = if let Some(redirect) = redirect {
            let allowed = browser::allow(origin, client_id, redirect, !self.no_open).await?;
            let grant = oauth::authorization_code(
                &http,
                origin,
                client_id,
                secret,
                &allowed.code,
                &allowed.redirect_uri,
            )
            .await;
            (Kind::AuthorizationCode, grant.map_err(sign_in_failed)?)
        } else {
            let grant = oauth::client_credentials(&http, origin, client_id, secret).await;
            (Kind::ClientCredentials, grant.map_err(sign_in_failed)?)
        };
        let account = who(&http, origin, &grant.access_token).await?;
        Ok((kind, grant, account))
    }

    /// An earlier login of this profile is replaced only here, after the new one is proven.
    fn keep(&self, profile: &Profile, kind: Kind, secrets: &Secrets) -> Result<Chosen, Failure> {
        // No process may renew the old login while it is replaced.
        let _held = lock::lock(&profile.lock_file)?;
        let (chosen, is_new) = self.sealing_key(profile)?;
        steps::reached("next key written");
        let stored = profile
            .vault
            .store(kind, chosen.place, &chosen.key, secrets);
        steps::reached("sign-in stored");
        if is_new {
            // When nothing was stored, an earlier login is still the one that counts, and its key is where it was.
            let placed = match profile.vault.head() {
                Ok(Some(head)) if head.key_id == chosen.key.id() => {
                    profile.places.promote(chosen.place)
                }
                Ok(_) => profile.places.remove_slot(chosen.place, Slot::Next),
                Err(_) => Ok(()),
            };
            if let Err(problem) = placed {
                tracing::warn!(%problem, "the new key stays beside its place");
            }
        }
        stored?;
        profile.stamp().context("telling running processes")?;
        Ok(chosen)
    }

    /// The key in use when it can be read and its place suits, else a new one in a proven place.
    fn sealing_key(&self, profile: &Profile) -> Result<(Chosen, bool), Failure> {
        if let Some(head) = profile.vault.head()?
            && profile.places.suits(head.place, self.keychain)
            && let Ok((key, slot)) = profile.places.read(head.place, &head.key_id)
            && key.id() == head.key_id
        {
            if slot == Slot::Next {
                // A rotation was cut off; where this fails the key stays as good as it was.
                let _ = profile.places.promote(head.place);
            }
            let chosen = Chosen {
                place: head.place,
                key,
                remark: None,
            };
            return Ok((chosen, false));
        }
        let chosen = profile
            .places
            .choose(self.keychain, std::io::stdin().is_terminal())?;
        Ok((chosen, true))
    }
}

/// What a person wants to know after a login, and what comes next. The API does not name the company.
fn welcome(
    config: &Config,
    profile: &Profile,
    secrets: &Secrets,
    place: Place,
    zone: &str,
) -> String {
    let through = match &secrets.means {
        Means::Client { .. } => String::new(),
        Means::Device(broker) => format!(", through {}", broker.host()),
    };
    let settings = config.paths.as_ref().map(Paths::config_file);
    let settings = settings.unwrap_or_else(|| "config.toml".into());
    [
        format!(
            "\nSigned in to Service Fusion as {}{through} (profile {}).\n",
            secrets.account, config.profile
        ),
        format!(
            "  kept in     {}, encrypted",
            profile.vault.path().display()
        ),
        format!("  with        {}", status::key(profile, place)),
        format!("  time zone   {zone}"),
        "              If the company is in another one, write it as a line like".to_owned(),
        "              time_zone = \"America/Chicago\"".to_owned(),
        format!("              into the file {}", settings.display()),
        format!(
            "  next        sf-mcp install claude-desktop{}{}",
            on_profile(&config.profile),
            at_origin(&config.api_url)
        ),
        "              `sf-mcp install` alone lists the other AI clients.\n".to_owned(),
        "AI clients that have sf-mcp already use this sign-in from now on, without a restart."
            .to_owned(),
    ]
    .join("\n")
}

/// Clients ask the real Service Fusion unless their entry says another one, which has no such sign-in.
fn at_origin(api_url: &str) -> String {
    if api_url == SERVICE_FUSION {
        String::new()
    } else {
        format!(" --api-url {api_url}")
    }
}

/// In milliseconds.
fn life(grant: &Grant) -> i64 {
    i64::try_from(grant.expires_in.as_millis()).unwrap_or(0)
}

fn sign_in_failed(problem: oauth::Error) -> Failure {
    match problem {
        oauth::Error::Refused(_) => Failure::new(
            Exit::SignedOut,
            format!(
                "{problem}. Nothing was stored. Check that the id and secret were copied whole; without --browser they must be those of an \
                 \"OAuth Consumer\", with --browser those of an \"OAuth App\" (Service Fusion: My Office > Developer Settings)"
            ),
        ),
        other => Failure::new(
            Exit::Unreachable,
            format!("{other}. Nothing was stored; check the network and try again"),
        ),
    }
}

/// Who the token belongs to: the proof that it works for the API too.
async fn who(
    http: &reqwest::Client,
    origin: &str,
    access_token: &SecretString,
) -> Result<String, Failure> {
    use secrecy::ExposeSecret;
    let unreachable = |problem: reqwest::Error| {
        let reason = oauth::without_address(problem);
        Failure::new(
            Exit::Unreachable,
            format!("Service Fusion cannot be reached ({reason}). Nothing was stored"),
        )
    };
    let response = http
        .get(format!("{origin}/v1/me"))
        .header(
            "authorization",
            format!("Bearer {}", access_token.expose_secret()),
        )
        .header("accept", "application/json")
        .timeout(std::time::Duration::from_secs(30))
        .send()
        .await
        .map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if !status.is_success() {
        let exit = if status == reqwest::StatusCode::UNAUTHORIZED {
            Exit::SignedOut
        } else {
            Exit::Failed
        };
        return Err(Failure::new(
            exit,
            format!(
                "Service Fusion gave a token but answers {} to it. Nothing was stored; API access is part of the Pro plan",
                status.as_u16()
            ),
        ));
    }
    let me = Record::new(serde_json::from_slice::<Value>(&body).unwrap_or_default());
    let name = me
        .name("first_name", "last_name")
        .unwrap_or_else(|| "an unnamed user".to_owned());
    Ok(match me.text("email") {
        Some(email) => format!("{name} <{email}>"),
        None => name,
    })
}
