//! Three real replicas on one PostgreSQL, behind a real nginx with the site that operators are given.

use std::{
    collections::HashMap,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_mcp::{auth::oauth, sandbox};
use sf_supervisor::{
    store::{By, Member, NewToken, Store},
    tokens::{self, Kind},
    vault::{self, NewCredentials, Vault},
};

use crate::support::{
    Around, Replica,
    nginx::{self, Nginx, Ports},
    sf_mcp, until,
};

mod calling;
mod joining;
mod restarting;
mod site;

pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const LEGACY: &str = "2025-11-25";
/// Where the usual client calls from; nginx itself comes to replicas from 127.0.0.1.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Whether there is all that it takes. What is missing is said, and in CI it fails.
pub(crate) fn is_possible() -> bool {
    let missing = if std::env::var_os("SF_SUPERVISOR_TEST_POSTGRES").is_none() {
        // The run without PostgreSQL is followed by one with it.
        "PostgreSQL: run this with tests/with-postgres"
    } else if nginx::program().is_none() {
        assert!(std::env::var_os("CI").is_none(), "nginx is missing");
        "nginx (Debian: nginx-light)"
    } else {
        return true;
    };
    eprintln!("NOT CHECKED: replicas behind nginx, as there is no {missing}");
    false
}

/// All of it. What is dropped first ends first: nginx, then the replicas, then what they share.
pub(crate) struct ScaledOut {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) nginx: Nginx,
    pub(crate) replicas: Vec<Option<Replica>>,
    addresses: Vec<String>,
    /// Where their figures are.
    metrics: Vec<String>,
    pub(crate) store: Store,
    child: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) around: Arc<Around>,
}

impl ScaledOut {
    /// With sf-mcp as the child, over a sandbox that limits nothing.
    pub(crate) async fn start() -> Self {
        let options = sandbox::Options {
            control: true,
            requests_per_window: 0,
            ..sandbox::Options::default()
        };
        Self::with(options, |_| sf_mcp(), "").await
    }

    /// `child` gets a folder of its own; `more` is for the configuration file.
    pub(crate) async fn with(
        sandbox: sandbox::Options,
        child: impl FnOnce(&Path) -> PathBuf,
        more: &str,
    ) -> Self {
        let around = Around::new(sandbox).await;
        let folder = tempfile::tempdir().unwrap();
        let child = child(folder.path());
        let limits = "per_minute = 1_000_000\nburst = 1_000_000\nper_day = 100_000_000\nin_flight = 1_000_000\n";
        let file = format!("{more}\n[tiers.unlimited]\n{limits}");
        std::fs::write(folder.path().join("config.toml"), file).unwrap();
        let ports = Ports::free().await;
        let metrics: Vec<String> = (0..3).map(|_| free_address()).collect();
        let starting = metrics.iter().map(|metrics| {
            let listen = ["127.0.0.1:0", metrics.as_str()];
            Replica::with(&around, settings(&folder, &child, ports, listen))
        });
        let replicas = futures_util::future::join_all(starting).await;
        let addresses: Vec<String> = replicas
            .iter()
            .map(|replica| replica.address().to_owned())
            .collect();
        let nginx = Nginx::start(ports, &addresses).await;
        Self {
            http: nginx.client(CLIENT),
            url: ports.url(),
            nginx,
            replicas: replicas.into_iter().map(Some).collect(),
            addresses,
            metrics,
            store: Store::connect(&around.database.url).await.unwrap(),
            child,
            folder,
            around,
        }
    }

    /// Stops a replica as a service manager does.
    pub(crate) async fn stop(&mut self, number: usize) {
        let replica = self.replicas[number].take().unwrap();
        let status = replica.stop().await;
        assert!(status.success(), "{status}");
    }

    /// Starts a replica again, where nginx looks for it.
    pub(crate) async fn start_again(&mut self, number: usize) {
        let listen = [&self.addresses[number], &self.metrics[number]].map(String::as_str);
        let settings = settings(&self.folder, &self.child, self.nginx.ports, listen);
        let replica = Replica::with(&self.around, settings).await;
        self.replicas[number] = Some(replica);
    }

    /// Which replica has that address.
    pub(crate) fn number_of(&self, address: &str) -> usize {
        let mut addresses = self.addresses.iter();
        addresses.position(|known| known == address).unwrap()
    }

    /// How many requests a replica has answered.
    pub(crate) fn answers_of(&self, number: usize) -> usize {
        let (served, address) = (self.nginx.served(), &self.addresses[number]);
        let its = served.iter().filter(|one| one.to.last() == Some(address));
        its.count()
    }

    pub(crate) async fn company(&self, email: &str) -> Member {
        let now = self.around.clock.now();
        let owner = self.store.add_tenant(email, email, "unlimited", now);
        owner.await.unwrap()
    }

    /// Tokens of the company, good for everything.
    pub(crate) async fn tokens(&self, owner: &Member, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            let new = tokens::generate(Kind::Bearer).unwrap();
            let token = NewToken {
                tenant_id: &owner.tenant_id,
                member_id: Some(&owner.id),
                kind: Kind::Bearer,
                name: "test",
                hash: &new.hash,
                client: None,
                form: None,
                scopes: "sf:read sf:write",
                created_at: self.around.clock.now(),
                expires_at: None,
            };
            self.store.add_token(&token).await.unwrap();
            texts.push(new.token.expose_secret().to_owned());
        }
        texts
    }

    /// Connects the company to the sandbox, as activation does.
    pub(crate) async fn connect(&self, owner: &Member) {
        let secret = |text: &str| secrecy::SecretString::from(text.to_owned());
        let (id, password) = (sandbox::CLIENT_ID, secret(sandbox::CLIENT_SECRET));
        let origin = self.around.sandbox.origin();
        let http = reqwest::Client::new();
        let grant = oauth::client_credentials(&http, &origin, id, &password).await;
        let new = NewCredentials {
            kind: vault::Kind::ClientCredentials,
            client_id: secret(id),
            client_secret: password,
            grant: grant.unwrap(),
            account: "Carol".to_owned(),
        };
        let (master, clock) = (self.around.master.clone(), self.around.clock.clone());
        let vault = Vault::new(self.store.clone(), master, clock);
        vault.replace(&owner.tenant_id, &new).await.unwrap();
    }

    /// A company that is connected, and tokens of it.
    pub(crate) async fn connected(&self, email: &str, count: usize) -> Vec<String> {
        let owner = self.company(email).await;
        self.connect(&owner).await;
        self.tokens(&owner, count).await
    }

    /// How many calls of all companies have been written down.
    pub(crate) async fn counted(&self) -> i64 {
        let sums = self.store.usage(None, 0, i64::MAX, By::Day).await.unwrap();
        sums.iter().map(|sum| sum.calls).sum()
    }

    /// What the sandbox has counted.
    pub(crate) async fn seen(&self, counter: &str) -> i64 {
        let url = format!("{}/sandbox/state", self.around.sandbox.origin());
        let state = reqwest::get(url).await.unwrap().text().await.unwrap();
        let state: Value = serde_json::from_str(&state).unwrap();
        state.pointer(counter).unwrap().as_i64().unwrap()
    }

    pub(crate) async fn faults(&self, faults: &Value) {
        let url = format!("{}/sandbox/faults", self.around.sandbox.origin());
        let http = reqwest::Client::new();
        let answer = http.post(url).body(faults.to_string()).send().await;
        assert_eq!(answer.unwrap().status(), 204);
    }

    /// A figure of a replica, once it is there.
    pub(crate) async fn metric(&self, number: usize, name: &str) -> i64 {
        let url = format!("http://{}/metrics", self.metrics[number]);
        until(name, async || {
            let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok())
        })
        .await
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) async fn call(&self, token: &str, message: &Value) -> Told {
        told(asked(&self.http, &self.url, token, message)).await
    }

    /// The replicas that answered requests for the path so far.
    pub(crate) fn answered_by(&self, path: &str) -> std::collections::HashSet<String> {
        let served = self.nginx.served();
        let of_path = served.into_iter().filter(|served| served.path == path);
        of_path
            .filter_map(|served| served.to.last().cloned())
            .collect()
    }
}

/// An address that nobody listens on.
fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

/// What every replica is told beside what a single service needs.
fn settings(
    folder: &tempfile::TempDir,
    child: &Path,
    ports: Ports,
    [listen, metrics]: [&str; 2],
) -> impl FnOnce(&mut std::process::Command) {
    move |command| {
        command
            .env("SF_SUPERVISOR_LISTEN", listen)
            .env("SF_SUPERVISOR_METRICS_LISTEN", metrics)
            .env("SF_SUPERVISOR_PUBLIC_URL", ports.url())
            .env("SF_SUPERVISOR_TRUSTED_PROXIES", "127.0.0.1")
            .env("SF_SUPERVISOR_CONFIG", folder.path().join("config.toml"))
            .env("SF_SUPERVISOR_CHILD", child);
    }
}

/// A program that plays sf-mcp as the scripted children do; its diary is in the folder.
pub(crate) fn scripted(folder: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/child.py");
    let path = std::env::var("PATH").unwrap();
    let program = folder.join("child");
    let text = format!(
        "#!/bin/sh\nPATH='{path}' exec python3 -ISE '{}' '{}'\n",
        script.display(),
        folder.display()
    );
    let mut file = std::fs::OpenOptions::new();
    file.create_new(true).write(true).mode(0o755);
    let mut file = file.open(&program).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    program
}

/// Waits until scripted children have written a word so often.
async fn written(folder: &Path, word: &str, times: usize) {
    until(word, async || {
        let page = std::fs::read_to_string(folder.join(word)).unwrap_or_default();
        (page.lines().count() >= times).then_some(())
    })
    .await;
}

/// A call of a tool, in the words of either era.
pub(crate) fn message(era: &str, id: u64, name: &str, arguments: &Value) -> Value {
    let mut params = json!({"name": name, "arguments": arguments});
    if era == MODERN {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": era,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

/// A call that is answered with the name it gives, and does nothing.
pub(crate) fn marked(era: &str, id: u64, mark: &str) -> Value {
    let arguments = json!({"name": mark, "allow_duplicate": true, "dry_run": true});
    message(era, id, "create_customer", &arguments)
}

pub(crate) fn asked(
    http: &reqwest::Client,
    url: &str,
    token: &str,
    message: &Value,
) -> reqwest::RequestBuilder {
    let modern = !message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_null();
    let mut request = http
        .post(format!("{url}/mcp"))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", if modern { MODERN } else { LEGACY });
    if modern {
        request = request.header("mcp-method", message["method"].as_str().unwrap());
        if let Some(name) = message["params"]["name"].as_str() {
            request = request.header("mcp-name", name);
        }
    }
    request.body(message.to_string())
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

pub(crate) async fn told(request: reqwest::RequestBuilder) -> Told {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    Told {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

/// A token of the sandbox company itself.
pub(crate) async fn sandbox_token(scaled: &ScaledOut) -> String {
    let (http, origin) = (reqwest::Client::new(), scaled.around.sandbox.origin());
    let secret = sandbox::CLIENT_SECRET.to_owned().into();
    let grant = oauth::client_credentials(&http, &origin, sandbox::CLIENT_ID, &secret);
    let token = grant.await.unwrap().access_token;
    token.expose_secret().to_owned()
}

/// How often each customer's name is in the sandbox.
pub(crate) async fn customers(scaled: &ScaledOut) -> HashMap<String, usize> {
    let (http, origin) = (reqwest::Client::new(), scaled.around.sandbox.origin());
    let token = sandbox_token(scaled).await;
    let mut names = HashMap::new();
    for page in 1.. {
        let url = format!("{origin}/v1/customers?per-page=50&page={page}");
        let answer = http.get(url).bearer_auth(&token).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        for item in answer["items"].as_array().unwrap() {
            let name = item["customer_name"].as_str().unwrap().to_owned();
            *names.entry(name).or_default() += 1;
        }
        if answer["_meta"]["currentPage"] == answer["_meta"]["pageCount"] {
            break;
        }
    }
    names
}
