//! Puts a company together from the settings: the sandbox's or the real one.

use std::sync::Arc;

#[cfg(unix)]
use crate::auth::hosted::Hosted;
use crate::{
    auth::{
        broker::Broker,
        session::{Profile, Session},
    },
    cli::{Exit, Failure},
    config::{Config, Credentials, Device},
    sandbox::{self, Sandbox},
    server::call::Company,
    service_fusion::{
        budget::{Budget, ledger::Ledger},
        client::Client,
        journal::Journal,
        reference::Reference,
    },
    usage::Usage,
};

/// A company, and the sandbox behind it where it is a simulated one.
pub(super) struct Connected {
    pub(super) company: Company,
    /// Serves as long as it is kept.
    pub(super) _sandbox: Option<Sandbox>,
}

/// Prepares everything; nothing is sent yet. The files are opened at the first call.
pub(super) async fn connect(config: &Config) -> Result<Connected, Failure> {
    let (origin, credentials, sandbox) = if config.demo {
        let sandbox = Sandbox::start(sandbox_options(config)).await?;
        let credentials = Credentials {
            client_id: sandbox::CLIENT_ID.to_owned(),
            client_secret: sandbox::CLIENT_SECRET.to_owned().into(),
        };
        (sandbox.origin(), Some(credentials), Some(sandbox))
    } else {
        (
            config.api_url.clone(),
            Credentials::from_environment(),
            None,
        )
    };
    let paths = config.paths.as_ref().filter(|_| !config.demo);
    let ledger = match paths {
        Some(paths) => Ledger::lazy(paths.request_ledger()),
        None => Ledger::memory(),
    };
    let budget = Budget::new(ledger, config.rate_window);
    let session = session(config, origin, credentials)?;
    let company = Company {
        usage: Usage::new(session.clone(), paths.cloned(), config.usage_every),
        client: Arc::new(Client::new(session, budget)),
        reference: Reference::default(),
        journal: Journal::new(paths.map(crate::paths::Paths::database)),
        clock: config.clock.clone(),
        max_answer: config.max_answer,
        timeout: config.timeout,
        profile: config.profile.clone(),
        demo: config.demo,
        hosted: config.hosted,
    };
    Ok(Connected {
        company,
        _sandbox: sandbox,
    })
}

/// Where tokens come from: the hosting service that started this process, credentials, or the profile's sign-in.
fn session(
    config: &Config,
    origin: String,
    credentials: Option<Credentials>,
) -> Result<Session, Failure> {
    #[cfg(unix)]
    if config.hosted {
        let hosted = Hosted::new().map_err(|_| {
            Failure::new(
                Exit::Usage,
                "--hosted is for a hosting service, which starts sf-mcp with a socket of its own",
            )
        })?;
        return Ok(Session::hosted(hosted));
    }
    let profile = if credentials.is_some() {
        None
    } else {
        profile(config)?
    };
    Ok(Session::new(origin, credentials, profile))
}

/// The device of a hosting service that the environment names.
pub(super) fn device() -> Result<Option<Broker>, Failure> {
    let usage = |problem: String| Failure::new(Exit::Usage, problem);
    let Some(device) = Device::from_environment().map_err(|problem| usage(problem.to_string()))?
    else {
        return Ok(None);
    };
    let broker = Broker::new(device.supervisor, device.token).ok_or_else(|| {
        usage(
            "SF_MCP_DEVICE_TOKEN cannot be a device token; take it from the bundle once more, whole"
                .to_owned(),
        )
    })?;
    Ok(Some(broker))
}

/// Whose sign-in counts where there are no credentials: the environment's device, else the profile's login.
pub(super) fn profile(config: &Config) -> Result<Option<Profile>, Failure> {
    let device = device()?;
    let (name, origin) = (&config.profile, &config.api_url);
    match (&config.paths, device) {
        (Some(paths), None) => Ok(Some(Profile::new(paths, name, origin))),
        (Some(paths), Some(device)) => Ok(Some(Profile::of_device(paths, name, origin, device))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Failure::new(
            Exit::Failed,
            "this system names no home folder, and lent tokens are kept in a file; set SF_MCP_HOME",
        )),
    }
}

fn sandbox_options(config: &Config) -> sandbox::Options {
    sandbox::Options {
        time_zone: config.clock.zone().clone(),
        now: config.set_now,
        ..sandbox::Options::default()
    }
}
