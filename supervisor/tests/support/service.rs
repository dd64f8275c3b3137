//! The hosting service in this process, on a loopback port of its own, with a sandbox behind it.

use std::{path::PathBuf, sync::Arc};

use sf_mcp::{
    sandbox::{self, Sandbox},
    seal::SealingKey,
};
use sf_supervisor::{
    app::{self, App},
    clock::Clock,
    config::{Config, Settings, Tier},
    master_key::MasterKeys,
    router::router,
    server, store,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::Database;

/// What the replicas of one service share.
#[derive(Debug)]
pub(crate) struct Around {
    pub(crate) database: Database,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    pub(crate) master: MasterKeys,
    folder: tempfile::TempDir,
}

impl Around {
    pub(crate) async fn new(sandbox: sandbox::Options) -> Arc<Self> {
        Self::over(Database::new().await, sandbox).await
    }

    pub(crate) async fn over(database: Database, sandbox: sandbox::Options) -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Arc::new(Self {
            database,
            sandbox: Sandbox::start(sandbox).await.unwrap(),
            clock: Clock::default(),
            master: MasterKeys::new(SealingKey::generate().unwrap(), Vec::new()),
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// Mails arrive here as `.eml` files.
    pub(crate) fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }
}

/// A running service. It stops when dropped; `stop` does it gracefully.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) app: Arc<App>,
    pub(crate) http: reqwest::Client,
    pub(crate) around: Arc<Around>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// `change` may change any setting before the start.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let around = Around::new(sandbox::Options {
            control: true,
            ..sandbox::Options::default()
        });
        Self::over(around.await, change).await
    }

    /// Another replica on the same database (PostgreSQL only).
    pub(crate) async fn replica(&self) -> Self {
        assert!(self.around.database.is_postgres());
        Self::over(Arc::clone(&self.around), |_| {}).await
    }

    pub(crate) async fn over(around: Arc<Around>, change: impl FnOnce(&mut Config)) -> Self {
        Self::listening("127.0.0.1:0", around, change).await
    }

    /// The service again, at the address that clients know.
    pub(crate) async fn on_port(around: Arc<Around>, port: u16) -> Self {
        Self::listening(&format!("127.0.0.1:{port}"), around, |_| {}).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    async fn listening(
        address: &str,
        around: Arc<Around>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings {
            public_url: Some(url.clone()),
            database_url: Some(around.database.url.clone()),
            mail_dir: Some(around.mail()),
            api_url: Some(around.sandbox.origin()),
            ..Settings::default()
        };
        let mut config = settings.resolve().unwrap();
        // For tests whose subject is not the tiers.
        let unlimited = Tier {
            per_minute: 1_000_000,
            burst: 1_000_000,
            per_day: 100_000_000,
            in_flight: 1_000_000,
        };
        config.tiers.insert("unlimited".to_owned(), unlimited);
        change(&mut config);
        // One that was stopped in this process holds the file until its last task has noticed.
        let app = super::until("free database", async || {
            let app = App::open(config.clone(), around.master.clone(), around.clock.clone());
            match app.await {
                Err(app::Error::Store(store::Error::InUse(_))) => None,
                app => Some(app.unwrap()),
            }
        });
        let app = app.await;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::serve(
            router(Arc::clone(&app)),
            listener,
            stop.clone().cancelled_owned(),
        ));
        Self {
            url,
            app,
            // Shorter than the service keeps connections that nobody uses, or a call may meet their end.
            http: reqwest::Client::builder()
                .pool_idle_timeout(std::time::Duration::from_secs(5))
                .build()
                .unwrap(),
            around,
            stop,
            serving,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.serving).await.unwrap();
        self.app.close().await;
    }

    /// Waits until so many mails have been written to this address, the oldest first.
    pub(crate) async fn mails(&self, email: &str, count: usize) -> Vec<String> {
        super::until("mail", async || {
            let found = self.mails_now(email);
            (found.len() >= count).then_some(found)
        })
        .await
    }

    pub(crate) fn mails_now(&self, email: &str) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.around.mail())
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "eml"))
            .collect();
        files.sort();
        files
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap().replace("\r\n", "\n"))
            .filter(|mail| mail.lines().any(|line| line == format!("To: {email}")))
            .collect()
    }

    /// Moves the clock to where every window of the limits begins, so that no test straddles one.
    pub(crate) fn at_window_start(&self) {
        const WINDOWS: i64 = 24 * 3_600_000;
        let clock = &self.around.clock;
        clock.advance(WINDOWS - clock.now().rem_euclid(WINDOWS) + 1_000);
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    /// A POST of JSON.
    pub(crate) fn post(&self, path: &str, body: &serde_json::Value) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.to_string())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
