//! What the handlers share.

use std::sync::Arc;

use crate::{
    admission::Admission,
    binaries::Binaries,
    broker::Broker,
    child::Launch,
    children::Children,
    clock::Clock,
    config::Config,
    fleet::Fleet,
    gateway::meter::Meter,
    hosts::Hosts,
    mailer::Mailer,
    master_key::MasterKeys,
    one_time_codes::OneTimeCodes,
    outside::Outside,
    store::Store,
    token,
    traces::{self, Traces},
    vault::{self, Vault},
};

/// The running service. Handlers get it as their state.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    /// The names it answers to.
    pub hosts: Hosts,
    pub store: Store,
    pub clock: Clock,
    pub master: MasterKeys,
    pub vault: Vault,
    pub codes: OneTimeCodes,
    pub mailer: Mailer,
    pub broker: Broker,
    /// Who may use the hosted endpoint, and how often.
    pub admission: Arc<Admission>,
    /// What is counted of it.
    pub meter: Meter,
    pub outside: Outside,
    /// Where a collector is set.
    pub traces: Option<Traces>,
    /// sf-mcp as people are handed it.
    pub binaries: Binaries,
    /// The tenants' sf-mcp processes.
    pub children: Arc<Children>,
    /// Calls of all companies, for operators.
    pub fleet: Fleet,
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
    #[error(transparent)]
    Traces(#[from] traces::Error),
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
        let codes = OneTimeCodes::new(store.clone(), vault.clone(), clock.clone());
        let mailer = Mailer::start(&config)?;
        let outside = Outside::default();
        let broker = Broker::new(
            store.clone(),
            vault.clone(),
            clock.clone(),
            outside.clone(),
            config.api_url.clone(),
        );
        let admission = Admission::open(&store, &clock, &config).await?;
        let traces = config.traces.as_ref().map(Traces::start).transpose()?;
        Ok(Arc::new(Self {
            traces,
            meter: Meter::start(store.clone(), clock.clone()),
            admission,
            children: Children::new(
                launch(&config),
                token::lend(broker.clone(), config.api_url.clone()),
                config.keep,
            ),
            binaries: Binaries::new(config.child.clone(), config.binaries.clone()),
            fleet: Fleet::default(),
            hosts: Hosts::of(&config),
            config,
            store,
            clock,
            master,
            vault,
            codes,
            mailer,
            broker,
            outside,
        }))
    }

    /// What takes its time begins to end beside the last requests: no renewal begins, and mails get their last try.
    pub async fn wind_down(&self) {
        self.mailer.hurry();
        self.broker.close().await;
    }

    /// Ends what runs in the background and closes the database.
    pub async fn close(&self) {
        tokio::join!(
            async {
                self.children.drain().await;
                self.meter.close().await;
                self.admission.close().await;
            },
            self.mailer.close(),
            self.broker.close(),
            async {
                if let Some(traces) = &self.traces {
                    traces.close().await;
                }
            }
        );
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
