//! `sf-mcp doctor`: checks everything that can go wrong and says how to mend each.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::session::{self, Profile},
    cli::{Exit, Failure, company, print, runtime, serve},
    config::{Config, Credentials},
    paths,
    server::call::Call,
    service_fusion::{error::Error, record::Record},
};

/// One thing that was looked at.
struct Check {
    name: &'static str,
    finding: Finding,
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

pub(super) fn run(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let mut checks = vec![
        Check {
            name: "settings",
            finding: Finding::Good(format!("profile {}, {}", config.profile, config.api_url)),
        },
        time_zone(config),
        folder(config),
    ];
    let signed_in = sign_in(config);
    let go_on = !matches!(signed_in.finding, Finding::Bad { .. });
    checks.push(signed_in);
    if go_on {
        let runtime = runtime()?;
        let found = runtime.block_on(online(config));
        runtime.shutdown_background();
        checks.extend(found?);
    }
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
                json!({"check": check.name, "state": state, "text": text})
            })
            .collect();
        print(&serde_json::to_string_pretty(&json!({"checks": rows}))?);
        return Ok(());
    }
    for check in checks {
        let (state, text) = described(check);
        print(&format!("{state:<8} {:<16} {text}", check.name));
    }
    Ok(())
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
    Check {
        name: "time zone",
        finding,
    }
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
                        "{} cannot be written: {problem}; sf-mcp needs it for the sign-in and for counting requests",
                        folder.display()
                    ),
                    exit: Exit::Failed,
                },
            }
        }
    };
    Check {
        name: "folder",
        finding,
    }
}

fn sign_in(config: &Config) -> Check {
    Check {
        name: "sign-in",
        finding: read_sign_in(config).unwrap_or_else(|problem| Finding::Bad {
            problem,
            exit: Exit::SignedOut,
        }),
    }
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
    let paths = config.paths.as_ref().ok_or_else(nobody)?;
    let profile = Profile::new(paths, &config.profile, &config.api_url);
    let opened = profile.open(None).map_err(|problem| match problem {
        session::Error::SignedOut => nobody(),
        problem => problem.to_string(),
    })?;
    let (head, secrets) = (opened.head, opened.secrets);
    match head.ended {
        Some(reason) => Err(format!(
            "the sign-in has ended ({reason}); run `sf-mcp login`"
        )),
        None => Ok(Finding::Good(format!(
            "{}, key in the {}",
            secrets.account,
            head.place.word()
        ))),
    }
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
    serve::settle(&company.client).await;
    let finding = match answer? {
        Ok(answer) => {
            let me = Record::new((*answer).clone());
            Finding::Good(format!(
                "answers as {}",
                me.name("first_name", "last_name").unwrap_or_default()
            ))
        }
        Err(problem) => Finding::Bad {
            exit: match problem {
                Error::SignedOut { .. } => Exit::SignedOut,
                Error::Unreachable { .. } | Error::Timeout { .. } => Exit::Unreachable,
                _ => Exit::Failed,
            },
            problem: problem.to_string(),
        },
    };
    let (left, limit) = company.client.budget().left().await;
    Ok(vec![
        Check {
            name: "Service Fusion",
            finding,
        },
        Check {
            name: "requests",
            finding: Finding::Good(format!("{left} of {limit} left this minute")),
        },
    ])
}
