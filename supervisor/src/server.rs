//! Accepts connections and serves a router on them until told to stop; requests under way are finished. HTTP/1.1 alone
//! is spoken: what is before it (nginx) speaks HTTP/2 with clients.
//!
//! A proxy keeps connections open and may send a request just when this side closes one: such a request fails, and
//! nobody can tell whether it was read. So behind a proxy a stop leaves connections that are open to the proxy for a
//! while: it closes those that it does not need, and after each answer on another one that is closed.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

/// What answers requests.
pub trait Answers:
    Service<Request<Body>, Response = Response, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Answers for S where
    S: Service<Request<Body>, Response = Response, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 10_000;
/// A client that takes longer to send its headers is slow on purpose.
const HEADERS: Duration = Duration::from_secs(15);
/// Bytes of a request's headers.
const HEADER_BYTES: usize = 32 * 1024;
/// How long requests under way may take once the service is asked to stop.
pub const GRACE: Duration = Duration::from_secs(50);

/// How long a proxy is given to close what it does not need: longer than it keeps a connection that it does not use.
pub const FOR_PROXIES: Duration = Duration::from_secs(6);
const _: () = assert!(FOR_PROXIES.as_secs() < GRACE.as_secs());

/// How a stop treats connections that are open.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// How long they stay open when nothing is asked on them.
    pub linger: Duration,
    /// Cancelled when that is over: from then on no request comes in.
    pub closed: CancellationToken,
}

/// Serves until `stop` is done; then connections without a request are closed at once.
pub async fn serve(service: impl Answers, listener: TcpListener, stop: impl Future<Output = ()>) {
    serve_and_leave(service, listener, Leaving::default(), stop).await;
}

/// Serves until `stop` is done, and then leaves connections as `leaving` says.
pub async fn serve_and_leave(
    service: impl Answers,
    listener: TcpListener,
    leaving: Leaving,
    stop: impl Future<Output = ()>,
) {
    let begun = CancellationToken::new();
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
                let connection = connection(&service, stream, peer, (&graceful, &begun));
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
    begun.cancel();
    for (stream, peer) in waiting(listener) {
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let connection = connection(&service, stream, peer, (&graceful, &begun));
            tokio::spawn(async move {
                let _place = place;
                connection.await;
            });
        }
    }
    // Until the last connection is closed: a connection holds a place.
    let all = places.acquire_many(u32::try_from(CONNECTIONS).unwrap_or(u32::MAX));
    let _ = tokio::time::timeout(leaving.linger, all).await;
    leaving.closed.cancel();
    if tokio::time::timeout(GRACE.saturating_sub(leaving.linger), graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time");
    }
}

/// Connections that the system has accepted before the listener is closed; closing it would reset them, whatever was
/// sent on them. One that comes between the last look and the closing is still reset: Linux has no way to refuse new
/// ones first. A soak of an hour met that once in 242 stops.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let mut waiting = Vec::new();
    // It does not block.
    while let Ok(accepted) = listener.accept() {
        waiting.push(accepted);
    }
    drop(listener);
    let served = waiting.into_iter().filter_map(|(stream, peer)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    });
    served.collect()
}

fn connection<A: Answers>(
    answers: &A,
    stream: TcpStream,
    peer: SocketAddr,
    (graceful, leaving): (&GracefulShutdown, &CancellationToken),
) -> impl Future<Output = ()> + use<A> {
    // Answers are written in one piece and must not wait for the client to acknowledge the piece before.
    let _ = stream.set_nodelay(true);
    let (answers, leaving) = (answers.clone(), leaving.clone());
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let leaving = leaving.clone();
        let answering = answers.clone().oneshot(request.map(Body::new));
        async move {
            let mut response = answering.await?;
            if leaving.is_cancelled() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(serving);
    async move {
        if let Err(problem) = watched.await {
            tracing::debug!(%problem, "a connection ended early");
        }
    }
}
