//! What every request passes: it gets an id and must name a host of ours, its body must arrive in time, and its end is
//! logged and counted.
//!
//! One function, where layers would be one each: the hosted endpoint is asked all day, and layers that box and move a
//! request's whole work cost more than the work.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, StreamExt, stream};
use metrics::{Counter, Histogram};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::{
    app::App,
    error::Problem,
    gateway, ids,
    server::Answers,
    web::{self, Asked},
};

const ID: HeaderName = HeaderName::from_static("x-request-id");
/// What only shows something that is the same for everybody; `HEAD` is answered for these as for `GET`.
const SHOWN: [&str; 4] = ["/", "/healthz", "/readyz", "/openapi.json"];

/// The hosted endpoint and the routes, behind what all of them pass.
pub fn service(app: Arc<App>, routes: Router) -> impl Answers {
    tower::service_fn(move |request: Request| {
        let (app, routes) = (Arc::clone(&app), routes.clone());
        async move { Ok::<_, Infallible>(answered(&app, routes, request).await) }
    })
}

async fn answered(app: &Arc<App>, routes: Router, request: Request) -> Response {
    let id = ids::in_order("req", app.clock.now()).unwrap_or_default();
    let value = HeaderValue::from_str(&id);
    let method = request.method().clone();
    let address = match (method == Method::GET, request.uri().path_and_query()) {
        (true, Some(address)) => address.as_str().to_owned(),
        _ => String::new(),
    };
    let started = std::time::Instant::now();
    // Made where it is awaited: each place that a future passes through has room for all of it.
    let mut response = Asked { id, address }
        .scope(async {
            let is_hosted = gateway::is_at(request.uri().path());
            let response = AssertUnwindSafe(worked_on(app, routes, request, is_hosted))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Problem::internal().into_response());
            noted(&method, &response, is_hosted, started.elapsed());
            response
        })
        .await;
    if let Ok(value) = value {
        response.headers_mut().insert(ID, value);
    }
    response
}

async fn worked_on(app: &Arc<App>, routes: Router, request: Request, is_hosted: bool) -> Response {
    if !app.hosts.are_named_by(&request) {
        return Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "This service does not answer to that host name; use its public address.",
        )
        .into_response();
    }
    if is_hosted {
        return gateway::answered(app, request).await;
    }
    if request.method() == Method::HEAD && !is_shown(request.uri().path()) {
        return no_work_for_head();
    }
    let until = Instant::now() + web::BODY;
    let request = request.map(|body| arriving_until(until, body));
    routes
        .oneshot(request)
        .await
        .unwrap_or_else(|never| match never {})
}

/// Which of the routes gave an answer, as the log and the figures call it: the path without what is a request's own.
#[derive(Clone, Debug)]
struct Route(MatchedPath);

/// Notes on an answer which route gave it.
pub async fn routed(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(Route(path));
    }
    response
}

/// A request's end, in the log and the figures. A call of the hosted endpoint that went well has its usage event, with
/// the same id, when it counts.
fn noted(method: &Method, response: &Response, is_hosted: bool, took: Duration) {
    static CALLS: LazyLock<(Counter, Histogram)> = LazyLock::new(|| {
        (
            metrics::counter!("sf_supervisor_requests_total", "path" => "/mcp", "status" => "200"),
            metrics::histogram!("sf_supervisor_request_seconds", "path" => "/mcp"),
        )
    });
    let (status, seconds) = (response.status().as_u16(), took.as_secs_f64());
    let path = match response.extensions().get::<Route>() {
        _ if is_hosted => "/mcp",
        Some(Route(path)) => path.as_str(),
        None => "unknown",
    };
    let milliseconds = seconds * 1000.0;
    if is_hosted && status == 200 {
        tracing::debug!(request_id = web::request_id(), %method, path, status, milliseconds, "request");
        let (requests, times) = &*CALLS;
        requests.increment(1);
        times.record(seconds);
        return;
    }
    tracing::info!(request_id = web::request_id(), %method, path, status, milliseconds, "request");
    metrics::counter!("sf_supervisor_requests_total", "path" => path.to_owned(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("sf_supervisor_request_seconds", "path" => path.to_owned()).record(seconds);
}

fn is_shown(path: &str) -> bool {
    SHOWN.contains(&path) || path.starts_with("/.well-known/")
}

/// Looking at an address must not do the work of `GET`, such as making a token or handing out a result.
fn no_work_for_head() -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This address does not take HEAD.",
    );
    let allow = [(header::ALLOW, HeaderValue::from_static("GET"))];
    (allow, problem).into_response()
}

#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
struct TooSlow;

/// Ends the reading of a body that takes too long; the answer may take its time.
fn arriving_until(until: Instant, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let pieces = body.into_data_stream();
    Body::from_stream(stream::try_unfold(pieces, move |mut pieces| async move {
        match tokio::time::timeout_at(until, pieces.next()).await {
            Ok(Some(piece)) => Ok(Some((piece?, pieces))),
            Ok(None) => Ok(None),
            Err(_) => Err(axum::Error::new(TooSlow)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequest;

    use super::*;
    use crate::web::Json;

    #[tokio::test]
    async fn a_body_that_trickles_is_not_waited_for() {
        let first = stream::iter([Ok::<_, std::io::Error>("{")]);
        let body = Body::from_stream(first.chain(stream::pending()));
        let until = Instant::now() + Duration::from_millis(20);
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .body(arriving_until(until, body))
            .unwrap();
        let read = Json::<serde_json::Value>::from_request(request, &()).await;
        let problem = read.unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.code), (408, "incomplete"));
    }

    #[tokio::test]
    async fn a_body_in_time_is_whole() {
        let until = Instant::now() + web::BODY;
        let pieces = stream::iter([Ok::<_, std::io::Error>("{\"a\""), Ok(":1}")]);
        let body = arriving_until(until, Body::from_stream(pieces));
        let whole = axum::body::to_bytes(body, 100).await.unwrap();
        assert_eq!(whole, "{\"a\":1}");
    }
}
