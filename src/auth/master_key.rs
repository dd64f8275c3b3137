//! Where the sealing key is: the system's keychain, a key file, or the environment.
//!
//! The place is chosen once, at login, and recorded. Serving never chooses again, never falls back, and never
//! makes a new key while sealed values exist.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    paths::{self, Paths},
    seal::{self, SealingKey},
};

/// How long a keychain may take to answer a program.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take while a person may be answering its unlock prompt.
const PATIENCE_WITH_A_PERSON: Duration = Duration::from_mins(1);
const SERVICE: &str = "sf-mcp";

/// What the user wants of the keychain (`SF_MCP_KEYCHAIN`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Keychain {
    /// The keychain where there is one, else a key file.
    #[default]
    Auto,
    /// The keychain or nothing.
    Required,
    /// A key file.
    Off,
}

/// Where the key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Environment,
    Keychain,
    File,
    /// Made of the device token in the environment.
    Device,
}

impl Place {
    /// As it is recorded.
    pub fn word(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Keychain => "keychain",
            Self::File => "file",
            Self::Device => "device token",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Environment, Self::Keychain, Self::File, Self::Device]
            .into_iter()
            .find(|place| place.word() == word)
    }
}

/// Why the key cannot be had; each is mended in another way.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the sign-in is sealed with a key from SF_MCP_KEY, which is not set here; set it as it was at `sf-mcp login`"
    )]
    NotInEnvironment,
    #[error("SF_MCP_KEY cannot be used: {0}")]
    BadEnvironment(seal::Error),
    #[error("this file belongs to a device token that is not set here (SF_MCP_DEVICE_TOKEN)")]
    NoDevice,
    #[error(
        "the system's keychain holds no key of sf-mcp any more; sign in again with `sf-mcp login`"
    )]
    NotInKeychain,
    #[error(
        "the system's keychain is locked or refuses access ({0}); unlock it and try again, or run `sf-mcp login --keychain off` to use a key file"
    )]
    Locked(String),
    #[error(
        "the system's keychain cannot be reached ({0}); start it, or run `sf-mcp login --keychain off` to use a key file"
    )]
    Unavailable(String),
    #[error(
        "the system's keychain did not answer within {0} s; unlock it and try again, or run `sf-mcp login --keychain off` to use a key file"
    )]
    TimedOut(u64),
    #[error("the key file {path} is missing; restore it, or sign in again with `sf-mcp login`")]
    NoFile { path: String },
    #[error("the key file {path} cannot be used: {problem}")]
    BadFile { path: String, problem: String },
}

/// The places of one profile.
#[derive(Clone, Debug)]
pub struct Places {
    file: PathBuf,
    /// The keychain knows one `sf-mcp`; profiles and homes are told apart by the entry's user.
    entry: String,
    /// The key of a device token from the environment.
    device: Option<SealingKey>,
}

/// A key and where it is kept, with the reason where that is not the keychain.
#[derive(Debug)]
pub struct Chosen {
    pub place: Place,
    pub key: SealingKey,
    pub remark: Option<String>,
    pub before: Before,
}

/// What was in a key's place before it.
#[derive(Debug)]
pub enum Before {
    /// Nothing was written there.
    Unchanged,
    Nothing,
    /// Perhaps a key, perhaps something else.
    Bytes(Zeroizing<Vec<u8>>),
}

impl Before {
    fn of(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::Nothing, |bytes| Self::Bytes(Zeroizing::new(bytes)))
    }
}

impl Places {
    pub fn new(paths: &Paths) -> Self {
        Self {
            file: paths.key_file(),
            entry: paths.profile_folder().display().to_string(),
            device: None,
        }
    }

    /// The same for what is kept for a device token from the environment.
    #[must_use]
    pub fn with_device(self, key: SealingKey) -> Self {
        Self {
            device: Some(key),
            ..self
        }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Chooses a place for a new key, proves it by writing and reading, and puts the key there.
    pub fn choose(&self, wish: Keychain, with_a_person: bool) -> Result<Chosen, Error> {
        if let Some(key) = from_environment()? {
            return Ok(Chosen {
                place: Place::Environment,
                key,
                remark: None,
                before: Before::Unchanged,
            });
        }
        let key = SealingKey::generate().map_err(Error::BadEnvironment)?;
        let patience = if with_a_person {
            PATIENCE_WITH_A_PERSON
        } else {
            PATIENCE
        };
        let why_not = match wish {
            Keychain::Off => "as you asked".to_owned(),
            Keychain::Auto | Keychain::Required => match self.put_into_keychain(&key, patience) {
                Ok(before) => {
                    return Ok(Chosen {
                        place: Place::Keychain,
                        key,
                        remark: None,
                        before,
                    });
                }
                Err(problem) if wish == Keychain::Required => return Err(problem),
                Err(Error::Unavailable(why)) => format!("no system keychain: {why}"),
                Err(problem) => problem.to_string(),
            },
        };
        let before = Before::of(std::fs::read(&self.file).ok());
        if let Err(problem) = self.write_file(key.to_base64().as_bytes()) {
            let _ = self.put_back(Place::File, before);
            return Err(problem);
        }
        let remark = format!(
            "The key that protects the sign-in is in the file {}, readable by you alone ({why_not}).",
            self.file.display()
        );
        Ok(Chosen {
            place: Place::File,
            key,
            remark: Some(remark),
            before,
        })
    }

    /// Puts what was there before back where a new key was put for nothing.
    pub fn put_back(&self, place: Place, before: Before) -> Result<(), Error> {
        match (place, before) {
            (_, Before::Unchanged) | (Place::Environment | Place::Device, _) => Ok(()),
            (place, Before::Nothing) => self.remove(place),
            (Place::File, Before::Bytes(bytes)) => self.write_file(&bytes),
            (Place::Keychain, Before::Bytes(bytes)) => {
                let entry = self.entry.clone();
                limited(PATIENCE, move || keychain_entry(&entry)?.set_secret(&bytes))
            }
        }
    }

    /// Whether `wish` would put a new key in that place, so that the key there may as well stay.
    pub fn suits(&self, place: Place, wish: Keychain) -> bool {
        if matches!(from_environment(), Ok(None)) {
            match wish {
                Keychain::Auto => true,
                Keychain::Required => place == Place::Keychain,
                Keychain::Off => place == Place::File,
            }
        } else {
            wish == Keychain::Auto || place == Place::Environment
        }
    }

    /// Reads the key from its recorded place.
    pub fn read(&self, place: Place) -> Result<SealingKey, Error> {
        match place {
            Place::Environment => from_environment()?.ok_or(Error::NotInEnvironment),
            Place::Keychain => {
                let entry = self.entry.clone();
                let secret = limited(PATIENCE, move || {
                    keychain_entry(&entry)?.get_secret().map(Zeroizing::new)
                })?;
                let text = String::from_utf8_lossy(&secret);
                SealingKey::from_base64(&text).map_err(|_| Error::NotInKeychain)
            }
            Place::File => self.read_file(),
            Place::Device => self.device.clone().ok_or(Error::NoDevice),
        }
    }

    /// Forgets the key at logout. What is already gone is no error.
    pub fn remove(&self, place: Place) -> Result<(), Error> {
        match place {
            Place::Environment | Place::Device => Ok(()),
            Place::Keychain => {
                let entry = self.entry.clone();
                match limited(PATIENCE, move || {
                    keychain_entry(&entry)?.delete_credential()
                }) {
                    Ok(()) | Err(Error::NotInKeychain) => Ok(()),
                    Err(problem) => Err(problem),
                }
            }
            Place::File => match std::fs::remove_file(&self.file) {
                Ok(()) => Ok(()),
                Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(problem) => Err(self.bad_file(&problem)),
            },
        }
    }

    /// Writes the key and reads it back: a keychain that only says "no entry" may be a broken one.
    fn put_into_keychain(&self, key: &SealingKey, patience: Duration) -> Result<Before, Error> {
        if no_session_bus() {
            return Err(Error::Unavailable("no session bus".to_owned()));
        }
        let entry = self.entry.clone();
        let text = key.to_base64();
        let expected = text.clone();
        let started = std::time::Instant::now();
        let (before, read) = limited(patience, move || {
            let entry = keychain_entry(&entry)?;
            let before = match entry.get_secret() {
                Ok(bytes) => Some(bytes),
                Err(keyring::Error::NoEntry) => None,
                Err(problem) => return Err(problem),
            };
            if started.elapsed() >= patience {
                // Nobody waits any more: the key has gone elsewhere.
                return Err(keyring::Error::NoEntry);
            }
            entry.set_secret(text.as_bytes())?;
            let read = entry.get_secret().map(Zeroizing::new);
            Ok((Before::of(before), read))
        })?;
        let read = match read {
            Ok(read) if read.as_slice() == expected.as_bytes() => return Ok(before),
            read => read,
        };
        let _ = self.put_back(Place::Keychain, before);
        if let Err(problem) = read {
            return Err(Error::Unavailable(problem.to_string()));
        }
        Err(Error::Unavailable(
            "it returned another value than it was given".to_owned(),
        ))
    }

    fn write_file(&self, bytes: &[u8]) -> Result<(), Error> {
        let write = || {
            if let Some(folder) = self.file.parent() {
                paths::create_private_folder(folder)?;
            }
            let mut file = paths::private_file()
                .write(true)
                .truncate(true)
                .open(&self.file)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|problem: std::io::Error| self.bad_file(&problem))
    }

    fn read_file(&self) -> Result<SealingKey, Error> {
        let mut text = Zeroizing::new(String::new());
        match std::fs::File::open(&self.file).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => SealingKey::from_base64(&text).map_err(|problem| self.bad_file(&problem)),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Err(Error::NoFile {
                path: self.file.display().to_string(),
            }),
            Err(problem) => Err(self.bad_file(&problem)),
        }
    }

    fn bad_file(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::BadFile {
            path: self.file.display().to_string(),
            problem: problem.to_string(),
        }
    }
}

fn from_environment() -> Result<Option<SealingKey>, Error> {
    match std::env::var("SF_MCP_KEY") {
        Ok(text) if !text.trim().is_empty() => {
            let text = Zeroizing::new(text);
            SealingKey::from_base64(&text)
                .map(Some)
                .map_err(Error::BadEnvironment)
        }
        _ => Ok(None),
    }
}

/// On Linux a keychain needs a session bus; without one there is no point in waiting for it.
fn no_session_bus() -> bool {
    if !cfg!(target_os = "linux") {
        return false;
    }
    let socket = std::env::var_os("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("bus"));
    std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none()
        && !socket.is_some_and(|socket| socket.exists())
}

/// Runs a keychain call on a thread of its own and gives up waiting after `patience`: some never return.
fn limited<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> Result<T, keyring::Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(work());
    });
    match receiver.recv_timeout(patience) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(keyring::Error::NoEntry)) => Err(Error::NotInKeychain),
        Ok(Err(keyring::Error::NoStorageAccess(problem))) => {
            Err(Error::Locked(problem.to_string()))
        }
        Ok(Err(problem)) => Err(Error::Unavailable(problem.to_string())),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(Error::TimedOut(patience.as_secs())),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(Error::Unavailable("it failed unexpectedly".to_owned()))
        }
    }
}

/// An entry of the system's keychain. On Linux the connection is made anew each time: a kept one is of no use
/// once the keychain has been restarted or unlocked, and costs three threads.
fn keychain_entry(user: &str) -> Result<keyring_core::Entry, keyring::Error> {
    #[cfg(target_os = "linux")]
    keyring_core::set_default_store(zbus_secret_service_keyring_store::Store::new()?);
    #[cfg(not(target_os = "linux"))]
    if let Err(problem) = keyring::Entry::store_status() {
        return Err(keyring::Error::NotSupportedByStore(problem.to_string()));
    }
    let entry = keyring_core::Entry::new(SERVICE, user);
    #[cfg(target_os = "linux")]
    keyring_core::unset_default_store();
    entry
}
