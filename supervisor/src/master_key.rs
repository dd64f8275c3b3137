//! The key under which all others are sealed. It is in memory, in the operator's hands, and nowhere in the database.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use sf_mcp::{
    paths,
    seal::{self, SealingKey},
};
use zeroize::Zeroizing;

use crate::config::{Config, variable};

/// The key that `--dev` makes, in its folder.
pub const DEV_FILE: &str = "master.key";
const VARIABLE: &str = "SF_SUPERVISOR_MASTER_KEY";
const CREDENTIAL: &str = "sf-supervisor-master-key";

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
        "there is no master key: set SF_SUPERVISOR_MASTER_KEY to what `sf-supervisor keys generate` prints, or \
         SF_SUPERVISOR_MASTER_KEY_FILE to a file with it, and keep a copy where no backup of the database lies"
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
    /// only, a file that is made once. Former keys come separated by commas or lines, from
    /// `SF_SUPERVISOR_MASTER_KEY_OLD`, the file that `SF_SUPERVISOR_MASTER_KEY_OLD_FILE` names, or systemd's credential
    /// `sf-supervisor-master-key-old`.
    pub fn load(config: &Config) -> Result<Self, Error> {
        Ok(Self::new(current(config)?, former()?))
    }

    /// Those that a command is given beside a serving process, if any; none is made.
    pub fn given(file: Option<&Path>) -> Result<Option<Self>, Error> {
        let current = named(file)?;
        current
            .map(|current| Ok(Self::new(current, former()?)))
            .transpose()
    }

    /// What new values are sealed under once the database is marked with it.
    pub fn current(&self) -> &SealingKey {
        &self.current
    }

    /// The key with that id, current or former.
    pub fn with_id(&self, id: &str) -> Option<&SealingKey> {
        self.all().find(|key| key.id() == id)
    }

    /// All of them, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.current).chain(&self.old)
    }

    pub fn ids(&self) -> Vec<String> {
        self.all().map(SealingKey::id).collect()
    }
}

/// What is stored of a one-time code: without the master key a stored hash of six digits gives nothing away.
pub fn code_hash(master: &SealingKey, email: &str, code: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let key = master.derive("sf-supervisor one-time codes");
    URL_SAFE_NO_PAD.encode(key.hash(format!("{email}\n{code}").as_bytes()))
}

impl MasterKeys {
    /// What a form of a signed-in browser carries, for this browser and this request alone.
    pub fn form_token(&self, browser: &str, request: &str) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let key = self.current.derive("sf-supervisor forms");
        URL_SAFE_NO_PAD.encode(key.hash(format!("{browser}\n{request}").as_bytes()))
    }
}

/// Whether a master key is set somewhere; it may still be no key.
pub fn is_named(file: Option<&Path>) -> bool {
    variable(VARIABLE).is_some() || file.is_some() || credential(CREDENTIAL).is_some()
}

fn named(file: Option<&Path>) -> Result<Option<SealingKey>, Error> {
    if let Some(text) = variable(VARIABLE) {
        return key(&Zeroizing::new(text), VARIABLE).map(Some);
    }
    let file = file.map(Path::to_owned);
    let file = file.or_else(|| credential(CREDENTIAL));
    file.map(|file| read(&file)).transpose()
}

fn current(config: &Config) -> Result<SealingKey, Error> {
    match named(config.master_key_file.as_deref())? {
        Some(key) => Ok(key),
        None if config.dev => made_once(&config.state_folder.join(DEV_FILE)),
        None => Err(Error::Missing),
    }
}

fn former() -> Result<Vec<SealingKey>, Error> {
    const OLD: &str = "SF_SUPERVISOR_MASTER_KEY_OLD";
    if let Some(list) = variable(OLD) {
        return keys(&Zeroizing::new(list), OLD);
    }
    let named = variable("SF_SUPERVISOR_MASTER_KEY_OLD_FILE").map(PathBuf::from);
    match named.or_else(|| credential("sf-supervisor-master-key-old")) {
        Some(file) => keys(&text_of(&file)?, &file.display().to_string()),
        None => Ok(Vec::new()),
    }
}

/// A file that systemd hands to the service, when it does.
fn credential(name: &str) -> Option<PathBuf> {
    let file = Path::new(&variable("CREDENTIALS_DIRECTORY")?).join(name);
    file.exists().then_some(file)
}

fn keys(list: &str, place: &str) -> Result<Vec<SealingKey>, Error> {
    list.split([',', '\n'])
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| key(text, place))
        .collect()
}

fn key(text: &str, place: &str) -> Result<SealingKey, Error> {
    SealingKey::from_base64(text).map_err(|source| Error::Bad {
        place: place.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<SealingKey, Error> {
    key(&text_of(path)?, &path.display().to_string())
}

fn text_of(path: &Path) -> Result<Zeroizing<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.display().to_string(),
        source,
    })?;
    Ok(Zeroizing::new(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_keys_come_as_a_list() {
        let made = [(); 2].map(|()| SealingKey::generate().unwrap());
        let [one, other] = made.each_ref().map(|key| key.to_base64().to_string());
        for list in [format!("{one},{other}"), format!("{one}\n{other}\n")] {
            let read: Vec<_> = keys(&list, "here")
                .unwrap()
                .iter()
                .map(SealingKey::id)
                .collect();
            assert_eq!(read, made.each_ref().map(SealingKey::id));
        }
        let problem = keys("short", "SF_SUPERVISOR_MASTER_KEY_OLD").unwrap_err();
        assert!(problem.to_string().contains("SF_SUPERVISOR_MASTER_KEY_OLD"));
        assert!(!problem.to_string().contains("short"));
    }
}
