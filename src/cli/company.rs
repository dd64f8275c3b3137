//! Puts a company together from the settings: the sandbox's or the real one.

use std::sync::Arc;

use crate::{
    auth::session::{Profile, Session},
    config::{Config, Credentials},
    sandbox::{self, Sandbox},
    server::call::Company,
    service_fusion::{
        budget::{Budget, ledger::Ledger},
        client::Client,
        journal::Journal,
        reference::Reference,
    },
};

/// A company, and the sandbox behind it where it is a simulated one.
pub(super) struct Connected {
    pub(super) company: Company,
    /// Serves as long as it is kept.
    pub(super) _sandbox: Option<Sandbox>,
}

/// Prepares everything; nothing is sent yet. The files are opened at the first call.
pub(super) async fn connect(config: &Config) -> std::io::Result<Connected> {
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
    let profile = paths.map(|paths| Profile::new(paths, &config.profile, &config.api_url));
    let session = Session::new(origin.clone(), credentials, profile);
    let company = Company {
        client: Arc::new(Client::new(origin, session, budget)),
        reference: Reference::default(),
        journal: Journal::new(paths.map(crate::paths::Paths::database)),
        clock: config.clock.clone(),
        max_answer: config.max_answer,
        timeout: config.timeout,
        profile: config.profile.clone(),
        demo: config.demo,
    };
    Ok(Connected {
        company,
        _sandbox: sandbox,
    })
}

fn sandbox_options(config: &Config) -> sandbox::Options {
    sandbox::Options {
        time_zone: config.clock.zone().clone(),
        now: config.set_now,
        ..sandbox::Options::default()
    }
}
