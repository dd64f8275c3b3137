//! One call: whose company, how long it may take, and how far it has got.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::civil::Date;
use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::{Peer, RequestContext},
};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::cursor::Binding,
    clock::Clock,
    service_fusion::{
        client::{Client, Patience},
        error::Error,
        journal::Journal,
        query::{self, ListQuery, Resource},
        record::Record,
        reference::{List, Reference},
        status::Status,
        walk::Walk,
    },
    trace_context::TraceContext,
    usage::{Caller, Usage},
};

/// The company this process serves, and what is known of it.
#[derive(Debug)]
pub struct Company {
    pub client: Arc<Client>,
    pub reference: Reference,
    pub journal: Journal,
    pub clock: Clock,
    /// Largest answer in bytes.
    pub max_answer: usize,
    /// Longest time for one call.
    pub timeout: Duration,
    /// The profile's name, which is all that names the company: the API does not.
    pub profile: String,
    pub demo: bool,
    /// A hosting service says with each request what its caller may do.
    pub hosted: bool,
    pub usage: Usage,
}

impl Caller {
    fn from_request(context: &RequestContext<RoleServer>) -> Self {
        let client = context.client_info();
        let client = client.map(|client| format!("{}/{}", client.name, client.version));
        let era = context.protocol_version().map(|era| era.to_string());
        Self::new(&client.unwrap_or_default(), &era.unwrap_or_default())
    }
}

/// The trace that the client, or whoever hosts this process, says the call to be part of.
fn trace(context: &RequestContext<RoleServer>) -> Option<TraceContext> {
    let meta = &context.meta;
    let said = meta.get_traceparent()?;
    TraceContext::parse(said, meta.get_tracestate().unwrap_or_default())
}

/// A step of a long call: done, of how many, in words.
pub type Step = (u32, u32);

/// What a tool is given besides its arguments.
#[derive(Clone, Debug)]
pub struct Call {
    company: Arc<Company>,
    pub patience: Patience,
    progress: Option<mpsc::UnboundedSender<Step>>,
    steps: Arc<AtomicU32>,
    binding: Option<Binding>,
    pub caller: Caller,
}

impl Call {
    /// A call from a terminal or a test; steps go to `progress`.
    pub fn new(
        company: &Arc<Company>,
        cancelled: CancellationToken,
        progress: Option<mpsc::UnboundedSender<Step>>,
    ) -> Self {
        Self {
            company: Arc::clone(company),
            patience: Patience::new(company.timeout, cancelled),
            progress,
            steps: Arc::default(),
            binding: None,
            caller: Caller::terminal(),
        }
    }

    /// Ties the cursors of this call's answer to its tool and arguments.
    #[must_use]
    pub fn with_arguments(mut self, tool: &str, arguments: &Map<String, Value>) -> Self {
        self.binding = Some(Binding::new(tool, arguments));
        self
    }

    pub fn binding(&self) -> Binding {
        self.binding
            .clone()
            .unwrap_or_else(|| Binding::new("", &Map::new()))
    }

    /// A call from a client, and what brings its progress there.
    pub fn from_request(
        company: &Arc<Company>,
        context: &RequestContext<RoleServer>,
    ) -> (Self, Progress) {
        let token = context.meta.get_progress_token();
        let (sender, steps) = mpsc::unbounded_channel();
        let mut call = Self::new(company, context.ct.clone(), token.as_ref().map(|_| sender));
        call.caller = Caller::from_request(context);
        call.patience.trace = trace(context).map(Arc::new);
        let progress = Progress {
            to: token.map(|token| (context.peer.clone(), token)),
            steps,
        };
        (call, progress)
    }

    pub fn company(&self) -> &Arc<Company> {
        &self.company
    }

    pub fn client(&self) -> &Arc<Client> {
        &self.company.client
    }

    pub fn clock(&self) -> &Clock {
        &self.company.clock
    }

    pub fn today(&self) -> Date {
        self.company.clock.today()
    }

    /// Tells the client how far the call has got, where it asked to know.
    pub fn report(&self, done: u32, of: u32) {
        // Progress only ever grows, whatever several walks of one call report.
        if self.steps.fetch_max(done, Ordering::Relaxed) < done
            && let Some(progress) = &self.progress
        {
            let _ = progress.send((done, of));
        }
    }

    /// Reads one record.
    pub async fn one(
        &self,
        resource: &'static Resource,
        id: i64,
        expand: &[&'static str],
    ) -> Result<Record, Error> {
        let answer = self
            .client()
            .get(&query::one(resource, id, expand), &self.patience)
            .await?;
        Ok(Record::new(answer))
    }

    /// Starts a walk over a list.
    pub fn walk(&self, query: ListQuery) -> Walk<'_> {
        Walk::new(self.client(), &self.patience, query)
    }

    pub async fn reference(&self, list: List) -> Result<Arc<Vec<Record>>, Error> {
        self.company
            .reference
            .list(list, self.client(), &self.patience)
            .await
    }

    pub async fn statuses(&self) -> Result<Vec<Status>, Error> {
        self.company
            .reference
            .statuses(self.client(), &self.patience)
            .await
    }
}

/// Carries a call's steps to the client that asked for them.
pub struct Progress {
    to: Option<(Peer<RoleServer>, ProgressToken)>,
    steps: mpsc::UnboundedReceiver<Step>,
}

impl Progress {
    /// Drives `running` to its end and forwards steps meanwhile; none follows the answer.
    pub async fn forward_while<T>(mut self, running: impl Future<Output = T>) -> T {
        let Some((peer, token)) = self.to else {
            return running.await;
        };
        let mut running = std::pin::pin!(running);
        loop {
            tokio::select! {
                biased;
                outcome = &mut running => return outcome,
                Some((done, of)) = self.steps.recv() => {
                    let step = ProgressNotificationParam::new(token.clone(), f64::from(done))
                        .with_total(f64::from(of));
                    // A client that is gone cannot be told.
                    let _ = peer.notify_progress(step).await;
                }
            }
        }
    }
}
