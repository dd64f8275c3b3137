//! The key under which all others are sealed. It is in memory, in the operator's hands, and nowhere in the database.

use std::{io::Write, path::Path};

use sf_mcp::{
    paths,
    seal::{self, SealingKey},
};
use zeroize::Zeroizing;

use crate::config::{Config, variable};

/// The current master key and those before it, while a rotation is under way.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    current: SealingKey,
    old: Vec<SealingKey>,
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "there is no master key: set SF_SUPERVISOR_MASTER_KEY or SF_SUPERVISOR_MASTER_KEY_FILE to 32 bytes in base64, \
         such as `openssl rand -base64 32` prints, and keep a copy where no backup of the database lies"
    )]
    Missing,
    #[error("the master key in {place} cannot be used: {source}")]
    Bad { place: String, source: seal::Error },
    #[error("the master key file {path} cannot be read or written: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
}

impl MasterKeys {
    pub fn new(current: SealingKey, old: Vec<SealingKey>) -> Self {
        Self { current, old }
    }

    /// From the environment, else the file that the settings name, else systemd's credential, else, with `--dev`
    /// only, a file that is made once. `SF_SUPERVISOR_MASTER_KEY_OLD` holds former keys, separated by commas.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let old = match variable("SF_SUPERVISOR_MASTER_KEY_OLD") {
            Some(list) => list
                .split(',')
                .map(|text| key(text, "SF_SUPERVISOR_MASTER_KEY_OLD"))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        Ok(Self::new(current(config)?, old))
    }

    /// What new values are sealed under.
    pub fn current(&self) -> &SealingKey {
        &self.current
    }

    /// The key with that id, current or former.
    pub fn with_id(&self, id: &str) -> Option<&SealingKey> {
        std::iter::once(&self.current)
            .chain(&self.old)
            .find(|key| key.id() == id)
    }

    /// The ids of all of them, the current one first.
    pub fn ids(&self) -> Vec<String> {
        let all = std::iter::once(&self.current).chain(&self.old);
        all.map(SealingKey::id).collect()
    }

    /// What is stored of a one-time code: without the master key a stored hash of six digits gives nothing away.
    pub fn code_hash(&self, email: &str, code: &str) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let key = self.current.derive("sf-supervisor one-time codes");
        URL_SAFE_NO_PAD.encode(key.hash(format!("{email}\n{code}").as_bytes()))
    }
}

fn current(config: &Config) -> Result<SealingKey, Error> {
    if let Some(text) = variable("SF_SUPERVISOR_MASTER_KEY") {
        return key(&Zeroizing::new(text), "SF_SUPERVISOR_MASTER_KEY");
    }
    if let Some(file) = &config.master_key_file {
        return read(file);
    }
    if let Some(folder) = variable("CREDENTIALS_DIRECTORY") {
        let file = Path::new(&folder).join("sf-supervisor-master-key");
        if file.exists() {
            return read(&file);
        }
    }
    if config.dev {
        return made_once(&config.state_folder.join("master.key"));
    }
    Err(Error::Missing)
}

fn key(text: &str, place: &str) -> Result<SealingKey, Error> {
    SealingKey::from_base64(text).map_err(|source| Error::Bad {
        place: place.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<SealingKey, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.display().to_string(),
        source,
    })?;
    key(&Zeroizing::new(text), &path.display().to_string())
}

/// For development: the key lies beside the database, which protects nothing and says so by its folder's name.
fn made_once(path: &Path) -> Result<SealingKey, Error> {
    if path.exists() {
        return read(path);
    }
    let describe = |source| Error::File {
        path: path.display().to_string(),
        source,
    };
    let made = SealingKey::generate().map_err(|source| Error::Bad {
        place: path.display().to_string(),
        source,
    })?;
    if let Some(folder) = path.parent() {
        paths::create_private_folder(folder).map_err(describe)?;
    }
    let mut file = paths::private_file()
        .write(true)
        .open(path)
        .map_err(describe)?;
    file.write_all(made.to_base64().as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(describe)?;
    Ok(made)
}
