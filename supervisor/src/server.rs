//! Accepts connections and serves a router on them until told to stop; requests under way are finished.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 10_000;
/// A client that takes longer to send its headers is slow on purpose.
const HEADERS: Duration = Duration::from_secs(15);
/// Bytes of a request's headers.
const HEADER_BYTES: usize = 32 * 1024;
/// How long requests under way may take once the service is asked to stop.
pub const GRACE: Duration = Duration::from_secs(50);

/// Serves until `stop` is done.
pub async fn serve(router: Router, listener: TcpListener, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(&router, stream, peer, &graceful);
                tokio::spawn(async move {
                    let _place = place;
                    connection.await;
                });
            }
            Err(problem) => {
                // Out of descriptors: those in use must end first.
                tracing::warn!(%problem, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time");
    }
}

fn connection(
    router: &Router,
    stream: TcpStream,
    peer: SocketAddr,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Answers are written in one piece and must not wait for the client to acknowledge the piece before.
    let _ = stream.set_nodelay(true);
    let router = router.clone();
    let asked = CancellationToken::new();
    let silent = silence(asked.clone());
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        asked.cancel();
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(75));
    let serving = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    let watched = graceful.watch(serving);
    async move {
        tokio::select! {
            ended = watched => if let Err(problem) = ended {
                tracing::debug!(%problem, "a connection ended early");
            },
            () = silent => tracing::debug!("a connection asked nothing in time"),
        }
    }
}

/// Ends when no first request came in time. The protocol's own timers begin when its version is known.
async fn silence(asked: CancellationToken) {
    if tokio::time::timeout(HEADERS, asked.cancelled())
        .await
        .is_ok()
    {
        std::future::pending::<()>().await;
    }
}
