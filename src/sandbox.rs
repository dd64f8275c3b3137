//! The sandbox: a simulated Service Fusion with a believable company, served over HTTP on loopback.

mod api;
mod clock;
mod company;
mod contract;
mod control;
mod create;
mod fault;
mod filter;
mod oauth;
mod payload;
mod query;
mod rate_limit;
mod selection;
mod server;
mod table;
mod traffic;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::sandbox::server::Server;

/// The OAuth Consumer, for the `client_credentials` grant.
pub const CLIENT_ID: &str = "sandbox-consumer";
pub const CLIENT_SECRET: &str = "sandbox-consumer-secret";
/// The OAuth App, for the `authorization_code` grant; any loopback redirect URI is registered.
pub const APP_CLIENT_ID: &str = "sandbox-app";
pub const APP_CLIENT_SECRET: &str = "sandbox-app-secret";

#[derive(Clone, Debug)]
pub struct Options {
    /// 0 takes any free port.
    pub port: u16,
    /// The company's zone: its dates are about "today" there.
    pub time_zone: TimeZone,
    /// A fixed clock for the company's data; tokens and the rate window keep real time.
    pub now: Option<Timestamp>,
    /// 0 lifts the limit.
    pub requests_per_window: u32,
    pub rate_window: Duration,
    pub token_life: Duration,
    /// That many more jobs, all for one property manager.
    pub extra_jobs: u32,
    /// Serve `/sandbox/*`: faults, log, state and reset.
    pub control: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            time_zone: TimeZone::system(),
            now: None,
            requests_per_window: 60,
            rate_window: Duration::from_mins(1),
            token_life: Duration::from_hours(1),
            extra_jobs: 0,
            control: false,
        }
    }
}

/// A running sandbox; it stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Sandbox {
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let control = options.control;
        let server = Arc::new(Server::new(options));
        if control {
            // Tests count requests against time; building the company must not take some of it.
            server.read(|_| ());
        }
        let accepting = tokio::spawn(accept(listener, server));
        Ok(Self { address, accepting })
    }

    /// Scheme, host and port, without a slash at the end.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    // Aborting this task drops the set, which ends every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&server)));
                }
                // Out of file descriptors, for one: the pause keeps the loop from spinning.
                Err(error) => {
                    tracing::warn!(%error, "the sandbox could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, server: Arc<Server>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY on a sandbox connection");
    }
    let service = service_fn(move |request| Arc::clone(&server).answer(request));
    // An error here is a dropped connection, often one a fault asked for.
    if let Err(error) = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!(%error, "a sandbox connection ended early");
    }
}

#[cfg(test)]
mod tests;
