//! Mails as `.eml` files, for development and for those who collect them with a program of their own.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use sf_mcp::paths;

use super::{Error, Failure, letters::Written};
use crate::{email::Email, ids};

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Whether the mail's text is logged too, code and all.
    aloud: bool,
}

impl Folder {
    pub(super) fn new(path: &Path, aloud: bool) -> Result<Self, Error> {
        paths::create_private_folder(path).map_err(|source| Error::Folder {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            aloud,
        })
    }

    /// The file appears with all its content, readable by this user alone.
    pub(super) async fn write(&self, to: &Email, mail: &Written) -> Result<(), Failure> {
        let bytes = mail.message.formatted();
        if self.aloud {
            let (to, folder) = (to.as_str(), self.path.display());
            tracing::info!("a mail to {to}, also in {folder}:\n\n{}", mail.text);
        }
        let folder = self.path.clone();
        tokio::task::spawn_blocking(move || write(&folder, &bytes))
            .await
            .map_err(|problem| Failure::Passing(problem.to_string()))?
            .map_err(|problem| Failure::Passing(format!("the file cannot be written: {problem}")))
    }
}

/// Names sort by time.
fn write(folder: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let id = ids::new("mail").map_err(std::io::Error::other)?;
    let name = format!("{}-{id}.eml", jiff::Timestamp::now().as_millisecond());
    let unfinished = folder.join(format!(".{name}.part"));
    let mut file = paths::private_file().write(true).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, folder.join(name))
}
