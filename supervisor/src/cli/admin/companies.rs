//! Companies: list, show, change.

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        Failure,
        admin::Desk,
        shown::{self, Shown, counted, moment, time},
    },
    config::{Limits, Tier},
    store::{By, Change, Changed, Overview, Sum, Tenant, parsed},
    time_zone,
    tokens::Kind,
    usage::period::Period,
};

#[derive(Args)]
pub(super) struct Which {
    /// Part of the company's name, its id or its owner's address.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[arg(long, value_parser = ["new", "active", "disconnected", "suspended"])]
    state: Option<String>,
    #[arg(long)]
    tier: Option<String>,
}

#[derive(Args)]
pub(super) struct TierOf {
    #[arg(value_name = "COMPANY")]
    tenant: String,
    /// free, pro, enterprise or one of the configuration file.
    tier: String,
    /// Calls a minute for this company alone.
    #[arg(long, value_name = "N")]
    per_minute: Option<u32>,
    /// Calls at once after a pause, for this company alone.
    #[arg(long, value_name = "N")]
    burst: Option<u32>,
    /// Calls a day for this company alone.
    #[arg(long, value_name = "N")]
    per_day: Option<u32>,
    /// Calls under way at once on one replica, for this company alone.
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// Give up limits of its own: those of the tier hold.
    #[arg(long, conflicts_with_all = ["per_minute", "burst", "per_day", "in_flight"])]
    tier_limits: bool,
}

pub(super) async fn list(desk: &Desk, which: &Which) -> Result<Shown, Failure> {
    let search = which.search.as_deref().map(str::to_lowercase);
    let mut all = desk.store.overviews().await?;
    all.retain(|one| {
        let found = search.as_deref().is_none_or(|text| {
            one.tenant.id == text
                || one.tenant.company.to_lowercase().contains(text)
                || one.owners.iter().any(|owner| owner.contains(text))
        });
        let in_state = which
            .state
            .as_deref()
            .is_none_or(|state| one.state.word() == state);
        found
            && in_state
            && which
                .tier
                .as_ref()
                .is_none_or(|tier| one.tenant.tier == *tier)
    });
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            vec![
                one.tenant.company.clone(),
                one.owners.first().cloned().unwrap_or_default(),
                one.state.word().to_owned(),
                one.tenant.tier.clone(),
                one.tenant.seen_at.map_or_else(|| "never".to_owned(), time),
                time(one.tenant.created_at),
                one.tenant.id.clone(),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        "No companies.".to_owned()
    } else {
        shown::table(
            &[
                "company",
                "owner",
                "state",
                "tier",
                "last seen",
                "created",
                "id",
            ],
            &rows,
        )
    };
    let tenants: Vec<Value> = all.iter().map(|one| described(desk, one)).collect();
    Ok(Shown::new(text, json!({"tenants": tenants})))
}

pub(super) async fn show(desk: &Desk, named: &str) -> Result<Shown, Failure> {
    let one = desk.find(named).await?;
    let tenant = &one.tenant;
    let members = desk.store.members(&tenant.id).await?;
    let devices = desk.store.tokens_of(&tenant.id, Kind::Device).await?.len();
    let tokens = desk.store.tokens_of(&tenant.id, Kind::Bearer).await?.len();
    let (today, month) = (
        used(desk, &tenant.id, true).await?,
        used(desk, &tenant.id, false).await?,
    );
    let people: Vec<String> = members
        .iter()
        .map(|member| format!("{} ({})", member.email, member.role.word()))
        .collect();
    let mut lines = summary(desk, &one);
    lines.extend([
        ("people", people.join(", ")),
        (
            "devices",
            format!(
                "{devices}, and {}",
                counted(i64::try_from(tokens)?, "token")
            ),
        ),
        ("today", calls(&today)),
        ("this month", calls(&month)),
    ]);
    let mut json = described(desk, &one);
    json["members"] = members
        .iter()
        .map(|member| json!({"email": member.email, "role": member.role.word(), "since": moment(Some(member.created_at))}))
        .collect();
    json["devices"] = devices.into();
    json["tokens"] = tokens.into();
    json["today"] = json!({"calls": today.calls, "errors": today.errors});
    json["month"] = json!({"calls": month.calls, "errors": month.errors});
    Ok(Shown::new(shown::list(&lines), json))
}

fn summary(desk: &Desk, one: &Overview) -> Vec<(&'static str, String)> {
    let tenant = &one.tenant;
    let at = |at: Option<i64>| at.map(time).unwrap_or_default();
    let limits = limits_of(desk, tenant).map_or_else(
        || "unknown: the configuration has no such tier".to_owned(),
        |tier| {
            let own = if tenant.limits.is_some() {
                ", some of its own"
            } else {
                ""
            };
            format!(
                "{} a minute in bursts of {}, {} a day, {} under way at once{own}",
                tier.per_minute, tier.burst, tier.per_day, tier.in_flight
            )
        },
    );
    let suspended = tenant.suspended_at.map(|at| {
        format!(
            "{} because: {}",
            time(at),
            tenant.suspended_why.as_deref().unwrap_or_default()
        )
    });
    vec![
        ("company", tenant.company.clone()),
        ("id", tenant.id.clone()),
        ("state", one.state.word().to_owned()),
        ("suspended", suspended.unwrap_or_default()),
        ("tier", tenant.tier.clone()),
        ("limits", limits),
        ("created", time(tenant.created_at)),
        ("activated", at(tenant.activated_at)),
        ("last seen", at(tenant.seen_at)),
        (
            "time zone",
            tenant
                .time_zone
                .clone()
                .unwrap_or_else(|| "not known: this server's".to_owned()),
        ),
        ("note", tenant.note.clone()),
    ]
}

/// A company for programs.
fn described(desk: &Desk, one: &Overview) -> Value {
    let tenant = &one.tenant;
    json!({
        "id": tenant.id,
        "company": tenant.company,
        "owners": one.owners,
        "state": one.state.word(),
        "tier": tenant.tier,
        "limits": limits_of(desk, tenant),
        "own_limits": parsed(tenant.limits.as_deref()),
        "note": tenant.note,
        "time_zone": tenant.time_zone,
        "created_at": moment(Some(tenant.created_at)),
        "activated_at": moment(tenant.activated_at),
        "suspended_at": moment(tenant.suspended_at),
        "suspended_why": tenant.suspended_why,
        "seen_at": moment(tenant.seen_at),
    })
}

/// What holds for the company; `None` when its tier is no longer configured.
fn limits_of(desk: &Desk, tenant: &Tenant) -> Option<Tier> {
    Some(own_limits(tenant).over(*desk.settings.tiers.get(&tenant.tier)?))
}

fn own_limits(tenant: &Tenant) -> Limits {
    serde_json::from_value(parsed(tenant.limits.as_deref())).unwrap_or_default()
}

async fn used(desk: &Desk, tenant_id: &str, today: bool) -> Result<Sum, Failure> {
    let period = Period::new(None, None, false, desk.now)?;
    let from = if today { period.to } else { period.from };
    let (from, to) = Period { from, ..period }.milliseconds();
    let sums = desk
        .store
        .usage(Some(tenant_id), from, to, By::Origin)
        .await?;
    Ok(sums.iter().fold(Sum::default(), |mut total, sum| {
        total.calls += sum.calls;
        total.errors += sum.errors;
        total
    }))
}

fn calls(sum: &Sum) -> String {
    format!(
        "{}, {}",
        counted(sum.calls, "call"),
        counted(sum.errors, "error")
    )
}

pub(super) async fn set_tier(desk: &Desk, asked: &TierOf) -> Result<Shown, Failure> {
    if !desk.settings.tiers.contains_key(&asked.tier) {
        let known: Vec<&str> = desk.settings.tiers.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!(
            "there is no tier `{}`; the configuration has {}",
            asked.tier,
            known.join(", ")
        )));
    }
    let one = desk.find(&asked.tenant).await?;
    let own = own_limits(&one.tenant);
    let limits = if asked.tier_limits {
        Limits::default()
    } else {
        Limits {
            per_minute: asked.per_minute.or(own.per_minute),
            burst: asked.burst.or(own.burst),
            per_day: asked.per_day.or(own.per_day),
            in_flight: asked.in_flight.or(own.in_flight),
        }
    };
    let limits = (limits != Limits::default())
        .then(|| serde_json::to_string(&limits))
        .transpose()?;
    let change = Change::Tier {
        tier: &asked.tier,
        limits: limits.as_deref(),
    };
    let changed = desk.change(&one, change).await?;
    let now = changed.after.as_ref().unwrap_or(&changed.before);
    let holds = limits_of(desk, now).map_or_else(String::new, |tier| {
        format!(
            ": {} calls a minute in bursts of {}, {} a day, {} under way at once",
            tier.per_minute, tier.burst, tier.per_day, tier.in_flight
        )
    });
    let text = format!("{} has the tier {}{holds}.", now.company, now.tier);
    Ok(outcome(desk, &text, &one, &changed))
}

pub(super) async fn suspend(desk: &Desk, named: &str, why: &str) -> Result<Shown, Failure> {
    let one = desk.find(named).await?;
    let changed = desk.change(&one, Change::Suspend { why }).await?;
    let text = format!(
        "{} is suspended: no new access from now on. Machines that hold a Service Fusion token can go on for up to an hour.",
        one.tenant.company
    );
    Ok(outcome(desk, &text, &one, &changed))
}

pub(super) async fn resume(desk: &Desk, named: &str) -> Result<Shown, Failure> {
    let one = desk.find(named).await?;
    let changed = desk.change(&one, Change::Resume).await?;
    let text = if changed.differs {
        format!("{} is served again.", one.tenant.company)
    } else {
        format!("{} was not suspended.", one.tenant.company)
    };
    Ok(outcome(desk, &text, &one, &changed))
}

pub(super) async fn note(desk: &Desk, named: &str, text: &str) -> Result<Shown, Failure> {
    let one = desk.find(named).await?;
    let changed = desk.change(&one, Change::Note(text)).await?;
    let text = format!("The note on {} is kept.", one.tenant.company);
    Ok(outcome(desk, &text, &one, &changed))
}

pub(super) async fn time_zone(desk: &Desk, named: &str, zone: &str) -> Result<Shown, Failure> {
    let zone =
        time_zone::named(zone).map_err(|problem| Failure::usage(problem.detail.into_owned()))?;
    let one = desk.find(named).await?;
    let changed = desk.change(&one, Change::TimeZone(&zone)).await?;
    let text = format!("For {} it is now the time of {zone}.", one.tenant.company);
    Ok(outcome(desk, &text, &one, &changed))
}

pub(super) async fn delete(desk: &Desk, named: &str, company: &str) -> Result<Shown, Failure> {
    let one = desk.find(named).await?;
    if one.tenant.company != company {
        return Err(Failure::usage(format!(
            "nothing is deleted: the company is called `{}`, not `{company}`; repeat its name after --yes-delete",
            shown::plain(&one.tenant.company)
        )));
    }
    let changed = desk.change(&one, Change::Delete).await?;
    let text = format!("{company} is deleted; older backups still hold it.");
    Ok(outcome(desk, &text, &one, &changed))
}

impl Desk {
    async fn change(&self, one: &Overview, change: Change<'_>) -> Result<Changed, Failure> {
        let changed = (self.store)
            .change_tenant(&one.tenant.id, change, &self.actor, self.now)
            .await?;
        changed.ok_or_else(|| anyhow!("{} was deleted meanwhile", one.tenant.id).into())
    }
}

fn outcome(desk: &Desk, text: &str, one: &Overview, changed: &Changed) -> Shown {
    let described = |tenant: &Tenant| {
        json!({
            "tier": tenant.tier,
            "limits": limits_of(desk, tenant),
            "note": tenant.note,
            "time_zone": tenant.time_zone,
            "suspended_at": moment(tenant.suspended_at),
            "suspended_why": tenant.suspended_why,
        })
    };
    let json = json!({
        "tenant": one.tenant.id,
        "company": one.tenant.company,
        "changed": changed.differs,
        "before": described(&changed.before),
        "after": changed.after.as_ref().map(described),
    });
    Shown::new(shown::plain(text), json)
}
