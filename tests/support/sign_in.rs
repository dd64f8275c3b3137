//! Signing in as a person does, with a secret or in the browser, and what there is afterwards.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use sf_mcp::{auth::session::Profile, paths::Paths};

use crate::support::{Home, McpClient, Ran, Refusal, Sandbox, Serve, http, sf_mcp};

pub(crate) const BY_SECRET: &[&str] = &[
    "login",
    "--client-id",
    "sandbox-consumer",
    "--client-secret-stdin",
];
const BY_BROWSER: &[&str] = &[
    "login",
    "--browser",
    "--no-open",
    "--client-id",
    "sandbox-app",
    "--client-secret-stdin",
];

/// The two ways of signing in; what is true of the sign-in should be true of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    ClientCredentials,
    Browser,
}

pub(crate) const GRANTS: [Grant; 2] = [Grant::ClientCredentials, Grant::Browser];

impl Grant {
    pub(crate) fn log_in(self, sandbox: &Sandbox, home: &Home) {
        let ran = match self {
            Self::ClientCredentials => login_with(sandbox, home, "sandbox-consumer-secret"),
            Self::Browser => log_in_by_browser(sandbox, home),
        };
        assert_eq!(ran.code, Some(0), "{self:?}: {}", ran.stderr);
    }

    /// As faults name the grant with which this kind renews.
    pub(crate) fn of_renewal(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Browser => "refresh_token",
        }
    }
}

/// A command that speaks to this sandbox and has no credentials of its own.
pub(crate) fn command(sandbox: &Sandbox, home: &Home, arguments: &[&str]) -> Command {
    let mut command = sf_mcp();
    command
        .env("SF_MCP_HOME", home.path())
        .env("SF_MCP_API_URL", sandbox.origin())
        .env("SF_MCP_KEYCHAIN", "off")
        .args(arguments);
    command
}

/// The command of a sign-in with id and secret; the secret is awaited on stdin.
pub(crate) fn login(sandbox: &Sandbox, home: &Home) -> Command {
    command(sandbox, home, BY_SECRET)
}

/// Runs a command that reads the consumer's secret from stdin.
pub(crate) fn with_secret(mut login: Command, secret: &str) -> Ran {
    let mut child = login
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails before it reads closes its stdin.
    let _ = writeln!(child.stdin.take().unwrap(), "{secret}");
    child.wait_with_output().unwrap().into()
}

pub(crate) fn login_with(sandbox: &Sandbox, home: &Home, secret: &str) -> Ran {
    with_secret(login(sandbox, home), secret)
}

pub(crate) fn log_in(sandbox: &Sandbox, home: &Home) {
    Grant::ClientCredentials.log_in(sandbox, home);
}

/// Goes through the browser's part by hand: the printed address, the consent page's form, the redirect.
pub(crate) fn log_in_by_browser(sandbox: &Sandbox, home: &Home) -> Ran {
    let mut child = command(sandbox, home, BY_BROWSER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "sandbox-app-secret").unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(
            said.read_line(&mut line).unwrap() > 0,
            "no address was printed"
        );
        if line.trim().starts_with("http") {
            break line.trim().to_owned();
        }
    };
    let query = address.split_once('?').unwrap().1;
    let form = format!("{query}&decision=allow");
    let back = location_after(&sandbox.origin(), &form);
    let (host, target) = back.trim_start_matches("http://").split_once('/').unwrap();
    let (_, page) = http(host, "GET", &format!("/{target}"), None, "");
    assert!(page.contains("Signed in"), "{page}");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let mut ran = Ran::from(child.wait_with_output().unwrap());
    ran.stderr = rest;
    ran
}

/// Posts the consent page's form and returns where it sends the browser.
fn location_after(origin: &str, form: &str) -> String {
    let address = origin.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST /oauth/authorize HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = answer
        .lines()
        .find(|line| line.to_lowercase().starts_with("location:"));
    let line = line.unwrap_or_else(|| panic!("no redirect: {answer}"));
    line.split_once(':').unwrap().1.trim().to_owned()
}

/// The sign-in's files, to be looked into with the program's own means.
pub(crate) fn profile(sandbox: &Sandbox, home: &Home) -> Profile {
    let paths = Paths::new(Some(home.path()), "default").unwrap();
    Profile::new(&paths, "default", &sandbox.origin())
}

/// A server without credentials in its environment.
pub(crate) fn server(sandbox: &Sandbox, home: &Home) -> McpClient {
    serve(sandbox, home).start()
}

/// The same, to be started with more settings. It does not wait for the requests of the others of its profile.
pub(crate) fn serve(sandbox: &Sandbox, home: &Home) -> Serve {
    Serve::signed_out(home)
        .env("SF_MCP_API_URL", &sandbox.origin())
        .env("SF_MCP_RATE_WINDOW_MS", "1")
}

/// What `status --json` prints: the file opens and says whether somebody is signed in.
pub(crate) fn status(sandbox: &Sandbox, home: &Home) -> Value {
    let ran: Ran = command(sandbox, home, &["status", "--json"])
        .output()
        .unwrap()
        .into();
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Makes every access token invalid at the next request for jobs.
pub(crate) fn expire_at_next_search(sandbox: &Sandbox) {
    sandbox.faults(
        &json!([{"match": {"path_contains": "/v1/jobs"}, "times": 1, "kind": "expire_tokens"}]),
    );
}

/// How many requests the token endpoint got, those under way included.
pub(crate) fn token_requests(sandbox: &Sandbox) -> u64 {
    token_requests_in(&sandbox.state())
}

fn token_requests_in(state: &Value) -> u64 {
    state["by_path"]["/oauth/access_token"]
        .as_u64()
        .unwrap_or(0)
}

/// Waits until the token endpoint has got so many requests.
pub(crate) fn wait_for_token_requests(sandbox: &Sandbox, count: u64) {
    sandbox.wait_for(|state| token_requests_in(state) >= count);
}

/// Where the sealed values are.
pub(crate) fn tokens_file(home: &Home) -> PathBuf {
    home.path().join("state/default/tokens.db")
}

/// What a new server says to a call. It must not have asked for a token, nor have panicked.
pub(crate) fn refusal_of_new_server(sandbox: &Sandbox, home: &Home) -> Refusal {
    let before = token_requests(sandbox);
    let mut client = server(sandbox, home);
    let refused = client.refusal("search_jobs", &json!({"limit": 1}));
    assert_eq!(token_requests(sandbox), before);
    let log = client.finish().stderr;
    assert!(!log.contains("panicked"), "{log}");
    refused
}

pub(crate) fn works(sandbox: &Sandbox, home: &Home) {
    let answer = server(sandbox, home).call("search_jobs", &json!({"limit": 1}));
    assert!(answer["total"].is_number());
}
