//! What a client is told of its company's tier: headers at each call, and an error when there is no more.
//!
//! Every request that reaches the company's child counts: tools, lists, prompts, resources, completions. What only
//! begins or keeps up a conversation does not: `initialize`, `server/discover`, `ping`, notifications.

use std::{cell::RefCell, fmt::Write as _};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;

use crate::{
    config::Tier,
    gateway::{
        era::{Era, Refusal},
        reply,
    },
    rate::{Standing, Verdict, burst, per_minute},
};

/// JSON-RPC leaves all codes but -32768 to -32000 to applications.
const OVER_THE_LIMIT: i64 = 429;
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Whether the tier judges a request.
pub(super) fn counts(era: Era, method: &str, is_request: bool) -> bool {
    is_request && !matches!(era, Era::Handshake(_)) && !matches!(method, "ping" | "server/discover")
}

/// The answer to a call that the tier does not let in.
pub(super) fn refused(standing: &Standing, name: &str, company: &str, id: &str) -> Response {
    let refusal = Refusal {
        data: Some(json!({
            "reason": "tier_limit",
            "tier": name,
            "limit": match standing.verdict {
                Verdict::EnoughToday => "per_day",
                Verdict::TooMany => "in_flight",
                Verdict::TooFast | Verdict::LetIn => "per_minute",
            },
            "per_minute": standing.tier.per_minute,
            "burst": standing.tier.burst,
            "per_day": standing.tier.per_day,
            "in_flight": standing.tier.in_flight,
            "retry_after_s": standing.wait,
        })),
        ..Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            OVER_THE_LIMIT,
            words(standing, name, company),
        )
    };
    let mut response = reply::refused(&refusal, Some(id));
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, standing.wait.into());
    // What is left of the minute and the day is not the reason then.
    if standing.verdict != Verdict::TooMany {
        tell(response.headers_mut(), standing);
    }
    response
}

/// For a model: what the limit is, when to go on, and who can raise it.
fn words(standing: &Standing, name: &str, company: &str) -> String {
    let (tier, wait) = (standing.tier, standing.wait);
    match standing.verdict {
        Verdict::EnoughToday => format!(
            "{company} has made the {} calls that its tier `{name}` allows per day (UTC). Nothing was sent to Service \
             Fusion. Calls are possible again in {wait} s, at midnight UTC; until then do not try again. The operator \
             of this service can raise the limit.",
            tier.per_day
        ),
        Verdict::TooMany => format!(
            "{company} has {} calls under way, as many at once as its tier `{name}` allows. Nothing was sent to Service \
             Fusion. Wait {wait} s, then send the same call again; it helps to send calls one after another. The operator \
             of this service can raise the limit.",
            tier.in_flight.max(1)
        ),
        Verdict::TooFast | Verdict::LetIn => format!(
            "{company} makes calls faster than its tier `{name}` allows: {} per minute, {} at once. Nothing was sent to \
             Service Fusion. Wait {wait} s, then send the same call again; fewer calls that ask for more help. The \
             operator of this service can raise the limit.",
            tier.per_minute,
            burst(tier)
        ),
    }
}

/// The fields of the IETF draft on rate limit headers: a burst refills steadily in its window, a day begins anew.
pub(super) fn tell(headers: &mut HeaderMap, standing: &Standing) {
    thread_local! {
        // Of the last tier: there are few, and this is told at each call.
        static TOLD: RefCell<Option<(Tier, HeaderValue)>> = const { RefCell::new(None) };
    }
    let policy = TOLD.with_borrow_mut(|told| match told {
        Some((tier, policy)) if *tier == standing.tier => Some(policy.clone()),
        _ => {
            let policy = policy(standing.tier)?;
            *told = Some((standing.tier, policy.clone()));
            Some(policy)
        }
    });
    let mut left = String::with_capacity(64);
    // Writing to memory cannot fail.
    let _ = write!(
        left,
        "\"burst\";r={};t={}, \"day\";r={};t={}",
        standing.left, standing.whole_in, standing.left_today, standing.day_ends_in
    );
    let left = HeaderValue::try_from(left).ok();
    for (name, value) in [(POLICY, policy), (LEFT, left)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

fn policy(tier: Tier) -> Option<HeaderValue> {
    let (most, rate) = (burst(tier), per_minute(tier).max(1));
    let window = (most * 60 + rate - 1) / rate;
    let per_day = tier.per_day;
    let policy = format!("\"burst\";q={most};w={window}, \"day\";q={per_day};w=86400");
    HeaderValue::try_from(policy).ok()
}
