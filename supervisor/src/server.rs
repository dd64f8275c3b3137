//! Accepts connections and serves a router on them until told to stop; requests under way are finished. HTTP/1.1 alone
//! is spoken: what is before it (nginx) speaks HTTP/2 with clients.
//!
//! A proxy keeps connections open and may send a request just when this side closes one: such a request fails, and
//! nobody can tell whether it was read. So behind a proxy a stop leaves connections that are open to the proxy for a
//! while: it closes those that it does not need, and after each answer on another one that is closed.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

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
    sync::{OwnedSemaphorePermit, Semaphore},
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

/// How long a connection that a proxy has begun may take to be there: a round trip to it, and some more.
const BEGUN: Duration = Duration::from_millis(100);

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
    let serve = |(stream, peer): (TcpStream, SocketAddr), place: OwnedSemaphorePermit| {
        let connection = connection(&service, stream, peer, (&graceful, &begun));
        tokio::spawn(async move {
            let _place = place;
            connection.await;
        });
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        let place = tokio::select! {
            Ok(place) = Arc::clone(&places).acquire_owned() => place,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok(accepted) => serve(accepted, place),
            Err(problem) => {
                // Out of descriptors: those in use must end first.
                tracing::warn!(%problem, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    begun.cancel();
    for accepted in last(listener, &leaving).await {
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            serve(accepted, place);
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

/// The last connections: those that the system accepts before the listener is closed. Closing it resets them, whatever
/// was sent on them, and a request that a proxy has sent is not sent again. So behind a proxy new ones are ignored first,
/// and those that have begun get there; who was ignored tries again after a second and is refused, and the proxy turns to
/// another replica.
async fn last(listener: TcpListener, leaving: &Leaving) -> Vec<(TcpStream, SocketAddr)> {
    if !leaving.linger.is_zero() {
        match ignore_new(&listener) {
            Ok(()) => tokio::time::sleep(BEGUN).await,
            Err(problem) => tracing::debug!(%problem, "new connections cannot be ignored"),
        }
    }
    waiting(listener)
}

/// Drops what begins a connection (RFC 9293: SYN, the second of the flags in the header's byte 13), in the system and
/// before it is answered.
#[cfg(target_os = "linux")]
fn ignore_new(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let filter = [
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(JUMP_IF_SET, 0, 1, 2),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&filter)
}

#[cfg(not(target_os = "linux"))]
fn ignore_new(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Connections that the system has accepted; then the listener is closed.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn behind_a_proxy_who_has_come_is_served_and_who_comes_last_is_not_let_in() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first = TcpStream::connect(address).await.unwrap();
        ignore_new(&listener).unwrap();
        let second = tokio::time::timeout(BEGUN, TcpStream::connect(address)).await;
        assert!(second.is_err(), "it is not even refused: {second:?}");
        let leaving = Leaving {
            linger: Duration::from_secs(1),
            ..Leaving::default()
        };
        let last = last(listener, &leaving).await;
        let peers: Vec<SocketAddr> = last.iter().map(|(_, peer)| *peer).collect();
        assert_eq!(peers, [first.local_addr().unwrap()]);
        let third = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(third.kind(), io::ErrorKind::ConnectionRefused);
    }
}
