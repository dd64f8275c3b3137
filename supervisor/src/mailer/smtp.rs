//! Mails over SMTP: implicit TLS, or STARTTLS that is insisted on.

use std::{net::IpAddr, path::Path, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{
        self, PoolConfig,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Error, Failure};

/// For each command and its answer.
const COMMAND: Duration = Duration::from_secs(20);
/// Idle connections that are kept.
const KEPT: u32 = 4;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    /// From the first byte, `smtps://`.
    Implicit,
    /// After STARTTLS; a server that does not offer it is not used.
    Starttls,
    /// On this machine, or where the operator says `?tls=none`, and then without a password.
    None,
}

#[derive(Debug)]
pub(super) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    /// `smtps://user:password@host:465`, `smtp://user:password@host:587` (STARTTLS), `smtp://127.0.0.1:1025`. `ca_file`
    /// holds certificates that are trusted beside the system's.
    pub(super) fn new(url: &SecretString, ca_file: Option<&Path>) -> Result<Self, Error> {
        let url = Url::parse(url.expose_secret()).map_err(|_| {
            Error::Url("it must be like `smtps://user:password@mail.example.com:465`")
        })?;
        let protection = protection(&url)?;
        let host = url.host_str().unwrap_or_default();
        let name = without_brackets(host);
        let parameters = || -> Result<TlsParameters, Error> {
            let mut builder = TlsParameters::builder(name.to_owned());
            for certificate in certificates(ca_file)? {
                builder = builder.add_root_certificate(certificate);
            }
            Ok(builder.build_rustls()?)
        };
        let (usual_port, tls) = match protection {
            Protection::Implicit => (465, Tls::Wrapper(parameters()?)),
            Protection::Starttls => (587, Tls::Required(parameters()?)),
            Protection::None => (25, Tls::None),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(name)
            .port(url.port().unwrap_or(usual_port))
            .tls(tls)
            .timeout(Some(COMMAND))
            .pool_config(PoolConfig::new().max_size(KEPT));
        if !url.username().is_empty() {
            let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let password = plain(url.password().unwrap_or_default());
            builder = builder.credentials(Credentials::new(plain(url.username()), password));
        }
        Ok(Self(builder.build()))
    }

    pub(super) async fn send(&self, mail: &Message) -> Result<(), Failure> {
        match self.0.send(mail.clone()).await {
            Ok(_) => Ok(()),
            Err(problem) if problem.is_permanent() => Err(Failure::Final(described(&problem))),
            Err(problem) => Err(Failure::Passing(described(&problem))),
        }
    }
}

/// A server's own words may repeat the address, so only the kind of failure and the number are told.
fn described(problem: &smtp::Error) -> String {
    let kind = if problem.is_timeout() {
        "the mail server did not answer in time"
    } else if problem.is_permanent() || problem.is_transient() {
        "the mail server refused"
    } else if problem.is_tls() {
        "the mail server's certificate or encryption is not accepted"
    } else if problem.is_client() {
        "the mail server does not offer what is needed (STARTTLS, or a way to sign in)"
    } else {
        "the mail server cannot be reached"
    };
    match problem.status() {
        Some(code) => format!("{kind} ({code})"),
        None => kind.to_owned(),
    }
}

fn protection(url: &Url) -> Result<Protection, Error> {
    // Hosts of schemes that browsers do not know are left as text.
    let host = url.host_str().ok_or(Error::Url("it names no host"))?;
    let loopback = host == "localhost"
        || without_brackets(host)
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
    let asked = url
        .query_pairs()
        .find_map(|(name, value)| (name == "tls").then(|| value.into_owned()));
    match (url.scheme(), asked.as_deref()) {
        ("smtps", None) => Ok(Protection::Implicit),
        ("smtp", Some("required")) => Ok(Protection::Starttls),
        ("smtp", None) if !loopback => Ok(Protection::Starttls),
        ("smtp", None) => Ok(Protection::None),
        ("smtp", Some("none")) if loopback || url.username().is_empty() => Ok(Protection::None),
        ("smtp", Some("none")) => Err(Error::Url(
            "with `tls=none` the password would cross the network readable",
        )),
        ("smtp" | "smtps", _) => Err(Error::Url(
            "`tls` may be `required` or `none`, and only with smtp://",
        )),
        _ => Err(Error::Url("it must begin with smtps:// or smtp://")),
    }
}

fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn certificates(file: Option<&Path>) -> Result<Vec<Certificate>, Error> {
    let Some(path) = file else {
        return Ok(Vec::new());
    };
    let describe = |problem: String| Error::Certificates {
        path: path.display().to_string(),
        problem,
    };
    let text = std::fs::read(path).map_err(|problem| describe(problem.to_string()))?;
    let certificate =
        Certificate::from_pem(&text).map_err(|problem| describe(problem.to_string()))?;
    Ok(vec![certificate])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_crosses_a_network_readable() {
        for (url, expected) in [
            ("smtps://u:p@mail.example.com", Some(Protection::Implicit)),
            (
                "smtp://u:p@mail.example.com:587",
                Some(Protection::Starttls),
            ),
            (
                "smtp://mail.example.com?tls=required",
                Some(Protection::Starttls),
            ),
            ("smtp://localhost?tls=required", Some(Protection::Starttls)),
            ("smtp://127.0.0.1:1025", Some(Protection::None)),
            ("smtp://[::1]:1025", Some(Protection::None)),
            ("smtp://mailpit:1025?tls=none", Some(Protection::None)),
            ("smtp://u:p@mail.example.com?tls=none", None),
            ("smtp://mail.example.com?tls=opportunistic", None),
            ("smtps://mail.example.com?tls=none", None),
            ("http://mail.example.com", None),
        ] {
            let found = protection(&Url::parse(url).unwrap()).ok();
            assert_eq!(found, expected, "{url}");
        }
    }
}
