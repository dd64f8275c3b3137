//! A company's tier and limits: what shall hold is shown beside what holds, and set by another button.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};

use super::{
    about,
    acts::{back, change},
    path_of, posted,
};
use crate::{
    app::App,
    config::{Limits, Tier},
    error::Problem,
    pages::{Frame, Instead, page},
    params::Params,
    store::{Change, Tenant, parsed},
};

/// The fields of the form with what was typed; a field without anything means as in the tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) tier: String,
    pub(super) per_minute: String,
    pub(super) burst: String,
    pub(super) per_day: String,
    pub(super) in_flight: String,
}

#[derive(Template)]
#[template(path = "admin/limits.html")]
struct Ask<'a> {
    frame: Frame,
    path: String,
    back: String,
    tiers: Vec<&'a str>,
    typed: &'a Typed,
    problem: String,
    before: String,
    after: String,
}

impl Typed {
    /// What holds now.
    pub(super) fn of(tenant: &Tenant) -> Self {
        let own = own(tenant);
        let text = |limit: Option<u32>| limit.map(|limit| limit.to_string()).unwrap_or_default();
        Self {
            tier: tenant.tier.clone(),
            per_minute: text(own.per_minute),
            burst: text(own.burst),
            per_day: text(own.per_day),
            in_flight: text(own.in_flight),
        }
    }

    fn from(params: &Params) -> Self {
        let field = |name| params.get(name).unwrap_or_default().trim().to_owned();
        Self {
            tier: field("tier"),
            per_minute: field("per_minute"),
            burst: field("burst"),
            per_day: field("per_day"),
            in_flight: field("in_flight"),
        }
    }

    fn judged(&self, tiers: &BTreeMap<String, Tier>) -> Result<Limits, String> {
        if !tiers.contains_key(&self.tier) {
            let known: Vec<&str> = tiers.keys().map(String::as_str).collect();
            return Err(format!("Choose one of the tiers {}.", known.join(", ")));
        }
        Ok(Limits {
            per_minute: number("Calls a minute", &self.per_minute)?,
            burst: number("Calls at once after a pause", &self.burst)?,
            per_day: number("Calls a day", &self.per_day)?,
            in_flight: number("Calls under way", &self.in_flight)?,
        })
    }
}

fn number(name: &str, text: &str) -> Result<Option<u32>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.map(Some).ok_or_else(|| {
        format!(
            "{name} must be a whole number up to {}, or nothing for what the tier says.",
            u32::MAX
        )
    })
}

pub(super) fn own(tenant: &Tenant) -> Limits {
    serde_json::from_value(parsed(tenant.limits.as_deref())).unwrap_or_default()
}

/// What holds, in words.
pub(super) fn words(app: &App, tier: &str, own: Limits) -> String {
    let Some(of_tier) = app.config.tiers.get(tier) else {
        return format!("tier {tier}, which the configuration no longer has");
    };
    let holds = own.over(*of_tier);
    let some = if own == Limits::default() {
        ""
    } else {
        ", some of them its own"
    };
    format!(
        "tier {tier}: {} calls a minute, {} at once after a pause, {} a day, {} under way at once{some}",
        holds.per_minute, holds.burst, holds.per_day, holds.in_flight
    )
}

/// The form was filled in; nothing is changed yet.
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Instead> {
    let (operator, tenant) = about(&app, &headers, &id).await?;
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let typed = match params.get("tier") {
        Some(_) => Typed::from(&params),
        None => Typed::of(&tenant),
    };
    let frame = operator
        .visitor
        .frame(&app, format!("Limits of {}", tenant.company));
    Ok(shown(&app, frame, &tenant, &typed))
}

fn shown(app: &App, frame: Frame, tenant: &Tenant, typed: &Typed) -> Response {
    let judged = typed.judged(&app.config.tiers);
    let asking = Ask {
        frame: frame.narrow(),
        path: format!("{}/limits", path_of(&tenant.id)),
        back: path_of(&tenant.id),
        tiers: app.config.tiers.keys().map(String::as_str).collect(),
        typed,
        before: words(app, &tenant.tier, own(tenant)),
        after: (judged.as_ref())
            .map_or_else(|_| String::new(), |limits| words(app, &typed.tier, *limits)),
        problem: judged.err().unwrap_or_default(),
    };
    let status = if asking.problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    page(status, &asking, None)
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let (operator, form) = posted(&app, &headers, &uri, &body).await?;
    let typed = Typed::from(&form);
    let Ok(limits) = typed.judged(&app.config.tiers) else {
        let (_, tenant) = about(&app, &headers, &id).await?;
        let frame = operator
            .visitor
            .frame(&app, format!("Limits of {}", tenant.company));
        return Ok(shown(&app, frame, &tenant, &typed));
    };
    let limits = (limits != Limits::default()).then(|| serde_json::to_string(&limits));
    let limits = limits.transpose().map_err(|_| Problem::internal())?;
    let tier = Change::Tier {
        tier: &typed.tier,
        limits: limits.as_deref(),
    };
    let changed = change(&app, &id, tier, &operator.visitor.email).await?;
    Ok(back(&id, if changed.differs { "limits" } else { "same" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_whole_number_or_that_of_the_tier() {
        assert_eq!(number("x", ""), Ok(None));
        assert_eq!(number("x", "0"), Ok(Some(0)));
        assert_eq!(number("x", "4294967295"), Ok(Some(u32::MAX)));
        for text in ["-1", "+1", "1.5", "4294967296", "many", "１"] {
            assert!(number("x", text).is_err(), "{text}");
        }
    }
}
