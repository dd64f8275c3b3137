//! `sf-supervisor admin …`: companies, their limits, devices and figures, for operators and scripts. It works on the
//! database beside a serving process; what it changes holds from the next request on.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;

use crate::{
    cli::{Exit, Failure, shown::Shown},
    clock::Clock,
    config::Operating,
    store::Store,
};

mod companies;
mod devices;
mod figures;
mod find;

/// Look after companies, limits, devices and figures.
///
/// A company is named by its id, its name or its owner's e-mail address. Every change is noted in the audit log.
#[derive(Args)]
pub(super) struct Admin {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List companies.
    #[command(visible_alias = "companies")]
    Tenants(companies::Which),
    /// Show one company: its people, limits, connection and figures.
    Show {
        #[arg(value_name = "COMPANY")]
        tenant: String,
    },
    /// Set a company's tier, or limits of its own.
    Tier(companies::TierOf),
    /// Give a company no new access from now on.
    ///
    /// Machines that hold a Service Fusion token can go on with it for up to an hour.
    Suspend {
        #[arg(value_name = "COMPANY")]
        tenant: String,
        /// The reason, for the audit log and for other operators.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Serve a suspended company again.
    Resume {
        #[arg(value_name = "COMPANY")]
        tenant: String,
    },
    /// Delete a company with everything that is kept of it but the audit log.
    Delete {
        #[arg(value_name = "COMPANY")]
        tenant: String,
        /// The company's name again, as a confirmation.
        #[arg(long, value_name = "COMPANY")]
        yes_delete: String,
    },
    /// List a company's devices and tokens, or revoke one.
    Devices {
        #[arg(value_name = "COMPANY")]
        tenant: String,
        #[arg(long, value_name = "ID")]
        revoke: Option<String>,
    },
    /// Show who changed what, the newest first.
    Audit {
        #[arg(value_name = "COMPANY")]
        tenant: Option<String>,
        /// Most entries.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
    },
    /// Show how many calls were made.
    Usage(figures::Asked),
    /// Set the operators' own words about a company.
    Note {
        #[arg(value_name = "COMPANY")]
        tenant: String,
        text: String,
    },
    /// Set the zone in which a company's "today" is.
    TimeZone {
        #[arg(value_name = "COMPANY")]
        tenant: String,
        /// Such as America/Chicago.
        zone: String,
    },
}

/// What every action works with.
struct Desk {
    store: Store,
    settings: Operating,
    actor: String,
    now: i64,
}

pub(super) fn run(admin: Admin, settings: Operating) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let as_json = admin.json;
    let shown = runtime.block_on(async {
        let desk = Desk {
            store: Store::beside(settings.database_url.expose_secret()).await?,
            settings,
            actor: actor(),
            now: Clock::default().now(),
        };
        let shown = act(&desk, admin.action).await;
        desk.store.close().await;
        shown
    })?;
    shown.print(as_json)?;
    Ok(Exit::Done)
}

async fn act(desk: &Desk, action: Action) -> Result<Shown, Failure> {
    match action {
        Action::Tenants(which) => companies::list(desk, &which).await,
        Action::Show { tenant } => companies::show(desk, &tenant).await,
        Action::Tier(tier) => companies::set_tier(desk, &tier).await,
        Action::Suspend { tenant, why } => companies::suspend(desk, &tenant, &why).await,
        Action::Resume { tenant } => companies::resume(desk, &tenant).await,
        Action::Delete { tenant, yes_delete } => {
            companies::delete(desk, &tenant, &yes_delete).await
        }
        Action::TimeZone { tenant, zone } => companies::time_zone(desk, &tenant, &zone).await,
        Action::Note { tenant, text } => companies::note(desk, &tenant, &text).await,
        Action::Devices { tenant, revoke } => match revoke {
            Some(id) => devices::revoke(desk, &tenant, &id).await,
            None => devices::list(desk, &tenant).await,
        },
        Action::Audit { tenant, limit } => devices::audit(desk, tenant.as_deref(), limit).await,
        Action::Usage(asked) => figures::usage(desk, &asked).await,
    }
}

/// `cli:` and the name under which a person is signed in to this machine.
pub(super) fn actor() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(crate::config::variable)
        .unwrap_or_else(user_id);
    let plain: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    format!("cli:{plain}")
}

#[cfg(unix)]
fn user_id() -> String {
    format!("uid-{}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn user_id() -> String {
    "unknown".to_owned()
}
