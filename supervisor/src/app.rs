//! What the handlers share.

use std::{sync::Arc, time::Duration};

use tokio::task::AbortHandle;

use crate::{
    binaries::Binaries,
    broker::Broker,
    child::Launch,
    children::{Children, Keep},
    clock::Clock,
    config::Config,
    mailer::Mailer,
    master_key::MasterKeys,
    one_time_codes::OneTimeCodes,
    store::Store,
    token,
    vault::{self, Vault},
};

/// The running service. Handlers get it as their state.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub store: Store,
    pub clock: Clock,
    pub master: MasterKeys,
    pub vault: Vault,
    pub codes: OneTimeCodes,
    pub mailer: Mailer,
    sweeping: AbortHandle,
    pub broker: Broker,
    /// For Service Fusion alone; it follows no redirects.
    pub http: reqwest::Client,
    /// sf-mcp as people are handed it.
    pub binaries: Binaries,
    /// The tenants' sf-mcp processes.
    pub children: Arc<Children>,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error(transparent)]
    Mailer(#[from] crate::mailer::Error),
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
        let store = Store::claim(config.database_url.expose_secret()).await?;
        let vault = Vault::new(store.clone(), master.clone(), clock.clone());
        // A wrong master key is noticed before anything is written.
        vault.refuse_another_key().await?;
        store.migrate().await?;
        vault.mark().await?;
        let codes = OneTimeCodes::new(store.clone(), master.clone(), clock.clone());
        let mailer = Mailer::start(&config)?;
        let sweeping =
            tokio::spawn(sweep(store.clone(), clock.clone(), config.refresh_grace)).abort_handle();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .user_agent(concat!("sf-supervisor/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let broker = Broker::new(
            store.clone(),
            vault.clone(),
            clock.clone(),
            http.clone(),
            config.api_url.clone(),
        );
        Ok(Arc::new(Self {
            children: Children::new(
                launch(&config),
                token::lend(broker.clone(), config.api_url.clone()),
                Keep::default(),
            ),
            binaries: Binaries::new(config.child.clone(), config.binaries.clone()),
            config,
            store,
            clock,
            master,
            vault,
            codes,
            mailer,
            sweeping,
            broker,
            http,
        }))
    }

    /// Ends what runs in the background and closes the database.
    pub async fn close(&self) {
        self.sweeping.abort();
        self.children.drain().await;
        self.mailer.close().await;
        self.broker.close().await;
        self.store.close().await;
    }
}

/// What is started for each tenant: fixed arguments, and nothing of this process's environment.
fn launch(config: &Config) -> Launch {
    Launch {
        program: config.child.clone(),
        arguments: config.child_arguments.clone(),
        environment: Vec::new(),
    }
}

/// What is over is removed now and then; nothing depends on when.
async fn sweep(store: Store, clock: Clock, refresh_grace: i64) {
    let mut every = tokio::time::interval(Duration::from_mins(10));
    loop {
        every.tick().await;
        let now = clock.now();
        let swept = async {
            store.forget_codes(now).await?;
            store.forget_browser_grants(now).await?;
            store.forget_oauth(now, refresh_grace).await?;
            store.forget_counters(now).await
        };
        if let Err(problem) = swept.await {
            tracing::warn!(%problem, "what is over could not be removed");
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.sweeping.abort();
    }
}
