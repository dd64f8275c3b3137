//! `sf-mcp doctor`: checks everything that can go wrong and says how to mend each.

mod clients;
mod lender;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::session,
    cli::{Exit, Failure, company, print, runtime, serve, status},
    config::{self, Config, Credentials},
    paths,
    server::call::Call,
    service_fusion::{error::Error, record::Record},
};

/// One thing that was looked at.
struct Check {
    name: &'static str,
    finding: Finding,
    /// The commands that mend it, in order; none where the text says what to do.
    mend: Vec<String>,
}

impl Check {
    fn new(name: &'static str, finding: Finding) -> Self {
        Self {
            name,
            finding,
            mend: Vec::new(),
        }
    }
}

enum Finding {
    Good(String),
    /// Works, but is worth a word.
    Odd(String),
    Bad {
        problem: String,
        exit: Exit,
    },
}

/// `unread` is why `config.toml` is not in `config`.
pub(super) fn run(
    config: &Config,
    unread: Option<&config::Error>,
    as_json: bool,
) -> Result<Exit, Failure> {
    let mut checks = vec![settings(config, unread), time_zone(config), folder(config)];
    let signed_in = sign_in(config);
    let go_on = !matches!(signed_in.finding, Finding::Bad { .. });
    checks.push(signed_in);
    checks.extend(key_file(config));
    if go_on {
        let runtime = runtime()?;
        let found = runtime.block_on(async {
            let mut found: Vec<Check> = lender::look(config).await.into_iter().collect();
            found.extend(online(config).await?);
            Ok::<_, Failure>(found)
        });
        runtime.shutdown_background();
        checks.extend(found?);
    }
    checks.extend(clients::look(config));
    show(&checks, as_json)?;
    let worst = checks.iter().find_map(|check| match check.finding {
        Finding::Bad { exit, .. } => Some(exit),
        _ => None,
    });
    Ok(worst.unwrap_or(Exit::Done))
}

fn show(checks: &[Check], as_json: bool) -> Result<(), Failure> {
    let described = |check: &Check| match &check.finding {
        Finding::Good(text) => ("ok", text.clone()),
        Finding::Odd(text) => ("note", text.clone()),
        Finding::Bad { problem, .. } => ("problem", problem.clone()),
    };
    if as_json {
        let rows: Vec<_> = checks
            .iter()
            .map(|check| {
                let (state, text) = described(check);
                json!({"check": check.name, "state": state, "text": text, "mend": check.mend})
            })
            .collect();
        print(&serde_json::to_string_pretty(&json!({"checks": rows}))?);
        return Ok(());
    }
    for check in checks {
        let (state, text) = described(check);
        print(&format!("{state:<8} {:<16} {text}", check.name));
        if !check.mend.is_empty() {
            print(&format!("{:25} run: {}", "", check.mend.join("  then  ")));
        }
    }
    Ok(())
}

fn settings(config: &Config, unread: Option<&config::Error>) -> Check {
    let finding = match unread {
        None => Finding::Good(format!("profile {}, {}", config.profile, config.api_url)),
        Some(problem) => Finding::Bad {
            problem: problem.to_string(),
            exit: Exit::Usage,
        },
    };
    Check::new("settings", finding)
}

fn time_zone(config: &Config) -> Check {
    let zone = config.clock.zone_name();
    let finding = if zone == "UTC" || zone == "Etc/UTC" {
        let file = config.paths.as_ref().map_or_else(
            || "config.toml".to_owned(),
            |paths| paths.config_file().display().to_string(),
        );
        Finding::Odd(format!(
            "{zone}; if the company is elsewhere, write `time_zone = \"America/Chicago\"` (or its own) into {file}"
        ))
    } else {
        Finding::Good(format!(
            "{zone}, now {}",
            config.clock.now().strftime("%A %H:%M")
        ))
    };
    Check::new("time zone", finding)
}

fn folder(config: &Config) -> Check {
    let finding = match &config.paths {
        None => Finding::Odd(
            "this system names no home folder, so nothing is kept; set SF_MCP_HOME".to_owned(),
        ),
        Some(paths) => {
            let folder = paths.profile_folder();
            let probe = folder.join(".probe");
            let written = paths::create_private_folder(&folder)
                .and_then(|()| std::fs::write(&probe, b""))
                .and_then(|()| std::fs::remove_file(&probe));
            match written {
                Ok(()) => Finding::Good(folder.display().to_string()),
                Err(problem) => Finding::Bad {
                    problem: format!(
                        "{0} cannot be written: {problem}; sf-mcp needs it for the sign-in and for counting requests. Make {0} \
                         writable for you, or choose another folder with SF_MCP_HOME",
                        folder.display()
                    ),
                    exit: Exit::Failed,
                },
            }
        }
    };
    Check::new("folder", finding)
}

fn sign_in(config: &Config) -> Check {
    let finding = read_sign_in(config).unwrap_or_else(|problem| Finding::Bad {
        problem,
        exit: Exit::SignedOut,
    });
    Check::new("sign-in", finding)
}

fn read_sign_in(config: &Config) -> Result<Finding, String> {
    if config.demo {
        return Ok(Finding::Good("the built-in sandbox needs none".to_owned()));
    }
    if Credentials::from_environment().is_some() {
        return Ok(Finding::Good(
            "SF_MCP_CLIENT_ID and SF_MCP_CLIENT_SECRET are set".to_owned(),
        ));
    }
    let nobody = || "nobody is signed in; run `sf-mcp login`".to_owned();
    let profile = company::profile(config)
        .map_err(|problem| problem.message)?
        .ok_or_else(nobody)?;
    if let Some(device) = &profile.device
        && profile.vault.head().is_ok_and(|head| head.is_none())
    {
        return Ok(Finding::Good(format!(
            "SF_MCP_SUPERVISOR_URL and SF_MCP_DEVICE_TOKEN are set; nothing was asked of {} yet",
            device.host()
        )));
    }
    let opened = profile.open(None).map_err(|problem| match problem {
        session::Error::SignedOut => nobody(),
        problem => problem.to_string(),
    })?;
    let (head, secrets) = (opened.head, opened.secrets);
    match head.ended {
        Some(ref reason) => Err(format!(
            "the sign-in has ended ({reason}). {}",
            head.remedy()
        )),
        None => Ok(Finding::Good(format!(
            "{}, encrypted with {}{}",
            status::account(&head, &secrets),
            status::key(&profile, head.place),
            status::usage_left(config, &secrets)
                .map(|left| format!("; usage events: {left}"))
                .unwrap_or_default()
        ))),
    }
}

/// Whether others on this machine may read the key that protects the sign-in.
#[cfg(unix)]
fn key_file(config: &Config) -> Option<Check> {
    use crate::auth::master_key::Place;
    use std::os::unix::fs::PermissionsExt;
    let profile = company::profile(config).ok()??;
    let head = profile.vault.head().ok()??;
    let file = profile.places.file();
    let mode = file.metadata().ok()?.permissions().mode();
    let is_open = head.place == Place::File && mode & 0o077 != 0;
    is_open.then(|| Check {
        name: "key file",
        finding: Finding::Odd(format!(
            "{} can be read by others on this machine, and it protects the sign-in",
            file.display()
        )),
        mend: vec![format!("chmod 600 {}", file.display())],
    })
}

#[cfg(not(unix))]
fn key_file(_: &Config) -> Option<Check> {
    None
}

/// A real request: the token, the network, the certificates and the API at once.
async fn online(config: &Config) -> Result<Vec<Check>, Failure> {
    let connected = company::connect(config).await?;
    let company = std::sync::Arc::new(connected.company);
    let call = Call::new(&company, CancellationToken::new(), None);
    let answer = tokio::select! {
        answer = company.client.get("me", &call.patience) => Ok(answer),
        () = serve::asked_to_stop() => Err(Failure::new(Exit::Failed, "interrupted")),
    };
    serve::settle(&company).await;
    let finding = match answer? {
        Ok(answer) => {
            let me = Record::new(answer);
            Finding::Good(format!(
                "answers as {}",
                me.name("first_name", "last_name").unwrap_or_default()
            ))
        }
        Err(problem) => Finding::Bad {
            exit: match problem {
                Error::SignedOut { .. } => Exit::SignedOut,
                Error::Unreachable { .. } | Error::NoLender { .. } | Error::Timeout { .. } => {
                    Exit::Unreachable
                }
                _ => Exit::Failed,
            },
            problem: problem.to_string(),
        },
    };
    let (left, limit) = company.client.budget().left().await;
    Ok(vec![
        Check::new("Service Fusion", finding),
        Check::new(
            "requests",
            Finding::Good(format!("{left} of {limit} left this minute")),
        ),
    ])
}
