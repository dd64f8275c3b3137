//! `sf-supervisor backup` and `restore`: everything in one private file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::{
    cli::{
        Exit, Failure,
        shown::{Shown, counted, time},
    },
    clock::Clock,
    config::Operating,
    ids,
    master_key::MasterKeys,
    store::{
        Store, address,
        backup::{self, Manifest},
        known_schema,
    },
    vault::Vault,
};

/// Write the whole database into one file, while the service goes on serving.
///
/// The file restores into SQLite and into PostgreSQL. The master key is not in it: keep that elsewhere.
#[derive(Args)]
pub(super) struct Backup {
    /// Where the backup is written.
    file: PathBuf,
    /// Overwrite the file when it exists.
    #[arg(long)]
    force: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Fill an empty database with a backup, after the service is stopped.
///
/// Either everything is restored or nothing is changed. Everything is then as it was when the backup was made: tokens
/// that were revoked since are good again, and companies that were suspended or deleted since are back. Look through
/// `admin audit` of the old database before, if there is one, and do again what must hold.
#[derive(Args)]
pub(super) struct Restore {
    /// What `sf-supervisor backup` has written.
    file: PathBuf,
    /// Remove all that the database holds first.
    #[arg(long)]
    replace: bool,
    /// Revoke every token: nobody who had one revoked since the backup gets in, but every machine must sign in again.
    #[arg(long)]
    revoke_tokens: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

const KEY: &str = "The master key is not in it.";
const REVOKED: &str = "Every token is revoked; people and machines must sign in again.";
const NOT_REVOKED: &str = "Tokens that were revoked since are good again: revoke them again, or restore with --revoke-tokens.";

pub(super) fn back_up(asked: &Backup, settings: &Operating) -> Result<Exit, Failure> {
    let shown = runtime()?.block_on(async {
        if asked.file.exists() && !asked.force {
            return Err(exists(&asked.file));
        }
        let url = settings.database_url.expose_secret();
        let store = Store::beside(url).await?;
        let written = write(&store, asked).await;
        store.close().await;
        let manifest = written?;
        let database = address::shown(url);
        let text = format!(
            "{} holds {}, from {database}. {KEY}",
            asked.file.display(),
            summary(&manifest)
        );
        Ok::<_, Failure>(Shown::new(
            text,
            json!({"file": asked.file, "database": database, "manifest": manifest}),
        ))
    })?;
    shown.print(asked.json)?;
    Ok(Exit::Done)
}

/// Into a file of another name first: under the name asked for there is never half a backup.
async fn write(store: &Store, asked: &Backup) -> Result<Manifest, Failure> {
    let unfinished = Unfinished::beside(&asked.file)?;
    let manifest = store.back_up(&unfinished.0, Clock::default().now()).await?;
    File::open(&unfinished.0)?.sync_all()?;
    if asked.force {
        fs::rename(&unfinished.0, &asked.file)?;
    } else {
        // Unlike a rename this never replaces a file that appeared meanwhile.
        fs::hard_link(&unfinished.0, &asked.file).map_err(|problem| match problem.kind() {
            io::ErrorKind::AlreadyExists => exists(&asked.file),
            _ => Failure::from(problem),
        })?;
    }
    Ok(manifest)
}

fn exists(file: &Path) -> Failure {
    anyhow!(
        "{} exists; choose another name, or overwrite it with --force",
        file.display()
    )
    .into()
}

pub(super) fn restore(asked: &Restore, settings: &Operating) -> Result<Exit, Failure> {
    let shown = runtime()?.block_on(async {
        let url = settings.database_url.expose_secret();
        let database = address::shown(url);
        let problem = || format!("{} is not restored into {database}", asked.file.display());
        readable(&asked.file)?;
        if !settings.database_is_named {
            // Nobody may look for what is restored into a new file of the user who happens to ask.
            address::is_there(url)?;
        }
        let manifest = backup::check(&asked.file).await.with_context(problem)?;
        let current = if manifest.schema < known_schema() {
            Some(brought_up_to_date(&asked.file).await?)
        } else {
            None
        };
        let file = current.as_ref().map_or(&asked.file, |copy| &copy.0);
        let store = Store::open(url).await?;
        let revoked_at = asked.revoke_tokens.then(|| Clock::default().now());
        let restored = store.restore(file, asked.replace, revoked_at).await;
        let restored = restored.with_context(problem);
        let fits = match &restored {
            Ok(_) => fits(&store, settings).await,
            Err(_) => Fits::NotGiven,
        };
        store.close().await;
        let restored = restored?;
        let text = format!(
            "Restored {} into {database}. {} Companies whose sign-in at Service Fusion was renewed since may have to \
             connect again. Companies that were suspended or deleted since are as they were then: suspend or delete \
             them again before the service starts. {}",
            summary(&manifest),
            fits.told(),
            if asked.revoke_tokens { REVOKED } else { NOT_REVOKED }
        );
        let fits = fits.as_json();
        Ok::<_, Failure>(Shown::new(text, json!({
            "file": asked.file, "database": database, "manifest": manifest, "rows": restored.rows,
            "master_key_fits": fits, "tokens_revoked": asked.revoke_tokens,
        })))
    })?;
    shown.print(asked.json)?;
    Ok(Exit::Done)
}

/// What cannot be read is refused for its own reason, before the database is touched.
fn readable(file: &Path) -> Result<(), Failure> {
    let refused = |problem: io::Error| match problem.kind() {
        io::ErrorKind::NotFound => anyhow!("there is no file {}", file.display()),
        _ => anyhow!("{} cannot be read: {problem}", file.display()),
    };
    if !fs::metadata(file).map_err(refused)?.is_file() {
        return Err(anyhow!("{} is no file", file.display()).into());
    }
    File::open(file).map_err(refused)?;
    Ok(())
}

/// Whether the master key that is set here opens what was restored.
enum Fits {
    NotGiven,
    Yes,
    /// And why.
    No(String),
}

impl Fits {
    fn told(&self) -> String {
        match self {
            Self::NotGiven => {
                format!("{KEY} Start the service with the one that was in use then.")
            }
            Self::Yes => "The master key that is set here opens it.".to_owned(),
            Self::No(why) => {
                format!(
                    "Warning: the service will not start with the master key that is set here: {why}."
                )
            }
        }
    }

    fn as_json(&self) -> Option<bool> {
        match self {
            Self::NotGiven => None,
            Self::Yes => Some(true),
            Self::No(_) => Some(false),
        }
    }
}

/// The rows are restored by now, so a key that is missing or wrong is only told.
async fn fits(store: &Store, settings: &Operating) -> Fits {
    let keys = match MasterKeys::given(settings.master_key_file.as_deref()) {
        Ok(Some(keys)) => keys,
        Ok(None) => return Fits::NotGiven,
        Err(problem) => return Fits::No(problem.to_string()),
    };
    let vault = Vault::new(store.clone(), keys, Clock::default());
    match vault.refuse_another_key().await {
        Ok(()) => Fits::Yes,
        Err(problem) => Fits::No(problem.to_string()),
    }
}

async fn brought_up_to_date(file: &Path) -> Result<Unfinished, Failure> {
    let copy = Unfinished::beside(&std::env::temp_dir().join("sf-supervisor-restore"))?;
    // Not `fs::copy`: it would give the copy the mode of a file that others may read.
    io::copy(&mut File::open(file)?, &mut File::create(&copy.0)?)?;
    backup::bring_up_to_date(&copy.0).await?;
    Ok(copy)
}

fn summary(manifest: &Manifest) -> String {
    let rows: i64 = manifest.rows.values().sum();
    let tenants = manifest.rows.get("tenants").copied().unwrap_or_default();
    format!(
        "{}, {} in all, of {} UTC (schema {})",
        counted(tenants, "company"),
        counted(rows, "row"),
        time(manifest.made_at),
        manifest.schema
    )
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A private file that is removed again, whatever happens.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(file: &Path) -> Result<Self, Failure> {
        let name = file
            .file_name()
            .with_context(|| format!("{} is no name of a file", file.display()))?;
        if let Some(folder) = file.parent().filter(|folder| *folder != Path::new(""))
            && matches!(folder.try_exists(), Ok(false))
        {
            return Err(anyhow!(
                "the folder {} does not exist; make it first",
                folder.display()
            )
            .into());
        }
        let mut unfinished = std::ffi::OsString::from(".");
        unfinished.push(name);
        unfinished.push(format!(".{}", ids::new("unfinished")?));
        let unfinished = file.with_file_name(unfinished);
        sf_mcp::paths::private_file()
            .write(true)
            .open(&unfinished)
            .with_context(|| format!("{} cannot be written", unfinished.display()))?;
        Ok(Self(unfinished))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
