//! Traces for an OpenTelemetry collector, where one is set: spans go out in batches, and no call waits for that.
//!
//! The SDK's own thread takes them out of a bounded queue; one that is full drops them. What a collector does not take
//! after a few tries is gone, which costs nothing else.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use opentelemetry::{Key, KeyValue, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use sf_mcp::auth::oauth::without_address;
use tokio::runtime::Handle;

use crate::config::traces::Traces as Settings;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);
/// A stop waits no longer for the last spans.
const PARTING: Duration = Duration::from_secs(3);
/// How often it is said that a collector takes nothing.
const TOLD: Duration = Duration::from_mins(5);
/// Bytes of a collector's answer that are read, so that its connection can be used again.
const ANSWER: usize = 64 * 1024;

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the collector of traces cannot be used: {0}")]
    Exporter(#[from] ExporterBuildError),
    #[error("the HTTP client for traces cannot be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Sends spans until it is closed.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Begins to send to that collector, from within a runtime.
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TRY)
            .build()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector {
                http,
                runtime: Handle::current(),
                failures: Mutex::default(),
            })
            .with_endpoint(settings.endpoint.as_str())
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self {
            tracer: provider.tracer("sf-supervisor"),
            provider,
        })
    }

    pub fn tracer(&self) -> &SdkTracer {
        &self.tracer
    }

    /// Sends what waits. No span is to end any more.
    pub async fn close(&self) {
        let provider = self.provider.clone();
        let closing = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(PARTING));
        if !matches!(closing.await, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be delivered");
        }
    }
}

/// This program, as the environment calls it or else by its name.
fn resource() -> Resource {
    const NAME: &str = "service.name";
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    let named = Resource::builder().build().get(&Key::from_static_str(NAME));
    match named {
        Some(name) if !name.as_str().starts_with("unknown_service") => resource.build(),
        _ => resource.with_service_name("sf-supervisor").build(),
    }
}

/// The collector, over the program's own HTTP client.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    failures: Mutex<Failures>,
}

/// Tries that failed and were not told yet.
#[derive(Debug, Default)]
struct Failures {
    told: Option<Instant>,
    tries: u64,
}

impl Failures {
    /// Counts one more. How many there are to tell, when it is time for that.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.tries += 1;
        if self.told.is_some_and(|told| now - told < TOLD) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.tries))
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // It is asked on the SDK's thread, which is none of the runtime's.
        let sending = self.runtime.spawn(send(self.http.clone(), request));
        let answer = sending.await?.map_err(without_address);
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.failed(answer.status().as_str()),
            Err(problem) => self.failed(problem),
        }
        Ok(answer?)
    }
}

impl Collector {
    fn failed(&self, problem: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tries) = failures.add(Instant::now()) {
            tracing::warn!(%problem, tries, "the collector takes no traces");
        }
    }
}

/// Its answer without the words, which nobody reads: they may repeat what was sent.
async fn send(
    http: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, reqwest::Error> {
    let mut answer = http.execute(request.try_into()?).await?;
    let mut read = 0;
    while read < ANSWER
        && let Some(piece) = answer.chunk().await?
    {
        read += piece.len();
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_is_gone_is_told_once_in_a_while() {
        let (mut failures, began) = (Failures::default(), Instant::now());
        assert_eq!(failures.add(began), Some(1));
        for second in 1..TOLD.as_secs() {
            assert_eq!(failures.add(began + Duration::from_secs(second)), None);
        }
        assert_eq!(failures.add(began + TOLD), Some(TOLD.as_secs()));
        assert_eq!(failures.add(began + TOLD), None);
    }
}
