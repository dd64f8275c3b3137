//! `sf-supervisor serve`: until SIGTERM or Ctrl+C.

use std::{path::Path, time::Duration};

use anyhow::Context;
use axum::{Router, routing::get};
use sf_mcp::sandbox::{self, Sandbox};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    cli::{Exit, Failure},
    clock::Clock,
    config::{self, Config, Mail},
    housekeeping, logging,
    master_key::MasterKeys,
    metrics,
    router::router,
    server::{self, Leaving},
};

/// How long a stop takes at most: service managers kill what takes longer. After the last requests some of it is left.
const STOP: Duration = Duration::from_secs(58);
const _: () = assert!(server::GRACE.as_secs() + 5 <= STOP.as_secs() && STOP.as_secs() < 60);
/// The file with the sandbox's port.
const PORT: &str = "sandbox.port";

pub(super) fn run(config: Config) -> Result<Exit, Failure> {
    child_is_there(&config.child)?;
    logging::start(&config.log, config.dev);
    metrics::start();
    // One provider for all TLS; a second start in one process keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        runtime.worker_threads(threads());
    }
    runtime.enable_all().build()?.block_on(serve(config))
}

/// Threads that answer requests: one for each two processors. A call costs a tenth of a millisecond and wakes a child
/// each time; more threads mostly wake one another, and children and the database need processors too.
fn threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (processors / 2).max(1)
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
    if let Some(sandbox) = &sandbox {
        keep_port(&app.config.state_folder, &sandbox.origin())?;
    }
    let stop = CancellationToken::new();
    let asked_to_stop = asked_to_stop();
    tracing::info!(address = %listener.local_addr()?, "serving");
    if app.config.dev {
        tell(&app.config);
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
        asked_to_stop.await;
        let calls: usize = (app.children.list().iter())
            .map(|(_, _, under_way, _)| under_way)
            .sum();
        tracing::info!(calls, "stopping; what is under way is finished");
        stop.cancel();
    };
    let leaving = Leaving {
        linger: lingering(&app.config),
        closed: CancellationToken::new(),
    };
    let winding_down = async {
        leaving.closed.cancelled().await;
        app.wind_down().await;
    };
    let serving = async {
        server::serve_and_leave(router(app.clone()), listener, leaving.clone(), asked).await;
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

/// Where to begin, for somebody who tries it.
fn tell(config: &Config) {
    let url = &config.public_url;
    eprintln!("sf-supervisor is running: open {url}");
    if let (Some(operator), Mail::Folder(folder)) = (config.operators.first(), &config.mail) {
        eprintln!(
            "To look after companies, open {url}/admin and sign in as {operator}; the code is in the mail that appears in {}",
            folder.display()
        );
    }
}

/// Only a proxy keeps connections that it may use at any moment.
fn lingering(config: &Config) -> Duration {
    if config.trusted_proxies.is_empty() {
        Duration::ZERO
    } else {
        server::FOR_PROXIES
    }
}

/// The simulated Service Fusion, unless another address was asked for.
async fn start_sandbox(config: &mut Config) -> Result<Option<Sandbox>, Failure> {
    if config.api_url != config::SERVICE_FUSION {
        return Ok(None);
    }
    let sandbox = on_the_port_of_before(&config.state_folder).await?;
    config.api_url = sandbox.origin();
    eprintln!(
        "The sandbox company plays Service Fusion: client id {}, client secret {}",
        sandbox::CLIENT_ID,
        sandbox::CLIENT_SECRET
    );
    Ok(Some(sandbox))
}

/// Machines that signed in before ask the sandbox where it was then, so its port is kept beside the database.
async fn on_the_port_of_before(folder: &Path) -> Result<Sandbox, Failure> {
    let former: Option<u16> = std::fs::read_to_string(folder.join(PORT))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(port) = former {
        let options = sandbox::Options {
            port,
            ..sandbox::Options::default()
        };
        match Sandbox::start(options).await {
            Ok(sandbox) => return Ok(sandbox),
            Err(problem) => eprintln!(
                "The sandbox cannot have its port of before, {port} ({problem}), and takes another: \
                 machines that signed in before must sign in again"
            ),
        }
    }
    Ok(Sandbox::start(sandbox::Options::default()).await?)
}

/// Written once the database is this process's alone: one that cannot have it must not change what another left.
fn keep_port(folder: &Path, origin: &str) -> Result<(), Failure> {
    let kept = folder.join(PORT);
    let port = origin.rsplit(':').next().unwrap_or_default();
    sf_mcp::paths::create_private_folder(folder)
        .and_then(|()| std::fs::write(&kept, format!("{port}\n")))
        .with_context(|| format!("{} cannot be written", kept.display()))?;
    Ok(())
}

/// What is started for each company, before the first of them asks for it.
fn child_is_there(child: &Path) -> Result<(), Failure> {
    let problem = match std::fs::metadata(child) {
        Ok(file) if !file.is_file() => "is no file",
        Ok(file) if !may_run(&file) => "is not executable",
        Ok(_) => return Ok(()),
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => "is not there",
        Err(_) => "cannot be looked at",
    };
    Err(Failure::usage(format!(
        "the sf-mcp program {} {problem}; put sf-mcp beside sf-supervisor, or name it with SF_SUPERVISOR_CHILD",
        child.display()
    )))
}

#[cfg(unix)]
fn may_run(file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn may_run(_: &std::fs::Metadata) -> bool {
    true
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|problem| {
        Failure::from(anyhow::anyhow!(
            "{address} cannot be listened on ({problem}); choose another address with --listen"
        ))
    })
}

/// Ends on the signals with which service managers stop a service; their own is caught from this call on.
fn asked_to_stop() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate())
    };
    async move {
        #[cfg(unix)]
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}
