//! `sf-supervisor keys`: a master key, what is sealed under which, and others in place of those in use.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use sf_mcp::seal::SealingKey;

use crate::{
    cli::{Exit, Failure, print, resolved},
    clock::Clock,
    config::{Config, Settings},
    master_key::MasterKeys,
    store::{Entry, Store},
    vault::{Rotated, Status, Vault},
};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a new master key.
    Generate,
    /// Show which master keys are in use.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Seal all data keys under another master key, while services run.
    ///
    /// 1. Make a key with `keys generate`. Restart every service with SF_SUPERVISOR_MASTER_KEY set to the new key and
    ///    SF_SUPERVISOR_MASTER_KEY_OLD to the former one; they go on sealing under the former.
    /// 2. Run `keys rotate` with the same two variables. Services change over by themselves. If it is cut off, run it
    ///    again.
    /// 3. When `keys status` shows no data key under the former key, restart the services without
    ///    SF_SUPERVISOR_MASTER_KEY_OLD. Keep the former key as long as you keep backups from before.
    #[command(verbatim_doc_comment)]
    Rotate {
        /// Replace every tenant's data key too, and seal its credentials again.
        #[arg(long)]
        data_keys: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &Arguments, settings: Settings) -> Result<Exit, Failure> {
    if matches!(arguments.command, Command::Generate) {
        print(&SealingKey::generate()?.to_base64())?;
        return Ok(Exit::Done);
    }
    let config = resolved(without_mail(settings))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(on_database(&arguments.command, &config))
}

/// No mail is sent and nobody is served here, so what only these need may be left unset.
fn without_mail(settings: Settings) -> Settings {
    Settings {
        mail_dir: settings.mail_dir.or_else(|| Some("mail".into())),
        public_url: settings
            .public_url
            .or_else(|| Some("http://localhost".to_owned())),
        ..settings
    }
}

async fn on_database(command: &Command, config: &Config) -> Result<Exit, Failure> {
    // One provider for all TLS; a second start in one process keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let master = MasterKeys::load(config)?;
    let store = Store::beside(config.database_url.expose_secret()).await?;
    let clock = Clock::default();
    let vault = Vault::new(store.clone(), master, clock.clone());
    match command {
        Command::Generate => {}
        Command::Status { json } => {
            let status = vault.status().await?;
            print(&shown(*json, &status, status_text)?)?;
        }
        Command::Rotate { data_keys, json } => {
            let done = vault.rotate(*data_keys).await?;
            let entry = Entry {
                at: clock.now(),
                actor: actor(),
                action: "keys.rotate".to_owned(),
                tenant_id: None,
                before: None,
                after: Some(serde_json::to_string(&done)?),
            };
            store.note(&entry).await?;
            print(&shown(*json, &done, rotated_text)?)?;
        }
    }
    store.close().await;
    Ok(Exit::Done)
}

fn shown<T: serde::Serialize>(
    json: bool,
    value: &T,
    text: fn(&T) -> String,
) -> Result<String, Failure> {
    if json {
        Ok(serde_json::to_string(value)?)
    } else {
        Ok(text(value))
    }
}

fn status_text(status: &Status) -> String {
    let mut lines = vec![format!(
        "The database is sealed under the master key {}.",
        status.database.as_deref().unwrap_or("(none yet)")
    )];
    for used in &status.in_use {
        let given = status.given.contains(&used.master_key);
        lines.push(format!(
            "{} data keys are under {}{}",
            used.data_keys,
            used.master_key,
            if given {
                "."
            } else {
                ", which is not given here!"
            }
        ));
    }
    if status.replacing_data_keys {
        lines.push(
            "A replacement of the data keys was cut off: run `sf-supervisor keys rotate` again."
                .to_owned(),
        );
    }
    lines.join("\n")
}

fn rotated_text(done: &Rotated) -> String {
    let mark = if done.master_key_changed {
        "The database is now sealed"
    } else {
        "The database was already sealed"
    };
    format!(
        "{mark} under the master key {}: {} data keys were sealed again, {} were replaced.\n\
         Services may now be restarted without SF_SUPERVISOR_MASTER_KEY_OLD.",
        done.master_key, done.rewrapped, done.rekeyed
    )
}

/// Who did it, for the audit log.
fn actor() -> String {
    let user = ["SUDO_USER", "USER", "USERNAME"]
        .into_iter()
        .find_map(crate::config::variable);
    format!("cli:{}", user.as_deref().unwrap_or("unknown"))
}
