//! Settings: a flag wins over its environment variable, that over `config.toml`, that over the default.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jiff::{civil::DateTime, tz::TimeZone};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{clock::Clock, origin, paths::Paths, told_zone};

/// The origin of the real thing.
pub const SERVICE_FUSION: &str = "https://api.servicefusion.com";

/// What may be set on the command line or by the environment.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Which company on this machine.
    #[arg(long, env = "SF_MCP_PROFILE", global = true, value_name = "NAME")]
    pub profile: Option<String>,

    /// Use the built-in sandbox company instead of Service Fusion: no account, no network.
    #[arg(long, global = true)]
    pub demo: bool,

    /// Leave out every tool that creates something.
    #[arg(long, env = "SF_MCP_READ_ONLY", global = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub read_only: Option<bool>,

    /// Which tools to offer: core, dispatch, extra, or all (comma list).  [default: core,dispatch]
    #[arg(
        long,
        env = "SF_MCP_TOOLSETS",
        global = true,
        value_name = "LIST",
        value_delimiter = ','
    )]
    pub toolsets: Option<Vec<String>>,

    /// The company's time zone, such as America/Chicago.  [default: this machine's]
    #[arg(long, env = "SF_MCP_TIME_ZONE", global = true, value_name = "ZONE")]
    pub time_zone: Option<String>,

    /// Longest answer of a tool, in bytes of text.  [default: 24000]
    #[arg(long, env = "SF_MCP_MAX_ANSWER", global = true, value_name = "BYTES")]
    pub max_answer: Option<usize>,

    /// Longest time a tool call may take, in seconds.  [default: 240]
    #[arg(long, env = "SF_MCP_TIMEOUT", global = true, value_name = "SECONDS",
          allow_negative_numbers = true, value_parser = seconds)]
    pub timeout: Option<u64>,

    /// What to log on stderr: error, warn, info, debug or trace.  [default: warn]
    #[arg(long, env = "SF_MCP_LOG", global = true, value_name = "LEVEL")]
    pub log: Option<String>,

    /// Service Fusion's origin; plain http only for loopback.  [default: `https://api.servicefusion.com`]
    #[arg(long, env = "SF_MCP_API_URL", global = true, value_name = "URL")]
    pub api_url: Option<String>,

    /// One folder that replaces the platform's config and state folders.
    #[arg(long, env = "SF_MCP_HOME", global = true, value_name = "FOLDER")]
    pub home: Option<PathBuf>,

    // Set by `serve --hosted`.
    #[arg(skip)]
    pub hosted: bool,

    // For tests: the moment at which the clock starts, in the company's zone.
    #[arg(long, env = "SF_MCP_NOW", global = true, hide = true)]
    pub now: Option<String>,

    // For tests: the window in which the 60 requests count, in milliseconds.
    #[arg(long, env = "SF_MCP_RATE_WINDOW_MS", global = true, hide = true)]
    pub rate_window_ms: Option<u64>,

    // For tests: the time between two batches of usage events, in milliseconds.
    #[arg(long, env = "SF_MCP_USAGE_EVERY_MS", global = true, hide = true)]
    pub usage_every_ms: Option<u64>,
}

/// The same settings as `config.toml` spells them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    read_only: Option<bool>,
    toolsets: Option<Vec<String>>,
    time_zone: Option<String>,
    max_answer: Option<usize>,
    timeout: Option<u64>,
    log: Option<String>,
    api_url: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} is `{value}`, but {accepted}")]
    Value {
        name: &'static str,
        value: String,
        accepted: String,
    },
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
    #[error(
        "{path}: {}. Correct it there; texts stand in quotes, as in time_zone = \"America/Chicago\"",
        .problem.trim_end()
    )]
    Content { path: PathBuf, problem: String },
}

/// A group of tools that is offered or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolset {
    Core,
    Dispatch,
    Extra,
}

/// Settings with everything decided.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own that people know by its name"
)]
pub struct Config {
    pub profile: String,
    pub demo: bool,
    /// A hosting service started this process: it reads no file and keeps none.
    pub hosted: bool,
    pub read_only: bool,
    pub toolsets: Vec<Toolset>,
    pub clock: Clock,
    /// By a flag, a variable or `config.toml`.
    pub is_zone_set: bool,
    pub max_answer: usize,
    pub timeout: Duration,
    pub log: String,
    pub api_url: String,
    pub rate_window: Duration,
    pub usage_every: Duration,
    /// `None` where the platform names no home folder: then nothing is kept between runs.
    pub paths: Option<Paths>,
    pub set_now: Option<jiff::Timestamp>,
}

/// Credentials from the environment, for containers. They are never written anywhere.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: SecretString,
}

impl Credentials {
    /// `SF_MCP_CLIENT_ID` and `SF_MCP_CLIENT_SECRET`, when both are set.
    pub fn from_environment() -> Option<Self> {
        let client_id = read_variable("SF_MCP_CLIENT_ID")?;
        let client_secret = read_variable("SF_MCP_CLIENT_SECRET")?.into();
        Some(Self {
            client_id,
            client_secret,
        })
    }
}

/// A device of a hosting service, as bundles set it in the environment: no login is needed then.
#[derive(Clone, Debug)]
pub struct Device {
    /// The service's origin.
    pub supervisor: String,
    pub token: SecretString,
}

impl Device {
    /// `SF_MCP_SUPERVISOR_URL` and `SF_MCP_DEVICE_TOKEN`, when both are set. One alone is a mistake.
    pub fn from_environment() -> Result<Option<Self>, Error> {
        const URL: &str = "SF_MCP_SUPERVISOR_URL";
        const TOKEN: &str = "SF_MCP_DEVICE_TOKEN";
        let half = |set: &'static str, missing: &str| Error::Value {
            name: set,
            value: "set".to_owned(),
            accepted: format!("{missing} is not; a bundle sets both"),
        };
        match (read_variable(URL), read_variable(TOKEN)) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(half(URL, TOKEN)),
            (None, Some(_)) => Err(half(TOKEN, URL)),
            (Some(url), Some(token)) => Ok(Some(Self {
                supervisor: origin::checked_service(url.trim()).map_err(|accepted| {
                    Error::Value {
                        name: URL,
                        value: url,
                        accepted: accepted.to_owned(),
                    }
                })?,
                token: token.trim().to_owned().into(),
            })),
        }
    }
}

/// An unset optional field of an MCPB bundle arrives as the literal text `${user_config.KEY}`.
fn read_variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty() && !value.starts_with("${user_config."))
}

impl Settings {
    /// The same where `config.toml` cannot be used.
    pub fn resolve_without_file(self) -> Result<Config, Error> {
        self.decide(|_| Ok(File::default()))
    }

    /// Reads `config.toml` and decides every setting.
    pub fn resolve(self) -> Result<Config, Error> {
        self.decide(read_file)
    }

    fn decide(self, read: impl FnOnce(&Paths) -> Result<File, Error>) -> Result<Config, Error> {
        let profile = self.profile.unwrap_or_else(|| "default".to_owned());
        check_profile(&profile)?;
        check_home(self.home.as_deref())?;
        let paths = Paths::new(self.home.as_deref(), &profile).filter(|_| !self.hosted);
        let file = paths.as_ref().map_or_else(|| Ok(File::default()), read)?;

        let zone = self.time_zone.or(file.time_zone);
        let unnamed = if self.demo {
            Some(DEMO_ZONE.to_owned())
        } else {
            paths.as_ref().and_then(told)
        };
        let is_zone_set = zone.is_some();
        let clock = clock(zone.as_deref(), self.now.as_deref(), unnamed)?;
        let url = self
            .api_url
            .or(file.api_url)
            .unwrap_or_else(|| SERVICE_FUSION.to_owned());
        Ok(Config {
            profile,
            demo: self.demo,
            hosted: self.hosted,
            read_only: self.read_only.or(file.read_only).unwrap_or(false),
            toolsets: toolsets(self.toolsets.or(file.toolsets))?,
            set_now: self.now.is_some().then(|| clock.timestamp()),
            clock,
            is_zone_set,
            max_answer: max_answer(self.max_answer.or(file.max_answer))?,
            timeout: timeout(self.timeout.or(file.timeout))?,
            log: self.log.or(file.log).unwrap_or_else(|| "warn".to_owned()),
            api_url: api_url(&url)?,
            rate_window: Duration::from_millis(self.rate_window_ms.unwrap_or(60_000)),
            usage_every: Duration::from_millis(self.usage_every_ms.unwrap_or(10_000)),
            paths,
        })
    }
}

fn read_file(paths: &Paths) -> Result<File, Error> {
    let path = paths.config_file();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => {
            return Ok(File::default());
        }
        Err(problem) => {
            return Err(Error::File {
                path,
                problem: problem.to_string(),
            });
        }
    };
    toml::from_str(&text).map_err(|problem| Error::Content {
        path,
        problem: problem.to_string(),
    })
}

/// A profile names a folder, so it may hold nothing that leaves the folder above.
fn check_profile(profile: &str) -> Result<(), Error> {
    let usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !profile.is_empty() && profile.len() <= 64 && profile.chars().all(usual) {
        return Ok(());
    }
    Err(Error::Value {
        name: "the profile",
        value: profile.to_owned(),
        accepted: "a profile is 1 to 64 letters, digits, `-` or `_`".to_owned(),
    })
}

fn check_home(home: Option<&Path>) -> Result<(), Error> {
    match home {
        Some(home) if home.is_file() => Err(Error::Value {
            name: "SF_MCP_HOME",
            value: home.display().to_string(),
            accepted: "it must be a folder, and that is a file".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The sandbox company sits in Dallas; its day should look like one there.
const DEMO_ZONE: &str = "America/Chicago";

/// What the hosting service of the profile's login has told, unless the environment names another sign-in.
fn told(paths: &Paths) -> Option<String> {
    let is_other = ["SF_MCP_CLIENT_ID", "SF_MCP_DEVICE_TOKEN"];
    if is_other.iter().any(|name| read_variable(name).is_some()) {
        return None;
    }
    told_zone::read(&paths.told_zone())
}

/// `unnamed` is the zone where nobody has set one; without it, this machine's.
fn clock(zone: Option<&str>, now: Option<&str>, unnamed: Option<String>) -> Result<Clock, Error> {
    let unnamed = Clock::system(unnamed);
    let zone = match zone {
        None if now.is_none() => return Ok(unnamed),
        None => unnamed.zone().clone(),
        Some(name) => TimeZone::get(name).map_err(|_| Error::Value {
            name: "the time zone",
            value: name.to_owned(),
            accepted: "it must be an IANA name such as `America/Chicago` or `America/New_York`"
                .to_owned(),
        })?,
    };
    let set = now.map(|at| moment(at, &zone)).transpose()?;
    Ok(Clock::new(zone, set))
}

fn moment(text: &str, zone: &TimeZone) -> Result<jiff::Timestamp, Error> {
    text.parse::<DateTime>()
        .and_then(|at| at.to_zoned(zone.clone()))
        .map(|at| at.timestamp())
        .map_err(|_| Error::Value {
            name: "SF_MCP_NOW",
            value: text.to_owned(),
            accepted: "it must look like `2026-11-22T14:30`".to_owned(),
        })
}

fn toolsets(names: Option<Vec<String>>) -> Result<Vec<Toolset>, Error> {
    let Some(names) = names else {
        return Ok(vec![Toolset::Core, Toolset::Dispatch]);
    };
    let mut chosen = Vec::new();
    for name in names {
        match name.trim() {
            "" => {}
            "core" => chosen.push(Toolset::Core),
            "dispatch" => chosen.push(Toolset::Dispatch),
            "extra" => chosen.push(Toolset::Extra),
            "all" => chosen.extend([Toolset::Core, Toolset::Dispatch, Toolset::Extra]),
            other => {
                return Err(Error::Value {
                    name: "a toolset",
                    value: other.to_owned(),
                    accepted: "the toolsets are core, dispatch, extra and all".to_owned(),
                });
            }
        }
    }
    if chosen.is_empty() {
        return toolsets(None);
    }
    Ok(chosen)
}

fn max_answer(bytes: Option<usize>) -> Result<usize, Error> {
    const SMALLEST: usize = 2_000;
    match bytes {
        None => Ok(24_000),
        Some(bytes) if bytes >= SMALLEST => Ok(bytes),
        Some(bytes) => Err(Error::Value {
            name: "the longest answer",
            value: bytes.to_string(),
            accepted: format!("it must be at least {SMALLEST} bytes to hold one record"),
        }),
    }
}

const SECONDS: &str = "a whole number of seconds from 1 to 3600";

/// A timeout from the command line or the environment.
fn seconds(text: &str) -> Result<u64, String> {
    let refused = || format!("it must be {SECONDS}; left out, it is 240");
    let seconds = text.trim().parse().map_err(|_| refused())?;
    timeout(Some(seconds)).map_err(|_| refused())?;
    Ok(seconds)
}

fn timeout(seconds: Option<u64>) -> Result<Duration, Error> {
    match seconds {
        None => Ok(Duration::from_mins(4)),
        Some(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        Some(seconds) => Err(Error::Value {
            name: "the timeout",
            value: seconds.to_string(),
            accepted: format!("it must be {SECONDS}"),
        }),
    }
}

fn api_url(url: &str) -> Result<String, Error> {
    origin::checked(url).map_err(|accepted| Error::Value {
        name: "the API address",
        value: url.to_owned(),
        accepted: accepted.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_cannot_leave_its_folder() {
        assert!(check_profile("acme-2").is_ok());
        for refused in ["", "..", "a/b", "a\\b", "a b"] {
            assert!(check_profile(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_unknown_toolset_is_named_with_the_known_ones() {
        let error = toolsets(Some(vec!["cores".into()]))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "a toolset is `cores`, but the toolsets are core, dispatch, extra and all"
        );
    }
}
