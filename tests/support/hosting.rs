//! The part of a hosting service that sf-mcp speaks to, with troubles on demand. It lends the sandbox's tokens.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{HANG_GUARD, Home, Ran, Sandbox, Serve, http, sf_mcp, sign_in::with_secret};

/// Planted, so that a search finds it wherever it should not be.
pub(crate) const DEVICE: &str = "sfd_planted-0123456789abcdefghijklmnopqrstuvwx";
pub(crate) const ANOTHER_DEVICE: &str = "sfd_another-0123456789abcdefghijklmnopqrstuvwx";
pub(crate) const CODE: &str = "123456";

/// How requests to a path are met, where that is not the usual way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A problem document with that status and code.
    Problem(u16, &'static str),
    /// A web page with that status, as gateways send it.
    Page(u16),
    /// The connection breaks before anything is done.
    Down,
    /// No answer comes as long as the client waits.
    Hangs,
    /// It is done, and then the connection breaks.
    LosesAnswers,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) troubles: BTreeMap<&'static str, Trouble>,
    /// Method and path of every request.
    pub(crate) requests: Vec<String>,
    /// How often each event came, and what it says.
    pub(crate) events: BTreeMap<String, (u32, Value)>,
    pub(crate) largest_batch: usize,
    /// A batch with a call of this tool is refused.
    pub(crate) refused_tool: Option<&'static str>,
    pub(crate) revoked: Vec<String>,
    /// The address belongs to two companies.
    pub(crate) two_companies: bool,
    /// Told instead of the sandbox's address.
    pub(crate) api_url: Option<String>,
    pub(crate) devices_named: Vec<String>,
    /// Lent until somebody says that it was rejected.
    access_token: Option<String>,
}

/// Serves until the test ends.
pub(crate) struct Hosting {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Hosting {
    pub(crate) fn before(sandbox: &Sandbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::<Mutex<State>>::default();
        let (shared, api) = (Arc::clone(&state), sandbox.origin());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, api) = (Arc::clone(&shared), api.clone());
                std::thread::spawn(move || answer(&stream, &state, &api));
            }
        });
        Self { address, state }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn trouble(&self, path: &'static str, trouble: Trouble) {
        self.state().troubles.insert(path, trouble);
    }

    pub(crate) fn mend(&self) {
        self.state().troubles.clear();
    }

    pub(crate) fn count(&self, request: &str) -> usize {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|seen| *seen == request)
            .count()
    }

    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let started = Instant::now();
        while !wanted(&self.state()) {
            assert!(started.elapsed() < HANG_GUARD, "never: {what}");
            std::thread::yield_now();
        }
    }

    /// The `env` bundle as a file.
    pub(crate) fn bundle(&self, home: &Home) -> PathBuf {
        let path = home.path().join("bundle.env");
        let text = format!(
            "# Keep this file secret.\nSF_MCP_SUPERVISOR_URL={}\nSF_MCP_DEVICE_TOKEN={DEVICE}\n",
            self.origin()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn log_in(&self, home: &Home) {
        let bundle = self.bundle(home);
        let ran = run(home, &["login", "--bundle", bundle.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        std::fs::remove_file(bundle).unwrap();
    }

    /// A server whose environment is that of a bundle.
    pub(crate) fn serve_bundled(&self, home: &Home) -> Serve {
        serve(home)
            .env("SF_MCP_SUPERVISOR_URL", &self.origin())
            .env("SF_MCP_DEVICE_TOKEN", DEVICE)
    }
}

/// A command that knows no address of Service Fusion's: lent tokens bring it.
pub(crate) fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = sf_mcp();
    command
        .env("SF_MCP_HOME", home.path())
        .env("SF_MCP_KEYCHAIN", "off")
        .env("SF_MCP_USAGE_EVERY_MS", "100")
        .args(arguments);
    command
}

pub(crate) fn run(home: &Home, arguments: &[&str]) -> Ran {
    command(home, arguments).output().unwrap().into()
}

/// The same with a line on stdin.
pub(crate) fn run_with_line(home: &Home, arguments: &[&str], line: &str) -> Ran {
    with_secret(command(home, arguments), line)
}

pub(crate) fn serve(home: &Home) -> Serve {
    Serve::signed_out(home)
        .env("SF_MCP_RATE_WINDOW_MS", "1")
        .env("SF_MCP_USAGE_EVERY_MS", "100")
}

pub(crate) fn status(home: &Home) -> Value {
    let ran = run(home, &["status", "--json"]);
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

struct Request {
    line: String,
    bearer: String,
    body: Value,
}

fn answer(mut stream: &TcpStream, state: &Mutex<State>, api: &str) {
    let Some(request) = read(stream) else { return };
    let path = request.line.split(' ').nth(1).unwrap().to_owned();
    let trouble = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.line.clone());
        state.troubles.get(path.as_str()).copied()
    };
    let (status, body) = match trouble {
        Some(Trouble::Down) => return,
        Some(Trouble::Hangs) => {
            let _ = stream.read(&mut [0]);
            return;
        }
        Some(Trouble::Page(status)) => (status, "<html>A gateway</html>".to_owned()),
        Some(Trouble::Problem(status, code)) => problem(status, code),
        Some(Trouble::LosesAnswers) => {
            handle(&request, &mut state.lock().unwrap(), api);
            return;
        }
        None => handle(&request, &mut state.lock().unwrap(), api),
    };
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // The client may be gone: killed, or out of patience.
    let _ = stream.write_all((head + &body).as_bytes());
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut length, mut bearer) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => value.trim_start_matches("Bearer ").clone_into(&mut bearer),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = line.rsplit_once(" HTTP")?.0.to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Request { line, bearer, body })
}

fn problem(status: u16, code: &str) -> (u16, String) {
    let body = json!({"type": "about:blank", "title": "No", "status": status, "code": code});
    (status, body.to_string())
}

fn handle(request: &Request, state: &mut State, api: &str) -> (u16, String) {
    let known = request.bearer == DEVICE || request.bearer == ANOTHER_DEVICE;
    let accepted = known && !state.revoked.contains(&request.bearer);
    let body = &request.body;
    match request.line.as_str() {
        "POST /api/sign-in" => (
            202,
            json!({"status": "code_sent", "expires_in": 600}).to_string(),
        ),
        "POST /api/devices" => devices(body, state),
        _ if !accepted => problem(401, "invalid_token"),
        "POST /api/token" => {
            let lent = state.access_token.take().filter(|token| {
                let digest = Sha256::digest(token.as_bytes());
                let told = body["rejected"].as_str().unwrap_or_default();
                let hex = |byte: usize| told.get(2 * byte..2 * byte + 2);
                !(0..32).all(|byte| hex(byte) == Some(format!("{:02x}", digest[byte]).as_str()))
            });
            let lent = lent.unwrap_or_else(|| access_token(api));
            state.access_token = Some(lent.clone());
            let answer = json!({
                "access_token": lent,
                "expires_in": 3600,
                "api_url": state.api_url.as_deref().unwrap_or(api),
            });
            (200, answer.to_string())
        }
        "DELETE /api/devices/self" => {
            state.revoked.push(request.bearer.clone());
            (204, String::new())
        }
        "POST /api/usage" => usage(body, state),
        other => panic!("an unexpected request: {other}"),
    }
}

fn devices(body: &Value, state: &mut State) -> (u16, String) {
    if body["otp"] != CODE {
        return problem(400, "invalid_code");
    }
    if state.two_companies && body["tenant_id"].is_null() {
        let mut answer = json!({"status": 409, "code": "choose_tenant"});
        answer["tenants"] = json!([
            {"tenant_id": "t1", "company": "Alpha Plumbing"},
            {"tenant_id": "t2", "company": "Beta Heating"},
        ]);
        return (409, answer.to_string());
    }
    let name = body["name"].as_str().unwrap().to_owned();
    state.devices_named.push(name);
    let answer = json!({"device_token": DEVICE, "tenant_id": "t1", "company": "Alpha Plumbing"});
    (201, answer.to_string())
}

fn usage(body: &Value, state: &mut State) -> (u16, String) {
    let events = body["events"].as_array().unwrap();
    state.largest_batch = state.largest_batch.max(events.len());
    if let Some(tool) = state.refused_tool
        && events.iter().any(|event| event["tool"] == tool)
    {
        return problem(422, "invalid_event");
    }
    let mut duplicates = 0;
    for event in events {
        let id = event["id"].as_str().unwrap().to_owned();
        let (times, _) = state.events.entry(id).or_insert((0, event.clone()));
        *times += 1;
        duplicates += u32::from(*times > 1);
    }
    let answer = json!({"accepted": events.len(), "duplicates": duplicates});
    (202, answer.to_string())
}

fn access_token(api: &str) -> String {
    let grant = json!({
        "grant_type": "client_credentials",
        "client_id": "sandbox-consumer",
        "client_secret": "sandbox-consumer-secret",
    });
    let address = api.trim_start_matches("http://");
    let (status, answer) = http(
        address,
        "POST",
        "/oauth/access_token",
        None,
        &grant.to_string(),
    );
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}
