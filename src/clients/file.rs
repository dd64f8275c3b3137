//! A client's file on disk: read whole, replaced whole, never half written.

use std::{
    fs::{self, Metadata},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::{
    clients::{Error, SERVER, entry::Problem},
    paths::{create_private_folder, private_file},
};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// How many symbolic links are followed; a longer chain is a circle.
const LINKS: usize = 40;

#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// Where the text is, when `path` is a symbolic link.
    target: PathBuf,
    /// `None` when there is no such file.
    bytes: Option<Vec<u8>>,
    marked: bool,
    /// Empty for a missing file; without the byte order mark.
    pub(super) text: String,
}

impl ConfigFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let target = followed(path);
        let bytes = read(&target)?;
        let whole = std::str::from_utf8(bytes.as_deref().unwrap_or_default())
            .map_err(|problem| not_text(path, bytes.as_deref(), problem.valid_up_to()))?;
        let text = whole.strip_prefix(BYTE_ORDER_MARK);
        Ok(Self {
            path: path.to_owned(),
            marked: text.is_some(),
            text: text.unwrap_or(whole).to_owned(),
            target,
            bytes,
        })
    }

    pub(super) fn refuse(&self, problem: Problem) -> Error {
        Error::Content {
            path: self.path.clone(),
            problem,
        }
    }

    /// The text of the backup beside the file.
    pub(super) fn backup_text(&self) -> Option<String> {
        let text = fs::read_to_string(self.backup()).ok()?;
        let unmarked = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
        Some(unmarked.to_owned())
    }

    /// Keeps the file as it was beside it, then puts `text` in its place.
    pub(super) fn replace(&self, text: &str) -> Result<Option<PathBuf>, Error> {
        if let Some(folder) = self.target.parent() {
            create_private_folder(folder).map_err(failed("create", folder))?;
        }
        let metadata = fs::metadata(&self.target).ok();
        if metadata
            .as_ref()
            .is_some_and(|now| now.permissions().readonly())
        {
            return Err(Error::Protected {
                path: self.path.clone(),
            });
        }
        let kept = match &self.bytes {
            Some(bytes) => {
                let backup = self.backup();
                // A file with our entry in it is not worth more than the one from before it.
                if !(backup.exists() && self.text.contains(SERVER)) {
                    write(&backup, bytes, metadata.as_ref()).map_err(failed("write", &backup))?;
                }
                Some(backup)
            }
            None => None,
        };
        // The client may have saved the file in the meantime.
        if read(&self.target)? != self.bytes {
            return Err(Error::Changed {
                path: self.path.clone(),
            });
        }
        let mark = if self.marked { BYTE_ORDER_MARK } else { "" };
        write(
            &self.target,
            format!("{mark}{text}").as_bytes(),
            metadata.as_ref(),
        )
        .map_err(failed("write", &self.path))?;
        Ok(kept)
    }

    fn backup(&self) -> PathBuf {
        beside(&self.path, "", ".sf-mcp-backup")
    }
}

/// The file at the end of a chain of symbolic links, whether or not it exists.
fn followed(path: &Path) -> PathBuf {
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        let Ok(next) = fs::read_link(&at) else { break };
        at = at
            .parent()
            .map_or(next.clone(), |folder| folder.join(&next));
    }
    at
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(problem) if problem.kind() == ErrorKind::NotFound => Ok(None),
        Err(problem) => Err(failed("read", path)(problem)),
    }
}

fn not_text(path: &Path, bytes: Option<&[u8]>, valid: usize) -> Error {
    let before = bytes
        .and_then(|bytes| bytes.get(..valid))
        .unwrap_or_default();
    let before = String::from_utf8_lossy(before);
    Error::Content {
        path: path.to_owned(),
        problem: Problem::at(
            &before,
            before.len(),
            "this is not UTF-8 text; save the file as UTF-8",
        ),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        doing,
        path,
        source,
    }
}

/// A neighbour of `path`, named after it.
fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{before}{name}{after}"))
}

/// Whoever reads `path` sees the old bytes or the new ones. Mode and owner are those of `like`.
fn write(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> std::io::Result<()> {
    let draft = beside(path, ".", &format!(".sf-mcp-{}", std::process::id()));
    let written = write_draft(&draft, bytes, like).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
        return written;
    }
    // The rename itself is durable once the folder is; not every file system can say so.
    if cfg!(unix)
        && let Some(folder) = path.parent()
    {
        let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn write_draft(draft: &Path, bytes: &[u8], like: Option<&Metadata>) -> std::io::Result<()> {
    let mut file = private_file().write(true).create_new(true).open(draft)?;
    file.write_all(bytes)?;
    if let Some(like) = like {
        file.set_permissions(like.permissions())?;
        keep_owner(draft, like);
    }
    file.sync_all()
}

/// Under sudo the file stays its owner's. Anybody else owns it already and may not give it away.
#[cfg(unix)]
fn keep_owner(draft: &Path, like: &Metadata) {
    use std::os::unix::fs::MetadataExt;
    let _ = std::os::unix::fs::chown(draft, Some(like.uid()), Some(like.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &Metadata) {}
