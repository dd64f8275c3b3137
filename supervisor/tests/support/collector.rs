//! A collector of traces on a loopback port, which keeps what it is sent.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

/// What came, one entry for each request.
type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) origin: String,
    received: Received,
    serving: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::answering(StatusCode::OK).await
    }

    pub(crate) async fn answering(status: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let received = Received::default();
        let kept = Arc::clone(&received);
        let take = async move |headers: HeaderMap, body: Bytes| {
            kept.lock().unwrap().push((headers, body));
            (status, "what was sent may stand in here")
        };
        let router = Router::new().route("/v1/traces", post(take));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            origin,
            received,
            serving,
        }
    }

    /// Where a service sends its spans.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/v1/traces", self.origin)
    }

    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|(headers, _)| headers.clone())
            .collect()
    }

    /// Everything as it came, for what must not be in it.
    pub(crate) fn text(&self) -> String {
        let received = self.received.lock().unwrap();
        let bodies = received.iter().map(|(_, body)| body.as_ref());
        String::from_utf8_lossy(&bodies.collect::<Vec<_>>().concat()).into_owned()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let received = self.received.lock().unwrap();
        let bodies = received.iter().map(|(_, body)| body.clone());
        bodies
            .map(|body| ExportTraceServiceRequest::decode(body).unwrap())
            .collect()
    }

    /// What the service says of itself.
    pub(crate) fn resource(&self) -> Vec<(String, String)> {
        let request = self.requests().remove(0);
        let resource = request.resource_spans[0].resource.clone().unwrap();
        attributes(&resource.attributes)
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.requests().into_iter();
        requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Names and values, in order of their names.
pub(crate) fn attributes(given: &[KeyValue]) -> Vec<(String, String)> {
    let value = |value: &KeyValue| match value.value.clone().unwrap().value.unwrap() {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let mut all: Vec<_> = given
        .iter()
        .map(|attribute| (attribute.key.clone(), value(attribute)))
        .collect();
    all.sort();
    all
}

pub(crate) fn hexadecimal(id: &[u8]) -> String {
    sf_supervisor::text::hexadecimal(id)
}
