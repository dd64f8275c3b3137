//! Settings: a flag wins over its environment variable, that over the configuration file, that over the default.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

use crate::{children::Keep, config::traces::Traces, master_key};

pub mod traces;

/// What may be set on the command line or by the environment. Secrets come by the environment or by files alone.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings of the service")]
pub struct Settings {
    /// Everything on this machine with no set-up: SQLite, the Service Fusion sandbox, mails as files.
    #[arg(long, global = true)]
    pub dev: bool,

    /// Address to serve on.  [default: 127.0.0.1:8080]
    #[arg(
        long,
        env = "SF_SUPERVISOR_LISTEN",
        global = true,
        value_name = "ADDRESS"
    )]
    pub listen: Option<SocketAddr>,

    /// Address at which people and AI clients reach this service, such as `https://mcp.example.com`.
    #[arg(
        long,
        env = "SF_SUPERVISOR_PUBLIC_URL",
        global = true,
        value_name = "URL"
    )]
    pub public_url: Option<String>,

    /// `sqlite:///path/of/the/file.db`, or `postgres://…`.  [default: a file in the state folder]
    #[arg(
        long,
        env = "SF_SUPERVISOR_DATABASE_URL",
        global = true,
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,

    /// File with the master key, 32 bytes in base64.
    #[arg(
        long,
        env = "SF_SUPERVISOR_MASTER_KEY_FILE",
        global = true,
        value_name = "FILE"
    )]
    pub master_key_file: Option<PathBuf>,

    /// Sender of mails, such as `Service Fusion MCP <mcp@example.com>`.
    #[arg(
        long,
        env = "SF_SUPERVISOR_MAIL_FROM",
        global = true,
        value_name = "ADDRESS"
    )]
    pub mail_from: Option<String>,

    /// Write mails as `.eml` files into this folder instead of sending them.
    #[arg(
        long,
        env = "SF_SUPERVISOR_MAIL_DIR",
        global = true,
        value_name = "FOLDER"
    )]
    pub mail_dir: Option<PathBuf>,

    /// Certificates to trust for the mail server beside the system's, in PEM.
    #[arg(
        long,
        env = "SF_SUPERVISOR_SMTP_CA_FILE",
        global = true,
        value_name = "FILE"
    )]
    pub smtp_ca_file: Option<PathBuf>,

    /// Service Fusion's origin.  [default: `https://api.servicefusion.com`]
    #[arg(long, env = "SF_SUPERVISOR_API_URL", global = true, value_name = "URL")]
    pub api_url: Option<String>,

    /// E-mail addresses of those who may use the panel at /admin (comma list); with --dev operator@localhost, else nobody.
    #[arg(
        long,
        env = "SF_SUPERVISOR_OPERATORS",
        global = true,
        value_name = "LIST",
        value_delimiter = ','
    )]
    pub operators: Option<Vec<String>>,

    /// The sf-mcp program.  [default: beside this one]
    #[arg(long, env = "SF_SUPERVISOR_CHILD", global = true, value_name = "FILE")]
    pub child: Option<PathBuf>,

    /// Folder of sf-mcp for other platforms, for the one-click extension: `darwin-arm64/sf-mcp`, `win32-x64/sf-mcp.exe`.
    #[arg(
        long,
        env = "SF_SUPERVISOR_BINARIES",
        global = true,
        value_name = "FOLDER"
    )]
    pub binaries: Option<PathBuf>,

    /// Address for /metrics; without it there are none.
    #[arg(
        long,
        env = "SF_SUPERVISOR_METRICS_LISTEN",
        global = true,
        value_name = "ADDRESS"
    )]
    pub metrics_listen: Option<SocketAddr>,

    /// Proxies whose X-Forwarded-For is believed (comma list of addresses or networks).
    #[arg(
        long,
        env = "SF_SUPERVISOR_TRUSTED_PROXIES",
        global = true,
        value_name = "LIST",
        value_delimiter = ','
    )]
    pub trusted_proxies: Option<Vec<String>>,

    /// File (TOML) with these settings, and with what only it says: `default_tier`, `[tiers.NAME]` with `per_minute`,
    /// `burst`, `per_day` and `in_flight`; `[children]` with `most` (500) and `idle` (600, in seconds); `refresh_grace` (60,
    /// in seconds).
    #[arg(
        id = "config",
        long,
        env = "SF_SUPERVISOR_CONFIG",
        global = true,
        value_name = "FILE"
    )]
    pub file: Option<PathBuf>,

    /// What to log: error, warn, info, debug or trace.  [default: info]
    #[arg(long, env = "SF_SUPERVISOR_LOG", global = true, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// The configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the settings"
)]
struct File {
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    database_url: Option<String>,
    master_key_file: Option<PathBuf>,
    mail_from: Option<String>,
    mail_dir: Option<PathBuf>,
    smtp_ca_file: Option<PathBuf>,
    api_url: Option<String>,
    operators: Option<Vec<String>>,
    child: Option<PathBuf>,
    binaries: Option<PathBuf>,
    metrics_listen: Option<SocketAddr>,
    trusted_proxies: Option<Vec<String>>,
    log: Option<String>,
    default_tier: Option<String>,
    refresh_grace: Option<u16>,
    children: ChildrenFile,
    tiers: BTreeMap<String, Tier>,
}

/// How sf-mcp processes are kept.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChildrenFile {
    most: Option<u16>,
    idle: Option<u32>,
}

/// How much a tenant may ask for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Calls a minute, steadily.
    pub per_minute: u32,
    /// Calls at once after a pause.
    pub burst: u32,
    /// Calls a day (UTC).
    pub per_day: u32,
    /// Calls under way at once, on each replica.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
}

/// Of a tier that does not say it.
fn in_flight() -> u32 {
    32
}

/// Who may use the panel of a service for trying, whose mails go to a folder of this machine.
pub const DEV_OPERATOR: &str = "operator@localhost";
/// Where the real Service Fusion is.
pub const SERVICE_FUSION: &str = "https://api.servicefusion.com";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} is `{value}`, but {accepted}")]
    Value {
        name: &'static str,
        value: String,
        accepted: &'static str,
    },
    #[error("{}", all_unset(.0))]
    Missing(Vec<Unset>),
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
}

/// A setting without which the service cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unset {
    pub name: &'static str,
    /// What to set it to, and why.
    pub set: &'static str,
}

fn all_unset(unset: &[Unset]) -> String {
    let lines = unset
        .iter()
        .map(|Unset { name, set }| ["\n  ", name, ": ", set].concat());
    let lines: String = lines.collect();
    format!("set these, or try the service with --dev, which needs none:{lines}")
}

/// Where mails go.
#[derive(Clone, Debug)]
pub enum Mail {
    /// `smtps://user:password@host:465`, `smtp://…:587` (STARTTLS) or, on this machine, `smtp://127.0.0.1:1025`.
    Smtp {
        url: SecretString,
        /// Certificates that are trusted beside the system's.
        ca_file: Option<PathBuf>,
    },
    Folder(PathBuf),
}

/// Settings with everything decided.
#[derive(Clone, Debug)]
pub struct Config {
    pub dev: bool,
    pub listen: SocketAddr,
    /// Without a slash at its end.
    pub public_url: String,
    pub database_url: SecretString,
    pub master_key_file: Option<PathBuf>,
    pub mail: Mail,
    pub mail_from: String,
    /// Without a slash at its end.
    pub api_url: String,
    /// In lower case.
    pub operators: Vec<String>,
    pub child: PathBuf,
    /// What it is started with, for tenants.
    pub child_arguments: Vec<String>,
    /// sf-mcp for other platforms, `<os>-<arch>/sf-mcp[.exe]`.
    pub binaries: Option<PathBuf>,
    pub metrics_listen: Option<SocketAddr>,
    pub trusted_proxies: Vec<IpNet>,
    /// The collector that traces are sent to, if any.
    pub traces: Option<Traces>,
    pub log: String,
    pub default_tier: String,
    /// Milliseconds in which an OAuth client may repeat the refresh token before its newest one.
    pub refresh_grace: i64,
    /// How many sf-mcp processes run at once, and for how long unasked.
    pub keep: Keep,
    pub tiers: BTreeMap<String, Tier>,
    /// Where `--dev` keeps its files, and the default database.
    pub state_folder: PathBuf,
}

/// What commands need that work on the database beside a serving process: no keys, no mail, no address.
#[derive(Clone, Debug)]
pub struct Operating {
    pub database_url: SecretString,
    /// It was asked for: by a setting, by `--dev` or by the service manager.
    pub database_is_named: bool,
    pub tiers: BTreeMap<String, Tier>,
    /// Only `restore` asks whether the key fits.
    pub master_key_file: Option<PathBuf>,
}

/// What differs from a tenant's tier.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, serde::Serialize)]
#[serde(default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
}

impl Config {
    /// This service as an OAuth server: the same bytes wherever it is named.
    pub fn issuer(&self) -> &str {
        &self.public_url
    }

    /// The address that people give their AI client, and that tokens are for.
    pub fn resource(&self) -> String {
        format!("{}/mcp", self.public_url)
    }

    /// Where a client learns how to get a token (RFC 9728).
    pub fn resource_metadata(&self) -> String {
        format!(
            "{}/.well-known/oauth-protected-resource/mcp",
            self.public_url
        )
    }
}

impl Limits {
    /// What holds for a tenant of that tier.
    pub fn over(self, tier: Tier) -> Tier {
        Tier {
            per_minute: self.per_minute.unwrap_or(tier.per_minute),
            burst: self.burst.unwrap_or(tier.burst),
            per_day: self.per_day.unwrap_or(tier.per_day),
            in_flight: self.in_flight.unwrap_or(tier.in_flight),
        }
    }
}

impl Settings {
    /// Reads the configuration file and decides what commands beside a serving process need.
    pub fn operating(self) -> Result<Operating, Error> {
        let file = self
            .file
            .as_deref()
            .map_or_else(|| Ok(File::default()), read)?;
        let state_folder = state_folder(self.dev);
        let made_by_dev = self.dev.then(|| state_folder.join(master_key::DEV_FILE));
        let given = self.database_url.or(file.database_url);
        Ok(Operating {
            database_is_named: given.is_some() || self.dev || variable(STATE_FOLDER).is_some(),
            database_url: database_url(given, &state_folder),
            master_key_file: (self.master_key_file.or(file.master_key_file))
                .or(made_by_dev.filter(|file| file.exists())),
            tiers: tiers(file.tiers, file.default_tier)?.0,
        })
    }

    /// Reads the configuration file and decides every setting.
    pub fn resolve(self) -> Result<Config, Error> {
        self.decide(false)
    }

    /// The same for a process that needs a master key of its own accord: without one that is named too, beside all
    /// else that is missing.
    pub fn for_serving(self) -> Result<Config, Error> {
        self.decide(true)
    }

    fn decide(self, with_key: bool) -> Result<Config, Error> {
        let file = self
            .file
            .as_deref()
            .map_or_else(|| Ok(File::default()), read)?;
        let dev = self.dev;
        let state_folder = state_folder(dev);
        let listen = self
            .listen
            .or(file.listen)
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
        let database_url = database_url(self.database_url.or(file.database_url), &state_folder);
        let mail_dir = self
            .mail_dir
            .or(file.mail_dir)
            .or_else(|| dev.then(|| state_folder.join("mail")));
        let mail = mail(mail_dir, self.smtp_ca_file.or(file.smtp_ca_file));
        let trusted_proxies = proxies(
            &self
                .trusted_proxies
                .or(file.trusted_proxies)
                .unwrap_or_default(),
        )?;
        // What comes through a proxy names the proxy's address, and by another one than that nothing is answered.
        let asked_directly = dev || (listen.ip().is_loopback() && trusted_proxies.is_empty());
        let usual = asked_directly.then(|| format!("http://{listen}"));
        let public_url = (self.public_url.or(file.public_url).or(usual))
            .map(|given| origin(PUBLIC_URL.name, &given))
            .transpose()?;
        let master_key_file = self.master_key_file.or(file.master_key_file);
        let keyless = with_key && !dev && !master_key::is_named(master_key_file.as_deref());
        let unset = [
            public_url.is_none().then_some(PUBLIC_URL),
            mail.is_none().then_some(SMTP_URL),
            keyless.then_some(MASTER_KEY),
        ];
        let (Some(public_url), Some(mail), false) = (public_url, mail, keyless) else {
            return Err(Error::Missing(unset.into_iter().flatten().collect()));
        };
        let (tiers, default_tier) = tiers(file.tiers, file.default_tier)?;
        Ok(Config {
            dev,
            listen,
            public_url,
            database_url,
            master_key_file,
            mail,
            mail_from: self
                .mail_from
                .or(file.mail_from)
                .unwrap_or_else(|| "Service Fusion MCP <no-reply@localhost>".to_owned()),
            api_url: api_url(self.api_url.or(file.api_url))?,
            operators: self
                .operators
                .or(file.operators)
                .or_else(|| dev.then(|| vec![DEV_OPERATOR.to_owned()]))
                .unwrap_or_default()
                .iter()
                .map(|operator| operator.trim().to_lowercase())
                .filter(|operator| !operator.is_empty())
                .collect(),
            child: self
                .child
                .or(file.child)
                .unwrap_or_else(beside_this_program),
            child_arguments: vec!["serve".to_owned(), "--hosted".to_owned()],
            binaries: self.binaries.or(file.binaries),
            metrics_listen: self.metrics_listen.or(file.metrics_listen),
            trusted_proxies,
            traces: traces::traces(variable)?,
            log: self.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            refresh_grace: refresh_grace(file.refresh_grace)?,
            keep: keep(file.children)?,
            default_tier,
            tiers,
            state_folder,
        })
    }
}

fn database_url(given: Option<String>, state_folder: &Path) -> SecretString {
    given
        .unwrap_or_else(|| format!("sqlite://{}", state_folder.join("supervisor.db").display()))
        .into()
}

/// A variable that is set to something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

fn read(path: &Path) -> Result<File, Error> {
    let describe = |problem: String| Error::File {
        path: path.to_owned(),
        problem,
    };
    let text = std::fs::read_to_string(path).map_err(|problem| describe(problem.to_string()))?;
    toml::from_str(&text).map_err(|problem| describe(problem.to_string()))
}

/// The variable in which systemd names its folder for the service.
const STATE_FOLDER: &str = "STATE_DIRECTORY";

/// systemd names one; a person's own is elsewhere.
fn state_folder(dev: bool) -> PathBuf {
    if let Some(folder) = variable(STATE_FOLDER) {
        return PathBuf::from(folder);
    }
    if dev {
        return PathBuf::from("sf-supervisor-dev");
    }
    directories::ProjectDirs::from("", "", "sf-supervisor").map_or_else(
        || PathBuf::from("."),
        |folders| folders.data_dir().to_owned(),
    )
}

const PUBLIC_URL: Unset = Unset {
    name: "SF_SUPERVISOR_PUBLIC_URL",
    set: "the address at which people and AI clients reach this service, such as https://mcp.example.com",
};
const SMTP_URL: Unset = Unset {
    name: "SF_SUPERVISOR_SMTP_URL",
    set: "the mail server that sends sign-up codes, such as smtps://user:password@mail.example.com; \
          or SF_SUPERVISOR_MAIL_DIR, to write mails as files into a folder",
};
const MASTER_KEY: Unset = Unset {
    name: "SF_SUPERVISOR_MASTER_KEY_FILE",
    set: "a private file with what `sf-supervisor keys generate` prints, or SF_SUPERVISOR_MASTER_KEY to that itself; \
          keep a copy where no backup of the database lies",
};

/// `None` when it must be set.
fn mail(folder: Option<PathBuf>, ca_file: Option<PathBuf>) -> Option<Mail> {
    if let Some(folder) = folder {
        return Some(Mail::Folder(folder));
    }
    let url = variable(SMTP_URL.name)?.into();
    Some(Mail::Smtp { url, ca_file })
}

fn api_url(given: Option<String>) -> Result<String, Error> {
    origin(
        "SF_SUPERVISOR_API_URL",
        &given.unwrap_or_else(|| SERVICE_FUSION.to_owned()),
    )
}

/// An https address, or plain http on loopback, without path or user.
fn origin(name: &'static str, given: &str) -> Result<String, Error> {
    let refused = || Error::Value {
        name,
        value: given.to_owned(),
        accepted: "it must be like `https://mcp.example.com`; plain http only for loopback",
    };
    let url = url::Url::parse(given).map_err(|_| refused())?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(refused()),
    };
    let plain = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain && (url.scheme() == "https" || (url.scheme() == "http" && loopback)) {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(refused())
    }
}

fn proxies(given: &[String]) -> Result<Vec<IpNet>, Error> {
    given
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .map(|text| {
            let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse()).map_err(|_| Error::Value {
                name: "SF_SUPERVISOR_TRUSTED_PROXIES",
                value: text.to_owned(),
                accepted: "each must be an address or a network, such as 127.0.0.1 or 10.0.0.0/8",
            })
        })
        .collect()
}

/// The three tiers; the file may change them and add others.
fn tiers(
    given: BTreeMap<String, Tier>,
    default: Option<String>,
) -> Result<(BTreeMap<String, Tier>, String), Error> {
    let tier = |per_minute, burst, per_day, in_flight| Tier {
        per_minute,
        burst,
        per_day,
        in_flight,
    };
    let mut tiers = BTreeMap::from([
        ("free".to_owned(), tier(20, 20, 500, 8)),
        ("pro".to_owned(), tier(120, 60, 10_000, 32)),
        ("enterprise".to_owned(), tier(600, 300, 100_000, 128)),
    ]);
    tiers.extend(given);
    let default = default.unwrap_or_else(|| "free".to_owned());
    if tiers.contains_key(&default) {
        Ok((tiers, default))
    } else {
        Err(Error::Value {
            name: "default_tier",
            value: default,
            accepted: "it must be the name of a tier",
        })
    }
}

/// Half an hour is what the most forgetful clients need; longer would hide a thief.
fn refresh_grace(seconds: Option<u16>) -> Result<i64, Error> {
    let seconds = seconds.unwrap_or(60);
    if seconds <= 1800 {
        return Ok(i64::from(seconds) * 1000);
    }
    Err(Error::Value {
        name: "refresh_grace",
        value: seconds.to_string(),
        accepted: "it must be 0 to 1800 seconds",
    })
}

/// One that ends at once would be started for every call.
fn keep(given: ChildrenFile) -> Result<Keep, Error> {
    let usual = Keep::default();
    let refused = |name, value: String, accepted| Error::Value {
        name,
        value,
        accepted,
    };
    let most = given.most.map_or(usual.most, usize::from);
    let idle = given
        .idle
        .map_or(usual.idle, |seconds| Duration::from_secs(seconds.into()));
    if most == 0 {
        let accepted =
            "it must be 1 or more: one is needed for each company that calls at the same time";
        return Err(refused("children.most", most.to_string(), accepted));
    }
    if idle.is_zero() || idle > LONGEST_IDLE {
        let accepted = "it must be 1 to 86400 seconds";
        return Err(refused(
            "children.idle",
            idle.as_secs().to_string(),
            accepted,
        ));
    }
    Ok(Keep { most, idle })
}

const LONGEST_IDLE: Duration = Duration::from_hours(24);

fn beside_this_program() -> PathBuf {
    let name = format!("sf-mcp{}", std::env::consts::EXE_SUFFIX);
    std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join(&name)))
        .unwrap_or_else(|| PathBuf::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_loopback() {
        for (given, kept) in [
            ("https://mcp.example.com/", Some("https://mcp.example.com")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://localhost:1", Some("http://localhost:1")),
            ("http://mcp.example.com", None),
            ("https://user@mcp.example.com", None),
            ("https://mcp.example.com/path", None),
            ("file:///etc", None),
        ] {
            assert_eq!(origin("x", given).ok().as_deref(), kept, "{given}");
        }
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let settings = Settings {
            listen: Some(SocketAddr::from(([0, 0, 0, 0], 1))),
            ..Settings::default()
        };
        let Error::Missing(unset) = settings.for_serving().unwrap_err() else {
            panic!("something else is wrong");
        };
        assert_eq!(unset, [PUBLIC_URL, SMTP_URL, MASTER_KEY]);
        let told = Error::Missing(unset).to_string();
        assert!(told.contains("sf-supervisor keys generate"), "{told}");
    }

    #[test]
    fn behind_a_proxy_the_address_has_no_default() {
        let settings = |dev, proxy: Option<&str>| Settings {
            dev,
            trusted_proxies: proxy.map(|proxy| vec![proxy.to_owned()]),
            mail_dir: Some("mail".into()),
            ..Settings::default()
        };
        for usual in [
            settings(false, None),
            settings(false, Some("")),
            settings(true, Some("127.0.0.1")),
        ] {
            let config = usual.resolve().unwrap();
            assert_eq!(config.public_url, "http://127.0.0.1:8080");
        }
        let Error::Missing(unset) = settings(false, Some("127.0.0.1")).resolve().unwrap_err()
        else {
            panic!("something else is wrong");
        };
        assert_eq!(unset, [PUBLIC_URL]);
        let named = Settings {
            public_url: Some("https://mcp.example.com".to_owned()),
            ..settings(false, Some("127.0.0.1"))
        };
        assert_eq!(
            named.resolve().unwrap().public_url,
            "https://mcp.example.com"
        );
    }

    #[test]
    fn the_file_changes_tiers_and_knows_its_names() {
        let file: File = toml::from_str(
            "default_tier = 'trial'\n[tiers.trial]\nper_minute = 1\nburst = 2\nper_day = 3",
        )
        .unwrap();
        let (tiers, default) = tiers(file.tiers, file.default_tier).unwrap();
        assert_eq!(default, "trial");
        assert_eq!((tiers["trial"].per_day, tiers["trial"].in_flight), (3, 32));
        assert!(tiers.contains_key("pro"));
        assert!(toml::from_str::<File>("liste = 'x'").is_err());
    }

    #[test]
    fn children_are_kept_as_the_file_says() {
        let kept = |text: &str| keep(toml::from_str::<File>(text).unwrap().children);
        let given = kept("[children]\nmost = 40\nidle = 5").unwrap();
        assert_eq!((given.most, given.idle), (40, Duration::from_secs(5)));
        let usual = kept("").unwrap();
        assert_eq!((usual.most, usual.idle), (500, Duration::from_mins(10)));
        for wrong in ["most = 0", "idle = 0", "idle = 100000"] {
            let problem = kept(&format!("[children]\n{wrong}")).unwrap_err();
            assert!(problem.to_string().contains("must be"), "{problem}");
        }
    }
}
