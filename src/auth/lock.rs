//! One process renews the sign-in at a time.
//!
//! The kernel frees the lock when its holder dies, so the file is never deleted and never judged by its age.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use fs2::FileExt;

use crate::paths;

/// Longest wait: the holder's request to Service Fusion ends after 30 s.
const LONGEST_WAIT: Duration = Duration::from_secs(40);

/// Why the lock cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "another sf-mcp process has been renewing the sign-in for {} s without finishing; end it and try again ({path})",
        LONGEST_WAIT.as_secs()
    )]
    Held { path: String },
    #[error(
        "{path} cannot be opened: {problem}. Make it writable for you, or choose another folder with SF_MCP_HOME"
    )]
    File { path: String, problem: String },
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "holding the file open is what holds the lock")] File);

/// Waits for the lock off the async threads.
pub async fn take(path: PathBuf) -> Result<Held, Error> {
    let shown = path.display().to_string();
    let waiting = tokio::task::spawn_blocking(move || lock(&path));
    // A thread that is given up on drops the lock as soon as it gets it.
    match tokio::time::timeout(LONGEST_WAIT, waiting).await {
        Ok(Ok(locked)) => locked,
        Ok(Err(problem)) => Err(Error::File {
            path: shown,
            problem: problem.to_string(),
        }),
        Err(_) => Err(Error::Held { path: shown }),
    }
}

/// Waits for the lock on this thread, for commands.
pub fn lock(path: &Path) -> Result<Held, Error> {
    // By its full path: the standard library's own methods would shadow the trait's.
    open(path)
        .and_then(|file| FileExt::lock_exclusive(&file).map(|()| Held(file)))
        .map_err(|problem| Error::File {
            path: path.display().to_string(),
            problem: problem.to_string(),
        })
}

/// The lock, if nobody has it now and it can be had at all.
pub fn lock_if_free(path: &Path) -> Option<Held> {
    let file = open(path).ok()?;
    FileExt::try_lock_exclusive(&file).ok()?;
    Some(Held(file))
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        paths::create_private_folder(folder)?;
    }
    paths::private_file().append(true).open(path)
}
