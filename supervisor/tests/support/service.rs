//! The hosting service in this process, on a loopback port of its own, with a sandbox behind it.

use std::{path::PathBuf, sync::Arc};

use sf_mcp::sandbox::{self, Sandbox};
use sf_supervisor::{
    app::App,
    clock::Clock,
    config::{Config, Settings},
    router::router,
    server,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::Database;

/// A running service. It stops when dropped; `stop` does it gracefully.
#[derive(Debug)]
pub struct Service {
    pub url: String,
    pub app: Arc<App>,
    pub clock: Clock,
    pub http: reqwest::Client,
    pub sandbox: Arc<Sandbox>,
    pub database: Arc<Database>,
    /// Mails arrive here as `.eml` files.
    pub mail: PathBuf,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _folder: Arc<tempfile::TempDir>,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// `change` may change any setting before the start.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let options = sandbox::Options {
            control: true,
            ..sandbox::Options::default()
        };
        let sandbox = Arc::new(Sandbox::start(options).await.unwrap());
        Self::over(
            Arc::new(Database::new().await),
            sandbox,
            Clock::default(),
            change,
        )
        .await
    }

    /// Another replica on the same database (PostgreSQL only).
    pub async fn replica(&self) -> Self {
        assert!(self.database.is_postgres());
        let (database, sandbox) = (Arc::clone(&self.database), Arc::clone(&self.sandbox));
        Self::over(database, sandbox, self.clock.clone(), |_| {}).await
    }

    pub async fn over(
        database: Arc<Database>,
        sandbox: Arc<Sandbox>,
        clock: Clock,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mail = folder.path().join("mail");
        let settings = Settings {
            public_url: Some(url.clone()),
            database_url: Some(database.url.clone()),
            mail_dir: Some(mail.clone()),
            api_url: Some(sandbox.origin()),
            ..Settings::default()
        };
        let mut config = settings.resolve().unwrap();
        change(&mut config);
        let app = App::open(config, clock.clone()).await.unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::serve(
            router(Arc::clone(&app)),
            listener,
            stop.clone().cancelled_owned(),
        ));
        Self {
            url,
            app,
            clock,
            http: reqwest::Client::new(),
            sandbox,
            database,
            mail,
            stop,
            serving,
            _folder: folder,
        }
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.serving).await.unwrap();
        self.app.close().await;
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    /// A POST of JSON.
    pub fn post(&self, path: &str, body: &serde_json::Value) -> reqwest::RequestBuilder {
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
