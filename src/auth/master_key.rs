//! Where the sealing key is: the system's keychain, a key file, or the environment.
//!
//! The place is chosen once, at login, and recorded. Serving never chooses again, never falls back, and never
//! makes a new key while sealed values exist.
//!
//! A new key is first put beside the one in use. The id that is recorded with the sealed values decides which of
//! the two counts, so that a process may die at any moment.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
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
    #[error("{0} cannot be used: {1}")]
    BadEnvironment(&'static str, seal::Error),
    #[error("this file belongs to a device token that is not set here (SF_MCP_DEVICE_TOKEN)")]
    NoDevice,
    #[error(
        "what is kept here is sealed with a key made of SF_MCP_DEVICE_TOKEN, and nothing was changed; a new bundle of the \
         hosting service brings a new token and with it a new key"
    )]
    OfDevice,
    #[error("no key can be made: {0}")]
    NotMade(seal::Error),
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
    #[error(
        "the sign-in is sealed with the key in SF_MCP_KEY, which only you can change, and nothing was changed. Set a new \
         one as SF_MCP_KEY_NEXT beside it, such as `openssl rand -base64 32` prints, wherever sf-mcp runs, and repeat this"
    )]
    NoNextInEnvironment,
    #[error(
        "the sign-in is sealed with the key in SF_MCP_KEY_NEXT already; set SF_MCP_KEY to it and unset SF_MCP_KEY_NEXT"
    )]
    NextIsInUse,
}

impl Error {
    /// The place can be read but does not hold the key, so that another one may.
    fn is_about_the_key(&self) -> bool {
        !matches!(
            self,
            Self::Locked(_) | Self::Unavailable(_) | Self::TimedOut(_)
        )
    }
}

/// The two keys that a place may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    InUse,
    /// Put there by a login or a rotation that is not finished.
    Next,
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

    pub fn read_device(&self) -> Result<SealingKey, Error> {
        self.device.clone().ok_or(Error::NoDevice)
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Chooses a place for a new key, proves it by writing and reading, and puts the key there as the next one.
    pub fn choose(&self, wish: Keychain, with_a_person: bool) -> Result<Chosen, Error> {
        if let Some(key) = from_environment(Slot::InUse)? {
            return Ok(Chosen {
                place: Place::Environment,
                key,
                remark: None,
            });
        }
        let key = SealingKey::generate().map_err(Error::NotMade)?;
        let patience = if with_a_person {
            PATIENCE_WITH_A_PERSON
        } else {
            PATIENCE
        };
        let why_not = match wish {
            Keychain::Off => "as you asked".to_owned(),
            Keychain::Auto | Keychain::Required => match self.put_into_keychain(&key, patience) {
                Ok(()) => {
                    return Ok(Chosen {
                        place: Place::Keychain,
                        key,
                        remark: None,
                    });
                }
                Err(problem) if wish == Keychain::Required => return Err(problem),
                Err(Error::Unavailable(why)) => format!("no system keychain: {why}"),
                Err(problem) => problem.to_string(),
            },
        };
        self.put_into_file(&key)?;
        let remark = format!(
            "The key that protects the sign-in is in the file {}, readable by you alone ({why_not}).",
            self.file.display()
        );
        Ok(Chosen {
            place: Place::File,
            key,
            remark: Some(remark),
        })
    }

    /// Makes a key that is to replace the one with the id `old`, and puts it beside it.
    pub fn put_next(&self, place: Place, old: &str) -> Result<SealingKey, Error> {
        if place == Place::Device {
            return Err(Error::OfDevice);
        }
        if place == Place::Environment {
            let next = from_environment(Slot::Next)?.ok_or(Error::NoNextInEnvironment)?;
            return if next.id() == old {
                Err(Error::NextIsInUse)
            } else {
                Ok(next)
            };
        }
        let key = SealingKey::generate().map_err(Error::NotMade)?;
        if place == Place::Keychain {
            self.put_into_keychain(&key, PATIENCE)?;
        } else {
            self.put_into_file(&key)?;
        }
        Ok(key)
    }

    /// Puts the next key into the place of the one in use: once it is the recorded one. The user does so for variables.
    pub fn promote(&self, place: Place) -> Result<(), Error> {
        match place {
            Place::Environment | Place::Device => Ok(()),
            Place::File => paths::replace(&self.file_of(Slot::Next), &self.file)
                .map_err(|problem| self.bad_file(Slot::InUse, &problem)),
            Place::Keychain => {
                let (next, in_use) = (self.entry_of(Slot::Next), self.entry_of(Slot::InUse));
                let started = Instant::now();
                limited(PATIENCE, move || {
                    let next = keychain_entry(&next)?;
                    let key = Zeroizing::new(next.get_secret()?);
                    let in_use = keychain_entry(&in_use)?;
                    still_awaited(started, PATIENCE)?;
                    in_use.set_secret(&key)?;
                    if *in_use.get_secret().map(Zeroizing::new)? == *key {
                        still_awaited(started, PATIENCE)?;
                        next.delete_credential()?;
                    }
                    Ok(())
                })
            }
        }
    }

    /// Leaves one key, the one with that id, where a login or a rotation was cut off. Under the lock only.
    pub fn settle(&self, place: Place, id: &str) -> Result<(), Error> {
        match self.read(place, id)? {
            (key, _) if key.id() != id => Ok(()),
            (_, Slot::InUse) => self.remove_slot(place, Slot::Next),
            (_, Slot::Next) => self.promote(place),
        }
    }

    /// Whether `wish` would put a new key in that place, so that the key there may as well stay.
    pub fn suits(&self, place: Place, wish: Keychain) -> bool {
        if matches!(from_environment(Slot::InUse), Ok(None)) {
            match wish {
                Keychain::Auto => true,
                Keychain::Required => place == Place::Keychain,
                Keychain::Off => place == Place::File,
            }
        } else {
            wish == Keychain::Auto || place == Place::Environment
        }
    }

    /// Reads the key with that id, and says where it was. When there is none, returns the key in use all the same.
    pub fn read(&self, place: Place, id: &str) -> Result<(SealingKey, Slot), Error> {
        let in_use = self.read_slot(place, Slot::InUse);
        let may_be_the_next = match &in_use {
            Ok(key) => key.id() != id,
            Err(problem) => problem.is_about_the_key(),
        };
        if !may_be_the_next {
            return in_use.map(|key| (key, Slot::InUse));
        }
        if let Ok(next) = self.read_slot(place, Slot::Next)
            && next.id() == id
        {
            return Ok((next, Slot::Next));
        }
        // It may have been put into use between the two looks.
        self.read_slot(place, Slot::InUse)
            .map(|key| (key, Slot::InUse))
    }

    fn read_slot(&self, place: Place, slot: Slot) -> Result<SealingKey, Error> {
        match place {
            Place::Environment => from_environment(slot)?.ok_or(Error::NotInEnvironment),
            Place::Keychain => {
                let entry = self.entry_of(slot);
                let secret = limited(PATIENCE, move || {
                    keychain_entry(&entry)?.get_secret().map(Zeroizing::new)
                })?;
                let text = String::from_utf8_lossy(&secret);
                SealingKey::from_base64(&text).map_err(|_| Error::NotInKeychain)
            }
            Place::File => self.read_file(slot),
            Place::Device => self.read_device(),
        }
    }

    /// Forgets the keys at logout. What is already gone is no error.
    pub fn remove(&self, place: Place) -> Result<(), Error> {
        self.remove_slot(place, Slot::InUse)?;
        self.remove_slot(place, Slot::Next)
    }

    pub fn remove_slot(&self, place: Place, slot: Slot) -> Result<(), Error> {
        match place {
            Place::Environment | Place::Device => Ok(()),
            Place::Keychain => {
                let entry = self.entry_of(slot);
                let started = Instant::now();
                match limited(PATIENCE, move || {
                    let entry = keychain_entry(&entry)?;
                    still_awaited(started, PATIENCE)?;
                    entry.delete_credential()
                }) {
                    Ok(()) | Err(Error::NotInKeychain) => Ok(()),
                    Err(problem) => Err(problem),
                }
            }
            Place::File => match std::fs::remove_file(self.file_of(slot)) {
                Ok(()) => Ok(()),
                Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(problem) => Err(self.bad_file(slot, &problem)),
            },
        }
    }

    /// Writes the key and reads it back: a keychain that only says "no entry" may be a broken one.
    fn put_into_keychain(&self, key: &SealingKey, patience: Duration) -> Result<(), Error> {
        if no_session_bus() {
            return Err(Error::Unavailable("no session bus".to_owned()));
        }
        let entry = self.entry_of(Slot::Next);
        let text = key.to_base64();
        let expected = text.clone();
        let started = Instant::now();
        let read = limited(patience, move || {
            let entry = keychain_entry(&entry)?;
            match entry.get_secret().map(Zeroizing::new) {
                Ok(_) | Err(keyring::Error::NoEntry) => {}
                Err(problem) => return Err(problem),
            }
            still_awaited(started, patience)?;
            entry.set_secret(text.as_bytes())?;
            Ok(entry.get_secret().map(Zeroizing::new))
        })?;
        let problem = match read {
            Ok(read) if read.as_slice() == expected.as_bytes() => return Ok(()),
            Ok(_) => "it returned another value than it was given".to_owned(),
            Err(problem) => problem.to_string(),
        };
        let _ = self.remove_slot(Place::Keychain, Slot::Next);
        Err(Error::Unavailable(problem))
    }

    fn put_into_file(&self, key: &SealingKey) -> Result<(), Error> {
        let path = self.file_of(Slot::Next);
        let write = || {
            if let Some(folder) = path.parent() {
                paths::create_private_folder(folder)?;
            }
            let mut file = paths::private_file()
                .write(true)
                .truncate(true)
                .open(&path)?;
            file.write_all(key.to_base64().as_bytes())?;
            file.sync_all()?;
            paths::sync_folder_of(&path)
        };
        write().map_err(|problem: std::io::Error| {
            let _ = std::fs::remove_file(&path);
            self.bad_file(Slot::InUse, &problem)
        })
    }

    fn read_file(&self, slot: Slot) -> Result<SealingKey, Error> {
        let mut text = Zeroizing::new(String::new());
        let path = self.file_of(slot);
        match std::fs::File::open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => {
                SealingKey::from_base64(&text).map_err(|problem| self.bad_file(slot, &problem))
            }
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Err(Error::NoFile {
                path: path.display().to_string(),
            }),
            Err(problem) => Err(self.bad_file(slot, &problem)),
        }
    }

    fn bad_file(&self, slot: Slot, problem: &dyn std::fmt::Display) -> Error {
        Error::BadFile {
            path: self.file_of(slot).display().to_string(),
            problem: problem.to_string(),
        }
    }

    fn file_of(&self, slot: Slot) -> PathBuf {
        match slot {
            Slot::InUse => self.file.clone(),
            Slot::Next => self.file.with_added_extension("next"),
        }
    }

    fn entry_of(&self, slot: Slot) -> String {
        match slot {
            Slot::InUse => self.entry.clone(),
            Slot::Next => format!("{} (next)", self.entry),
        }
    }
}

fn from_environment(slot: Slot) -> Result<Option<SealingKey>, Error> {
    let name = match slot {
        Slot::InUse => "SF_MCP_KEY",
        Slot::Next => "SF_MCP_KEY_NEXT",
    };
    match std::env::var(name) {
        Ok(text) if !text.trim().is_empty() => {
            let text = Zeroizing::new(text);
            SealingKey::from_base64(&text)
                .map(Some)
                .map_err(|problem| Error::BadEnvironment(name, problem))
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

/// Nothing is changed in a keychain for somebody who has given up: the lock is no longer held, and another key may
/// be there by now.
fn still_awaited(started: Instant, patience: Duration) -> Result<(), keyring::Error> {
    if started.elapsed() < patience {
        return Ok(());
    }
    Err(keyring::Error::NoEntry)
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
