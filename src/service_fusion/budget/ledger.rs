//! The requests of the last minute: in memory, or in a file that all processes of a profile append to.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::paths;

const RECORD: u64 = 16;
const RECORD_BYTES: usize = 16;
/// The file is emptied above this size, and only when nothing in it counts any more.
const TRIM_ABOVE: u64 = 64 * 1024;
/// At start only the tail is read: more permits than this do not count at once.
const TAIL: u64 = 2_048 * RECORD;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Permit,
    /// Taken back by the process that wrote it.
    Void,
    /// Nobody sends before `at_ms`.
    Blocked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub count: u32,
    pub kind: Kind,
    /// The allowance the writer knew of, below 2^24: a process that starts later need not learn it again.
    pub limit: u32,
}

impl Entry {
    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.at_ms.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12] = match self.kind {
            Kind::Permit => 1,
            Kind::Void => 2,
            Kind::Blocked => 3,
        };
        bytes[13..].copy_from_slice(&self.limit.min(0xFF_FFFF).to_le_bytes()[..3]);
        bytes
    }

    /// Bytes that are no record (a torn file) count as taken back.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            at_ms: u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?),
            count: u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?),
            kind: match bytes.get(12)? {
                1 => Kind::Permit,
                3 => Kind::Blocked,
                _ => Kind::Void,
            },
            limit: u32::from_le_bytes([*bytes.get(13)?, *bytes.get(14)?, *bytes.get(15)?, 0]),
        })
    }
}

/// Where entries are kept.
#[derive(Debug)]
pub enum Ledger {
    Memory,
    /// Opened at the first permit: a start must not touch the disk for it.
    Unopened(PathBuf),
    Shared {
        appender: File,
        /// A second handle, because on Linux a positioned write through an appending one appends too.
        editor: File,
        read_to: u64,
    },
}

impl Ledger {
    /// Counts this process alone.
    pub fn memory() -> Self {
        Self::Memory
    }

    /// The profile's file, opened or created when the first entry is looked for.
    pub fn lazy(path: PathBuf) -> Self {
        Self::Unopened(path)
    }

    /// Opens what is to be opened. Where that fails (a read-only home), this process counts alone.
    fn ready(&mut self) {
        if let Self::Unopened(path) = self {
            *self = Self::open(path).unwrap_or_else(|problem| {
                tracing::warn!(path = %path.display(), %problem, "requests cannot be counted together with other processes");
                Self::Memory
            });
        }
    }

    /// Opens or creates the profile's file.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            paths::create_private_folder(folder)?;
        }
        let appender = paths::private_file().append(true).open(path)?;
        let editor = File::options().read(true).write(true).open(path)?;
        let mut length = editor.metadata()?.len();
        if length % RECORD != 0 {
            // Not ours, or torn by a full disk: a new record must stand on a record's border.
            editor.set_len(0)?;
            length = 0;
        }
        let mut ledger = Self::Shared {
            appender,
            editor,
            read_to: (length / RECORD * RECORD).saturating_sub(TAIL),
        };
        if length > TRIM_ABOVE {
            ledger.trim();
        }
        Ok(ledger)
    }

    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }

    /// Appends an entry and returns its place. A full disk must not stop work: then only this process counts it.
    pub fn append(&mut self, entry: Entry) -> u64 {
        let Self::Shared { appender, .. } = self else {
            return 0;
        };
        let written = appender
            .write_all(&entry.to_bytes())
            .and_then(|()| appender.stream_position());
        match written {
            Ok(end) => end.saturating_sub(RECORD),
            Err(problem) => {
                tracing::warn!(%problem, "the request ledger cannot be written; other processes do not see this request");
                u64::MAX
            }
        }
    }

    pub fn void(&mut self, place: u64) {
        let Self::Shared { editor, .. } = self else {
            return;
        };
        let void = Entry {
            at_ms: 0,
            count: 0,
            kind: Kind::Void,
            limit: 0,
        };
        // Failing leaves one permit unused for a minute, which harms nobody.
        let _ = editor
            .seek(SeekFrom::Start(place))
            .and_then(|_| editor.write_all(&void.to_bytes()));
    }

    /// Lets the next look begin far enough back to see what was taken back meanwhile.
    pub fn look_back(&mut self) {
        if let Self::Shared { read_to, .. } = self {
            *read_to = read_to.saturating_sub(TAIL);
        }
    }

    /// Adds what other processes have appended since the last look.
    pub fn read_new(&mut self, into: &mut VecDeque<Entry>) {
        self.ready();
        into.extend(self.read_until(u64::MAX));
    }

    /// What stands between the last look and this process's own record at `place`; the look ends after it.
    pub fn read_before(&mut self, place: u64) -> Vec<Entry> {
        if place == u64::MAX {
            return Vec::new();
        }
        let entries = self.read_until(place);
        if let Self::Shared { read_to, .. } = self {
            *read_to = (*read_to).max(place + RECORD);
        }
        entries
    }

    fn read_until(&mut self, end: u64) -> Vec<Entry> {
        let Self::Shared {
            editor, read_to, ..
        } = self
        else {
            return Vec::new();
        };
        let mut bytes = Vec::new();
        let wanted = end.saturating_sub(*read_to);
        if wanted == 0 {
            return Vec::new();
        }
        let length = editor.metadata().map_or(0, |metadata| metadata.len());
        if length < *read_to {
            // Another process has emptied the file.
            *read_to = 0;
        }
        if length == *read_to {
            return Vec::new();
        }
        let read = editor
            .seek(SeekFrom::Start(*read_to))
            .and_then(|_| editor.take(wanted).read_to_end(&mut bytes));
        if read.is_err() {
            return Vec::new();
        }
        let whole = bytes.len() as u64 / RECORD * RECORD;
        *read_to += whole;
        bytes
            .chunks_exact(RECORD_BYTES)
            .filter_map(Entry::from_bytes)
            .collect()
    }

    /// Empties the file when its newest entry is hours old.
    fn trim(&mut self) {
        const IDLE_MS: u64 = 3_600_000;
        let newest = self
            .read_until(u64::MAX)
            .iter()
            .map(|entry| entry.at_ms)
            .max();
        if let Self::Shared {
            editor, read_to, ..
        } = self
        {
            if newest.is_some_and(|newest| newest + IDLE_MS < super::now_ms())
                && editor.set_len(0).is_ok()
            {
                *read_to = 0;
            } else {
                *read_to = read_to.saturating_sub(TAIL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_long_file_is_emptied_and_a_live_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.log");
        let long = |at_ms: u64| {
            let entry = Entry {
                at_ms,
                count: 1,
                kind: Kind::Permit,
                limit: 60,
            };
            std::fs::write(&path, entry.to_bytes().repeat(5_000)).unwrap();
            drop(Ledger::open(&path).unwrap());
            std::fs::metadata(&path).unwrap().len()
        };

        assert_eq!(long(1_000), 0);
        assert_eq!(long(super::super::now_ms()), 80_000);
    }

    #[test]
    fn a_torn_or_foreign_file_is_no_permit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.log");
        std::fs::write(&path, b"not a ledger at all, and of an odd length").unwrap();

        let mut entries = VecDeque::new();
        Ledger::open(&path).unwrap().read_new(&mut entries);

        assert!(entries.iter().all(|entry| entry.kind == Kind::Void));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_readable_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile").join("requests.log");

        drop(Ledger::open(&path).unwrap());

        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }
}
