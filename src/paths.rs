//! Where a profile's files are on this machine.

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

/// The folders of one profile. Nothing is created until something is written.
#[derive(Clone, Debug)]
pub struct Paths {
    config: PathBuf,
    state: PathBuf,
    profile: String,
}

impl Paths {
    /// `home` replaces the platform's folders. `None` when the platform names no home folder.
    pub fn new(home: Option<&Path>, profile: &str) -> Option<Self> {
        let (config, state) = match home {
            Some(home) => (home.to_owned(), home.join("state")),
            None => platform_folders()?,
        };
        Some(Self {
            config,
            state,
            profile: profile.to_owned(),
        })
    }

    /// `config.toml`, shared by all profiles.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The profile's own folder: the request ledger and the journal of creates.
    pub fn profile_folder(&self) -> PathBuf {
        self.state.join(&self.profile)
    }

    /// The log files of this profile's servers, one a day.
    pub fn log_folder(&self) -> PathBuf {
        self.profile_folder().join("logs")
    }

    /// The requests that all processes of this profile sent in the last minute.
    pub fn request_ledger(&self) -> PathBuf {
        self.profile_folder().join("requests.log")
    }

    /// The sealing key, where no keychain holds it: beside the settings, not beside what it seals.
    pub fn key_file(&self) -> PathBuf {
        self.config.join(format!("{}.key", self.profile))
    }

    /// Locked by the process that renews the sign-in.
    pub fn lock_file(&self) -> PathBuf {
        self.profile_folder().join("renewal.lock")
    }

    /// Rewritten at every login and logout, so that serving processes notice.
    pub fn stamp_file(&self) -> PathBuf {
        self.profile_folder().join("login.stamp")
    }

    /// The company's time zone, where a hosting service has told it.
    pub fn told_zone(&self) -> PathBuf {
        self.profile_folder().join("time-zone")
    }

    /// What is kept for a device token from the environment, named by its digest.
    pub fn device_file(&self, digest: &str, end: &str) -> PathBuf {
        self.profile_folder().join(format!("device-{digest}.{end}"))
    }

    /// Usage events of the device with that digest that are not sent yet.
    pub fn usage_spool(&self, digest: &str) -> PathBuf {
        self.profile_folder().join(format!("usage-{digest}.db"))
    }

    /// The profile's SQLite file.
    pub fn database(&self) -> PathBuf {
        self.profile_folder().join("tokens.db")
    }
}

fn platform_folders() -> Option<(PathBuf, PathBuf)> {
    let folders = ProjectDirs::from("", "", "sf-mcp")?;
    let state = folders
        .state_dir()
        .unwrap_or_else(|| folders.data_local_dir());
    Some((folders.config_dir().to_owned(), state.to_owned()))
}

/// Creates `folder` and its parents, readable by this user alone where the platform can say so.
pub fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Options that create a file readable by this user alone.
pub fn private_file() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Puts a file into the place of another, for good: after a power cut it is either one or the other.
pub fn replace(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Makes a new name in a folder outlast a power cut, where a folder can be synced.
pub fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
