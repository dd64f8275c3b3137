//! `POST /api/usage`: a device reports calls in batches. It may send a batch as often as it likes, each event counts once.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::App,
    error::Problem,
    limits::{self, Limit},
    store::{self, Origin, Store, UsageEvent, UsageSource},
    tokens::Kind,
    usage::event,
    web::{Caller, Json},
};

/// Most events in a batch.
pub const MOST: usize = 1000;
/// Longest batch in bytes.
pub const BODY: usize = 1024 * 1024;
/// Batches of a tenant, from all its machines.
const BATCHES: Limit = Limit {
    name: "usage",
    most: 600,
    window: 10 * 60 * 1000,
};

/// Events of a tenant in a day (UTC), from all its machines: more than any company calls.
pub const EVENTS: Limit = Limit {
    name: "usage/events",
    most: 100_000,
    window: 24 * 60 * 60 * 1000,
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct Batch {
    /// `{id, at, tool, endpoint, status, duration_ms, bytes, client?, era?}`; `at` is RFC 3339 or Unix ms. An event is known
    /// by both `id` and `at`: sent again, it has the same.
    events: Vec<Value>,
}

/// What became of a batch. Events that are refused never become good: the sender drops them.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Taken {
    pub accepted: usize,
    pub duplicates: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Refused {
    /// Its place in the batch, from 0.
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub why: &'static str,
}

/// Counts calls, each once however often it is sent; at most 1000 in a batch of at most 1 MB, and 100,000 a day (UTC)
/// from all machines of a company, those that come again included. A tool that sf-mcp does not have counts as `other`,
/// and so does a client when there are too many in a day. Events that break a rule
/// are named in the answer and never become good; the others of the batch are counted.
#[utoipa::path(
    post,
    path = "/api/usage",
    request_body = Batch,
    responses(
        (status = 202, description = "What became of the batch", body = Taken),
        (status = 400, description = "`invalid_request`"),
        (status = 401, description = "`invalid_token`: not a device's, or revoked"),
        (status = 403, description = "`tenant_suspended`"),
        (status = 413, description = "`too_large`, `too_many_events`"),
        (status = 429, description = "`too_many_requests`")
    )
)]
pub async fn post(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, axum::Json<Taken>), Problem> {
    let caller = Caller::with(&app, request.headers(), &[Kind::Device]).await?;
    let now = app.clock.now();
    if let Some(reached) = limits::take(&app.store, BATCHES, &caller.tenant.id, now).await? {
        return Err(Problem::too_many(reached.seconds));
    }
    // A stranger's body is not even read.
    let Json(batch) = Json::<Batch>::from_request(request, &()).await?;
    if batch.events.len() > MOST {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_many_events",
            format!("A batch has at most {MOST} events; send the rest in another."),
        ));
    }
    let (events, refused) = judged(&batch.events, now);
    let tenant = &caller.tenant.id;
    if let Some(reached) = limits::take_many(&app.store, EVENTS, tenant, events.len(), now).await? {
        return Err(Problem::too_many(reached.seconds));
    }
    let source = UsageSource {
        tenant_id: &caller.tenant.id,
        token_id: Some(&caller.token.id),
        member_id: caller.token.member_id.as_deref(),
        origin: Origin::Local,
    };
    let accepted = record(&app, source, &events).await?;
    metrics::counter!("sf_supervisor_usage_events_refused_total").increment(refused.len() as u64);
    let taken = Taken {
        accepted,
        duplicates: events.len() - accepted,
        refused,
    };
    Ok((StatusCode::ACCEPTED, axum::Json(taken)))
}

/// Counts calls, each once however often it is recorded; returns how many are new.
pub async fn record(
    app: &App,
    source: UsageSource<'_>,
    events: &[UsageEvent],
) -> Result<usize, store::Error> {
    record_all(&app.store, &[(source, events)], app.clock.now()).await
}

/// As `record`, for several sources at once.
pub async fn record_all(
    store: &Store,
    batches: &[(UsageSource<'_>, &[UsageEvent])],
    now: i64,
) -> Result<usize, store::Error> {
    let new = store.add_usages(batches, now).await?;
    let origin = batches
        .first()
        .map_or("", |(source, _)| source.origin.word());
    metrics::counter!("sf_supervisor_usage_events_total", "origin" => origin).increment(new as u64);
    Ok(new)
}

fn judged(sent: &[Value], now: i64) -> (Vec<UsageEvent>, Vec<Refused>) {
    let mut events = Vec::with_capacity(sent.len());
    let mut refused = Vec::new();
    for (index, sent) in sent.iter().enumerate() {
        match event::judge(sent, now) {
            Ok(event) => events.push(event),
            Err(why) => refused.push(Refused {
                index,
                id: sent["id"]
                    .as_str()
                    .filter(|id| event::is_id(id))
                    .map(str::to_owned),
                why,
            }),
        }
    }
    (events, refused)
}
