//! How many calls were made.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    cli::{
        Failure,
        admin::Desk,
        shown::{self, Shown},
    },
    store::By,
    usage::{csv, period::Period, report::Report},
};

#[derive(Args)]
pub(super) struct Asked {
    /// One company; without it all of them.
    #[arg(long, visible_alias = "company", value_name = "COMPANY")]
    tenant: Option<String>,
    /// First day (UTC).  [default: the first of the month]
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day (UTC).  [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// What a line is about.  [default: tenant, or day for one company]
    #[arg(long)]
    by: Option<Grouping>,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Grouping {
    Tenant,
    Hour,
    Day,
    Tool,
    Status,
    Client,
    Origin,
}

impl Grouping {
    /// `None` for companies.
    fn within(self) -> Option<By> {
        match self {
            Self::Tenant => None,
            Self::Hour => Some(By::Hour),
            Self::Day => Some(By::Day),
            Self::Tool => Some(By::Tool),
            Self::Status => Some(By::Status),
            Self::Client => Some(By::Client),
            Self::Origin => Some(By::Origin),
        }
    }
}

const FIGURES: [&str; 4] = ["calls", "errors", "duration_ms", "bytes"];

pub(super) async fn usage(desk: &Desk, asked: &Asked) -> Result<Shown, Failure> {
    let by = match (asked.by, &asked.tenant) {
        (Some(by), _) => by.within(),
        (None, Some(_)) => Some(By::Day),
        (None, None) => None,
    };
    let (from, to) = (asked.from.as_deref(), asked.to.as_deref());
    let period = Period::new(from, to, by == Some(By::Hour), desk.now)
        .map_err(|problem| Failure::usage(problem.to_string()))?;
    let (from, to) = period.milliseconds();
    let tenant = match &asked.tenant {
        Some(named) => Some(desk.find(named).await?.tenant.id),
        None => None,
    };
    let mut report = if let Some(by) = by {
        let sums = desk.store.usage(tenant.as_deref(), from, to, by).await?;
        Report::new(period, by, sums).json()
    } else {
        let mut sums = desk.store.usage_by_tenant(from, to).await?;
        sums.retain(|sum| tenant.as_ref().is_none_or(|id| sum.key == *id));
        Report::named(period, "tenant", sums).json()
    };
    if by.is_none() {
        name_companies(desk, &mut report).await?;
    }
    let text = if asked.csv {
        as_csv(&report)
    } else {
        as_table(&report)
    };
    Ok(Shown::new(text, report))
}

async fn name_companies(desk: &Desk, report: &mut Value) -> Result<(), Failure> {
    let all = desk.store.overviews().await?;
    let names: BTreeMap<&str, &str> = all
        .iter()
        .map(|one| (one.tenant.id.as_str(), one.tenant.company.as_str()))
        .collect();
    for row in report["rows"].as_array_mut().into_iter().flatten() {
        let id = row["tenant"].as_str().unwrap_or_default();
        row["company"] = names.get(id).copied().unwrap_or_default().into();
    }
    Ok(())
}

/// Heads and cells, the totals last.
fn cells(report: &Value) -> (Vec<&str>, Vec<Vec<String>>) {
    let by = report["by"].as_str().unwrap_or_default();
    let mut heads = vec![by];
    if by == "tenant" {
        heads.push("company");
    }
    let labels = heads.len();
    heads.extend(FIGURES);
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut rows: Vec<Vec<String>> = report["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| heads.iter().map(|head| text(&row[head])).collect())
        .collect();
    let mut totals = vec!["total".to_owned()];
    totals.resize(labels, String::new());
    totals.extend(
        FIGURES
            .iter()
            .map(|head| report["totals"][head].to_string()),
    );
    rows.push(totals);
    (heads, rows)
}

fn as_csv(report: &Value) -> String {
    let (heads, rows) = cells(report);
    let lines = rows
        .iter()
        .map(|row| csv::line(row.iter().map(String::as_str)));
    csv::line(heads) + &lines.collect::<String>()
}

fn as_table(report: &Value) -> String {
    let (mut heads, rows) = cells(report);
    for head in &mut heads {
        *head = match *head {
            "duration_ms" => "milliseconds",
            "tenant" => "company id",
            head => head,
        };
    }
    let period = format!("{} to {} (UTC)\n", report["from"], report["to"]).replace('"', "");
    period + &shown::table(&heads, &rows)
}
