//! Signing in through a hosting service: with a bundle, or with a code sent by e-mail.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::Context;
use clap::Args;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    auth::{
        broker::{self, Answer, Broker},
        session::Profile,
        vault::{Kind, Means, Secrets},
    },
    cli::{
        Exit, Failure, company,
        login::{asked, bundle, who},
        runtime,
    },
    config::{Config, Credentials},
    origin,
    paths::Paths,
    service_fusion::client::build_http,
    usage::{sender::Sender, spool::Spool},
};

/// How often a code may be typed.
const TRIES: usize = 3;

#[derive(Args)]
pub(super) struct Hosted {
    /// Sign in with a bundle of a hosting service: its `env` file, or a client's configuration that has its two variables.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["browser", "client_secret_stdin", "supervisor"])]
    bundle: Option<PathBuf>,

    /// Sign in through a hosting service, with a code that it sends by e-mail.
    #[arg(long, value_name = "URL", conflicts_with_all = ["browser", "client_secret_stdin"])]
    supervisor: Option<String>,

    /// With --supervisor: your e-mail address there; asked for when left out.
    #[arg(long, requires = "supervisor", value_name = "ADDRESS")]
    email: Option<String>,

    /// With --supervisor: read the code of the e-mail from stdin instead of asking for it.
    #[arg(long, requires = "supervisor")]
    code_stdin: bool,

    /// With --supervisor: which company, where the address belongs to several.
    #[arg(long, requires = "supervisor", value_name = "ID")]
    tenant: Option<String>,
}

impl Hosted {
    pub(super) fn is_meant(&self) -> bool {
        self.bundle.is_some() || self.supervisor.is_some()
    }

    /// A device token that is proven with a real access token and `/v1/me`.
    pub(super) fn sign_in(&self, config: &Config) -> Result<(Secrets, Option<String>), Failure> {
        let runtime = runtime()?;
        let outcome = runtime.block_on(async {
            let http = build_http().context("preparing the connection")?;
            let broker = match (&self.bundle, &self.supervisor) {
                (Some(file), _) => bundle::read(file)?,
                (None, Some(url)) => self.enrol(&http, url).await?,
                (None, None) => return Err(Failure::new(Exit::Usage, "give --bundle FILE")),
            };
            prove(&http, config, broker).await
        });
        runtime.shutdown_background();
        outcome
    }

    async fn enrol(&self, http: &reqwest::Client, url: &str) -> Result<Broker, Failure> {
        let host = origin::checked_service(url.trim()).map_err(|accepted| {
            Failure::new(
                Exit::Usage,
                format!("--supervisor is `{url}`, but {accepted}"),
            )
        })?;
        let email = self.email()?;
        let sent = post(http, &host, "/api/sign-in", &json!({"email": email})).await?;
        if !sent.status.is_success() {
            return Err(refused(&host, &sent));
        }
        eprintln!(
            "If {email} belongs to a company there, six digits are on their way. Nothing after two minutes? Check the \
             address and the spam folder."
        );
        let mut tenant = self.tenant.clone();
        for left in (0..TRIES).rev() {
            let otp = self.code()?;
            let mut answer = device(http, &host, &email, &otp, tenant.as_deref()).await?;
            if answer.status.as_u16() == 409 && answer.code() == "choose_tenant" {
                // The code stays good for the choice.
                tenant = Some(choose(&answer.body, self.code_stdin)?);
                answer = device(http, &host, &email, &otp, tenant.as_deref()).await?;
            }
            if answer.status.is_success() {
                return enrolled(host, &answer.body);
            }
            if answer.code() != "invalid_code" {
                return Err(refused(&host, &answer));
            }
            if left == 0 || self.code_stdin {
                break;
            }
            eprintln!("That is not the code in the newest e-mail from {host}. Look again.");
        }
        Err(Failure::new(
            Exit::SignedOut,
            format!(
                "{host} does not accept the code. Nothing was stored; run this again for a new code, and type the one in \
                 the newest e-mail"
            ),
        ))
    }

    fn email(&self) -> Result<String, Failure> {
        match &self.email {
            Some(email) => Ok(email.trim().to_owned()),
            None if std::io::stdin().is_terminal() => asked::until_filled("e-mail address", || {
                eprint!("Your e-mail address there: ");
                asked::line_of_stdin("asking for the e-mail address")
            }),
            None => Err(Failure::new(
                Exit::Usage,
                "there is no terminal to ask on; give --email and --code-stdin",
            )),
        }
    }

    /// Six digits; people copy them with spaces.
    fn code(&self) -> Result<String, Failure> {
        if !self.code_stdin && !std::io::stdin().is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                "there is no terminal to ask on; pass the code with --code-stdin",
            ));
        }
        let typed = if self.code_stdin {
            let line = asked::line_of_stdin("reading the code from stdin")?;
            asked::filled("code", &line.unwrap_or_default())?
        } else {
            asked::until_filled("code", || {
                eprint!("Code: ");
                asked::line_of_stdin("asking for the code")
            })?
        };
        Ok(typed.chars().filter(|c| !c.is_whitespace()).collect())
    }
}

async fn post(
    http: &reqwest::Client,
    host: &str,
    path: &str,
    body: &Value,
) -> Result<Answer, Failure> {
    broker::exchange(http, Method::POST, host, path, None, Some(body))
        .await
        .map_err(|problem| failed(&problem))
}

async fn device(
    http: &reqwest::Client,
    host: &str,
    email: &str,
    otp: &str,
    tenant: Option<&str>,
) -> Result<Answer, Failure> {
    let mut body = json!({"email": email, "otp": otp, "name": this_machine()});
    if let Some(tenant) = tenant {
        body["tenant_id"] = json!(tenant);
    }
    post(http, host, "/api/devices", &body).await
}

fn enrolled(host: String, body: &Value) -> Result<Broker, Failure> {
    let token = body.get("device_token").and_then(Value::as_str);
    let broker = token.and_then(|token| Broker::new(host, SecretString::from(token.to_owned())));
    broker.ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "the hosting service's answer holds no device token; it may be another version. Nothing was stored",
        )
    })
}

/// One of the companies that the address belongs to.
fn choose(body: &Value, from_stdin: bool) -> Result<String, Failure> {
    let text = |row: &Value, names: [&str; 2]| {
        let found = names.iter().find_map(|name| row.get(*name)?.as_str());
        found.map(|text| text.chars().filter(|c| !c.is_control()).take(80).collect())
    };
    let rows = body.get("tenants").and_then(Value::as_array);
    let companies: Vec<(String, String)> = (rows.into_iter().flatten())
        .filter_map(|row| {
            let id: String = text(row, ["tenant_id", "id"])?;
            let company = text(row, ["company", "name"]).unwrap_or_else(|| id.clone());
            Some((id, company))
        })
        .collect();
    if from_stdin || companies.is_empty() || !std::io::stdin().is_terminal() {
        let list: Vec<String> = (companies.iter())
            .map(|(id, company)| format!("{id} ({company})"))
            .collect();
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "the address belongs to several companies; give one with --tenant: {}",
                list.join(", ")
            ),
        ));
    }
    let names: Vec<&String> = companies.iter().map(|(_, company)| company).collect();
    let chosen = dialoguer::Select::new()
        .with_prompt("Which company? (arrow keys, then Enter)")
        .items(&names)
        .default(0)
        .interact()
        .context("asking for the company")?;
    Ok(companies[chosen].0.clone())
}

async fn prove(
    http: &reqwest::Client,
    config: &Config,
    broker: Broker,
) -> Result<(Secrets, Option<String>), Failure> {
    let mut lent = broker
        .lend(http, None)
        .await
        .map_err(|problem| failed(&problem))?;
    let mut api_url = lent.api_url.unwrap_or_else(|| config.api_url.clone());
    let mut account = who(http, &api_url, &lent.access_token).await;
    if account.as_ref().is_err_and(Failure::is_signed_out) {
        // The service may not know yet that its token has ended early.
        let another = broker.lend(http, Some(&lent.access_token)).await;
        lent = another.map_err(|problem| failed(&problem))?;
        api_url = lent.api_url.unwrap_or_else(|| config.api_url.clone());
        account = who(http, &api_url, &lent.access_token).await;
    }
    let account = account?;
    let life = i64::try_from(lent.expires_in.as_millis()).unwrap_or(0);
    let secrets = Secrets {
        means: Means::Device(broker),
        access_token: lent.access_token,
        api_url,
        expires_at: jiff::Timestamp::now().as_millisecond() + life,
        life,
        refresh_token: None,
        account,
    };
    Ok((secrets, lent.time_zone))
}

fn failed(problem: &broker::Error) -> Failure {
    let exit = match problem {
        broker::Error::Unavailable { .. } => Exit::Unreachable,
        broker::Error::Revoked { .. }
        | broker::Error::Suspended { .. }
        | broker::Error::Reconnect { .. } => Exit::SignedOut,
    };
    let remedy = match problem {
        broker::Error::Revoked { .. } => ". Get a new bundle there",
        _ => "",
    };
    Failure::new(exit, format!("{problem}{remedy}. Nothing was stored"))
}

fn refused(host: &str, answer: &Answer) -> Failure {
    let (exit, why) = match answer.status.as_u16() {
        429 => (
            Exit::Failed,
            "it has got too many requests for this address; try again in ten minutes".to_owned(),
        ),
        404 => (
            Exit::Usage,
            "there is no such service at that address; check it".to_owned(),
        ),
        _ => (Exit::Failed, answer.shown()),
    };
    Failure::new(
        exit,
        format!("{host} refuses the sign-in: {why}. Nothing was stored"),
    )
}

/// What the device is called in the account's list there.
fn this_machine() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .or_else(|| std::env::var("HOSTNAME").ok());
    let name: String = (named.iter().flat_map(|name| name.trim().chars()))
        .filter(|c| !c.is_control())
        .take(64)
        .collect();
    if name.is_empty() {
        format!("a computer with {}", std::env::consts::OS)
    } else {
        name
    }
}

/// A login is of no use while the environment names somebody else.
pub(super) fn warn_of_environment() {
    let named = if Credentials::from_environment().is_some() {
        "SF_MCP_CLIENT_ID and SF_MCP_CLIENT_SECRET"
    } else if matches!(company::device(), Ok(Some(_))) {
        "SF_MCP_SUPERVISOR_URL and SF_MCP_DEVICE_TOKEN"
    } else {
        return;
    };
    eprintln!(
        "sf-mcp: {named} are set here and count more than this login, wherever they are set."
    );
}

/// The device whose login the profile has now, where it can be read.
pub(in crate::cli) fn device_of(profile: &Profile) -> Option<Broker> {
    if profile.vault.head().ok()??.kind != Kind::Device {
        return None;
    }
    match profile.open(None).ok()?.secrets.means {
        Means::Device(broker) => Some(broker),
        Means::Client { .. } => None,
    }
}

/// Another login has taken the place of a device's: its last usage events are sent. The device itself stays on the
/// list, for other machines may have the same bundle.
pub(super) fn replaced(config: &Config, paths: &Paths, before: &Broker, now: &Secrets) {
    let same = matches!(&now.means, Means::Device(broker) if broker.digest() == before.digest());
    if same {
        return;
    }
    if let Ok(runtime) = runtime() {
        runtime.block_on(async {
            if let Ok(http) = build_http() {
                let mut sender = Sender::new(before.clone(), paths, config.usage_every);
                sender.send_rest(&http).await;
            }
        });
        runtime.shutdown_background();
    }
    eprintln!(
        "The device that was signed in before stays on the list of {}; remove it there if nothing uses it any more.",
        before.host()
    );
    Spool::new(paths.usage_spool(&before.digest())).forget();
}

/// Sends what is left in the spool, then ends the device's access. Says what could not be done.
pub(in crate::cli) fn part(config: &Config, paths: &Paths, broker: &Broker) -> Option<String> {
    let parted = runtime().and_then(|runtime| {
        let outcome = runtime.block_on(async {
            let http = build_http().map_err(std::io::Error::other)?;
            let mut sender = Sender::new(broker.clone(), paths, config.usage_every);
            sender.send_rest(&http).await;
            Ok(broker.revoke(&http).await)
        });
        runtime.shutdown_background();
        outcome
    });
    let problem = match parted {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(problem.to_string()),
        Err(problem) => Some(problem.to_string()),
    };
    problem.map(|problem| {
        format!(
            "the device could not be taken off the list of {} ({problem}); ask the account's owner to remove the device \
             there: `{}`, or as its bundle is named",
            broker.host(),
            this_machine()
        )
    })
}
