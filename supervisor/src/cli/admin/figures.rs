//! How many calls were made.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    cli::{
        Failure,
        admin::Desk,
        shown::{self, Shown},
    },
    store::By,
    usage::{period::Period, report::Report, sheet},
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
        sheet::name_companies(&mut report, desk.store.company_names().await?);
    }
    let text = if asked.csv {
        sheet::csv(&report)
    } else {
        as_table(&report)
    };
    Ok(Shown::new(text, report))
}

fn as_table(report: &Value) -> String {
    let (mut heads, rows) = sheet::cells(report);
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
