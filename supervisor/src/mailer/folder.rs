//! Mails as `.eml` files, for development and for those who collect them with a program of their own.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use lettre::Message;
use sf_mcp::paths;

use super::{Error, Failure};
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
    pub(super) async fn write(&self, to: &Email, mail: &Message) -> Result<(), Failure> {
        let bytes = mail.formatted();
        if self.aloud {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            tracing::info!(
                "a mail to {} is in {}:\n{}",
                to.as_str(),
                self.path.display(),
                readable(&text)
            );
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

/// The subject and the plain part of a mail as this program writes it.
fn readable(mail: &str) -> String {
    let subject = mail.lines().find(|line| line.starts_with("Subject: "));
    let plain = mail
        .split_once("text/plain")
        .and_then(|(_, rest)| rest.split_once("\r\n\r\n"))
        .and_then(|(_, body)| body.split_once("\r\n--"))
        .map_or("", |(body, _)| body);
    // Long lines are folded (RFC 2045, 6.7).
    let plain = plain.replace("=\r\n", "").replace("=3D", "=");
    format!("{}\n\n{}", subject.unwrap_or_default(), plain.trim())
}
