//! `sf-mcp login`: proves credentials with a real token, then keeps them sealed.

mod browser;

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    auth::{
        lock,
        master_key::{Chosen, Keychain, Slot},
        oauth::{self, Grant},
        session::Profile,
        vault::{Kind, Secrets},
    },
    cli::{Exit, Failure, print, runtime},
    config::Config,
    service_fusion::{client::build_http, record::Record},
};

const WHERE: &str = "\
In Service Fusion, an administrator opens the developer settings and makes an \"OAuth Consumer\" \
(or, for --browser, an \"OAuth App\"). Its id and secret are asked for here.";

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

    /// Sign in with a bundle of a hosting service (not available yet).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["browser", "client_id"])]
    bundle: Option<std::path::PathBuf>,

    /// Sign in through a hosting service (not available yet).
    #[arg(long, value_name = "URL", conflicts_with_all = ["browser", "client_id", "bundle"])]
    supervisor: Option<String>,
}

impl Login {
    pub(super) fn run(&self, config: &Config) -> Result<Exit, Failure> {
        if self.bundle.is_some() || self.supervisor.is_some() {
            return Err(Failure::new(
                Exit::Failed,
                "hosting services do not exist yet in this version; sign in with a client id and secret, or --browser",
            ));
        }
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
        let (client_id, client_secret) = self.credentials()?;
        let runtime = runtime()?;
        let outcome = runtime.block_on(self.prove(config, &client_id, &client_secret));
        runtime.shutdown_background();
        let (kind, grant, account) = outcome?;
        let secrets = Secrets {
            client_id: client_id.into(),
            client_secret,
            expires_at: jiff::Timestamp::now().as_millisecond() + life(&grant),
            life: life(&grant),
            access_token: grant.access_token,
            refresh_token: grant.refresh_token,
            account: account.clone(),
        };
        let chosen = self.keep(&profile, kind, &secrets)?;
        print(&format!(
            "Signed in to Service Fusion as {account} (profile {}).",
            config.profile
        ));
        if let Some(remark) = chosen.remark {
            print(&remark);
        }
        print(
            "AI clients on this machine use it from now on, also those that are already running. `sf-mcp status` shows it.",
        );
        Ok(Exit::Done)
    }

    fn credentials(&self) -> Result<(String, SecretString), Failure> {
        let terminal = std::io::stdin().is_terminal();
        if self.client_id.is_none() && !terminal {
            return Err(Failure::new(
                Exit::Usage,
                "there is no terminal to ask on; give --client-id and --client-secret-stdin",
            ));
        }
        if terminal && !self.client_secret_stdin {
            eprintln!("{WHERE}\n");
        }
        let client_id = match &self.client_id {
            Some(id) => id.trim().to_owned(),
            None => asked("Client id: ")?,
        };
        if client_id.is_empty() {
            return Err(Failure::new(Exit::Usage, "the client id is empty"));
        }
        let secret = if self.client_secret_stdin {
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .context("reading the client secret from stdin")?;
            line.trim().to_owned()
        } else if terminal {
            dialoguer::Password::new()
                .with_prompt("Client secret (not shown)")
                .interact()
                .context("asking for the client secret")?
        } else {
            return Err(Failure::new(
                Exit::Usage,
                "there is no terminal to ask on; pass the secret with --client-secret-stdin",
            ));
        };
        if secret.is_empty() {
            return Err(Failure::new(Exit::Usage, "the client secret is empty"));
        }
        Ok((client_id, secret.into()))
    }

    /// A real token and `/v1/me`: nothing is stored before both have worked.
    async fn prove(
        &self,
        config: &Config,
        client_id: &str,
        secret: &SecretString,
    ) -> Result<(Kind, Grant, String), Failure> {
        let http = build_http().context("preparing the connection")?;
        let origin = &config.api_url;
        let (kind, grant) = if self.browser {
            let allowed =
                browser::allow(origin, client_id, self.port.unwrap_or(0), !self.no_open).await?;
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
        let account = who(&http, origin, &grant).await?;
        Ok((kind, grant, account))
    }

    /// An earlier login of this profile is replaced only here, after the new one is proven.
    fn keep(&self, profile: &Profile, kind: Kind, secrets: &Secrets) -> Result<Chosen, Failure> {
        // No process may renew the old login while it is replaced.
        let _held = lock::lock(&profile.lock_file)?;
        let (chosen, is_new) = self.sealing_key(profile)?;
        let stored = profile
            .vault
            .store(kind, chosen.place, &chosen.key, secrets);
        if is_new {
            // When nothing was stored, an earlier login is still the one that counts, and its key is where it was.
            let placed = match &stored {
                Ok(()) => profile.places.promote(chosen.place),
                Err(_) => profile.places.remove_slot(chosen.place, Slot::Next),
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

fn asked(prompt: &str) -> Result<String, Failure> {
    eprint!("{prompt}");
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("asking for the client id")?;
    Ok(line.trim().to_owned())
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
                "{problem}. Nothing was stored. Check the id and secret: without --browser they must be an OAuth Consumer's, \
                 with it an OAuth App's"
            ),
        ),
        other => Failure::new(
            Exit::Unreachable,
            format!("{other}. Nothing was stored; check the network and try again"),
        ),
    }
}

/// Who the token belongs to: the proof that it works for the API too.
async fn who(http: &reqwest::Client, origin: &str, grant: &Grant) -> Result<String, Failure> {
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
            format!("Bearer {}", grant.access_token.expose_secret()),
        )
        .header("accept", "application/json")
        .timeout(std::time::Duration::from_secs(30))
        .send()
        .await
        .map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if !status.is_success() {
        return Err(Failure::new(
            Exit::Failed,
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
