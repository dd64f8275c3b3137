//! What the handlers share.

use std::{sync::Arc, time::Duration};

use crate::{
    binaries::Binaries, clock::Clock, config::Config, master_key::MasterKeys, store::Store,
};

/// The running service. Handlers get it as their state.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub store: Store,
    pub clock: Clock,
    pub master: MasterKeys,
    /// For Service Fusion alone; it follows no redirects.
    pub http: reqwest::Client,
    /// sf-mcp as people are handed it.
    pub binaries: Binaries,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error("the HTTP client cannot be made ({0}); are the system's certificates installed?")]
    Http(#[from] reqwest::Error),
}

impl App {
    /// Opens everything; nothing is served yet.
    pub async fn open(
        config: Config,
        master: MasterKeys,
        clock: Clock,
    ) -> Result<Arc<Self>, Error> {
        use secrecy::ExposeSecret;
        let store = Store::open(config.database_url.expose_secret()).await?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .user_agent(concat!("sf-supervisor/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Arc::new(Self {
            binaries: Binaries::new(config.child.clone(), config.binaries.clone()),
            config,
            store,
            clock,
            master,
            http,
        }))
    }

    /// Ends what runs in the background and closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
