//! `sf-supervisor serve`: until SIGTERM or Ctrl+C.

use std::time::Duration;

use axum::{Router, routing::get};
use sf_mcp::sandbox::{self, Sandbox};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    cli::{Exit, Failure},
    clock::Clock,
    config::{self, Config},
    housekeeping, logging,
    master_key::MasterKeys,
    metrics,
    router::router,
    server,
};

/// How long a stop takes at most: service managers kill what takes longer. After the last requests some of it is left.
const STOP: Duration = Duration::from_secs(58);
const _: () = assert!(server::GRACE.as_secs() + 5 <= STOP.as_secs() && STOP.as_secs() < 60);

pub(super) fn run(config: Config) -> Result<Exit, Failure> {
    logging::start(&config.log, config.dev);
    metrics::start();
    // One provider for all TLS; a second start in one process keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

async fn serve(mut config: Config) -> Result<Exit, Failure> {
    let listener = bind(config.listen).await?;
    let figures = match config.metrics_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let sandbox = if config.dev {
        start_sandbox(&mut config).await?
    } else {
        None
    };
    let master = MasterKeys::load(&config)?;
    let app = App::open(config, master, Clock::default()).await?;
    let stop = CancellationToken::new();
    tracing::info!(address = %listener.local_addr()?, "serving");
    if app.config.dev {
        eprintln!("sf-supervisor is running: open {}", app.config.public_url);
    }
    let measuring = figures.map(|listener| {
        let router = Router::new().route("/metrics", get(async || metrics::render()));
        tokio::spawn(server::serve(
            router,
            listener,
            stop.clone().cancelled_owned(),
        ))
    });
    let keeping = tokio::spawn(metrics::keep_up(stop.clone()));
    let sweeping = tokio::spawn(housekeeping::run(app.clone(), stop.clone()));
    let asked = async {
        asked_to_stop().await;
        stop.cancel();
    };
    let winding_down = async {
        stop.cancelled().await;
        app.wind_down().await;
    };
    let serving = async {
        server::serve(router(app.clone()), listener, asked).await;
        app.close().await;
    };
    let all = async {
        tokio::join!(serving, winding_down, async {
            let _ = tokio::join!(sweeping, keeping);
            if let Some(measuring) = measuring {
                let _ = measuring.await;
            }
        })
    };
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP).await;
    };
    tokio::select! {
        _ = all => {}
        () = too_long => tracing::warn!("not everything ended in time"),
    }
    drop(sandbox);
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// The simulated Service Fusion, unless another address was asked for.
async fn start_sandbox(config: &mut Config) -> Result<Option<Sandbox>, Failure> {
    if config.api_url != config::SERVICE_FUSION {
        return Ok(None);
    }
    let sandbox = Sandbox::start(sandbox::Options::default()).await?;
    config.api_url = sandbox.origin();
    eprintln!(
        "The sandbox company plays Service Fusion: client id {}, client secret {}",
        sandbox::CLIENT_ID,
        sandbox::CLIENT_SECRET
    );
    Ok(Some(sandbox))
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|problem| {
        Failure::from(anyhow::anyhow!(
            "{address} cannot be listened on ({problem}); choose another address with --listen"
        ))
    })
}

/// Ends on the signals with which service managers stop a service.
async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
