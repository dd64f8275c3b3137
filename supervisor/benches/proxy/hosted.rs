//! The real service, asked as a client asks it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use secrecy::ExposeSecret;
use sf_mcp::{auth::oauth::Grant, sandbox, seal::SealingKey};
use sf_supervisor::{
    clock::Clock,
    master_key::MasterKeys,
    store::Store,
    tokens::{self, Kind},
    vault::{self, NewCredentials, Vault},
};
use sqlx::{Connection as _, Executor};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{Call, MODERN, plain::Around};

const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// The program with a database of its own.
pub(crate) struct Service {
    process: Child,
    address: String,
    tokens: Vec<String>,
}

impl Service {
    /// With so many companies, whose calls a child that was given the sandbox's credentials answers.
    pub(crate) async fn start(around: &Around, companies: usize) -> Self {
        let files = Files::new(around, companies).await;
        files.serve(&around.program(), "http://127.0.0.1:9").await
    }
}

/// A database with companies that each have a token, and the settings beside it.
pub(crate) struct Files {
    folder: PathBuf,
    database: String,
    tokens: Vec<String>,
}

impl Files {
    pub(crate) async fn new(around: &Around, companies: usize) -> Self {
        let folder = tempfile::tempdir_in(around.folder.path()).unwrap().keep();
        let database = format!("sqlite://{}", folder.join("bench.db").display());
        let tokens = companies_in(&database, companies).await;
        let limits = "per_minute = 9_000_000\nburst = 1_000_000\nper_day = 1_000_000_000\nin_flight = 1_000\n";
        std::fs::write(
            folder.join("config.toml"),
            format!("[tiers.free]\n{limits}"),
        )
        .unwrap();
        std::fs::write(folder.join("key"), KEY).unwrap();
        Self {
            folder,
            database,
            tokens,
        }
    }

    /// Gives each company credentials of the sandbox, with an access token that has run out.
    pub(crate) async fn connect_all(&self) {
        let store = Store::connect(&self.database).await.unwrap();
        let key = SealingKey::from_base64(KEY).unwrap();
        let keys = MasterKeys::new(key, Vec::new());
        let vault = Vault::new(store.clone(), keys, Clock::default());
        vault.mark().await.unwrap();
        let new = NewCredentials {
            kind: vault::Kind::ClientCredentials,
            client_id: sandbox::CLIENT_ID.into(),
            client_secret: sandbox::CLIENT_SECRET.into(),
            grant: Grant {
                access_token: "spent".into(),
                expires_in: Duration::ZERO,
                refresh_token: None,
            },
            account: "Bench".to_owned(),
        };
        for number in 0..self.tokens.len() {
            vault.replace(&format!("ten_{number}"), &new).await.unwrap();
        }
        store.close().await;
    }

    /// The program, which starts `child` for a company and asks `api` for it.
    pub(crate) async fn serve(self, child: &Path, api: &str) -> Service {
        let folder = &self.folder;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
            .arg("serve")
            .env_clear()
            .env("SF_SUPERVISOR_LISTEN", &address)
            .env("SF_SUPERVISOR_DATABASE_URL", &self.database)
            .env("SF_SUPERVISOR_MASTER_KEY_FILE", folder.join("key"))
            .env("SF_SUPERVISOR_MAIL_DIR", folder.join("mail"))
            .env("SF_SUPERVISOR_CHILD", child)
            .env("SF_SUPERVISOR_API_URL", api)
            .env("SF_SUPERVISOR_CONFIG", folder.join("config.toml"))
            .envs(std::env::vars().filter(|(name, _)| name == "TOKIO_WORKER_THREADS"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let service = Service {
            process,
            address,
            tokens: self.tokens,
        };
        while TcpStream::connect(&service.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        service
    }
}

impl Service {
    pub(crate) async fn connect(&self, tenant: usize) -> Connection {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream: BufReader::with_capacity(1 << 16, stream),
            token: self.tokens[tenant].clone(),
            body: Vec::new(),
            acknowledges_at_once: None,
        }
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn resident_mb(&self) -> f64 {
        resident_kb(self.process()) as f64 / 1000.0
    }

    /// User and system time of the service alone, in µs.
    pub(crate) fn processor_us(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process())).unwrap();
        // As the scheduler counts it: the usual figures are samples, a hundred a second.
        let spent = threads.map(|thread| {
            let path = thread.unwrap().path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let nanoseconds = text.split_whitespace().next();
            nanoseconds.map_or(0, |number| number.parse::<u64>().unwrap())
        });
        spent.sum::<u64>() as f64 / 1000.0
    }

    /// The processes it has started.
    pub(crate) fn children(&self) -> Vec<u32> {
        let process = self.process();
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let of_task = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
        };
        let all: Vec<String> = tasks.map(of_task).collect();
        let numbers = all.iter().flat_map(|line| line.split_whitespace());
        numbers.map(|number| number.parse().unwrap()).collect()
    }

    pub(crate) async fn stop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.process().to_string())
            .status();
        while self.process.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Companies that each have a token, written at once.
async fn companies_in(database: &str, companies: usize) -> Vec<String> {
    let store = Store::open(database).await.unwrap();
    store.close().await;
    drop(store);
    let mut connection = sqlx::AnyConnection::connect(database).await.unwrap();
    let mut texts = Vec::new();
    connection.execute("BEGIN").await.unwrap();
    for number in 0..companies {
        let new = tokens::generate(Kind::Bearer).unwrap();
        let tenant = format!(
            "INSERT INTO tenants (id, company, tier, note, created_at, activated_at) \
             VALUES ('ten_{number}', 'Company {number}', 'free', '', 0, 0)"
        );
        let token = format!(
            "INSERT INTO tokens (id, tenant_id, kind, name, hash, scopes, created_at) \
             VALUES ('tok_{number}', 'ten_{number}', 'bearer', 'bench', '{}', 'sf:read sf:write', 0)",
            new.hash
        );
        for statement in [tenant, token] {
            let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
            connection.execute(statement).await.unwrap();
        }
        texts.push(new.token.expose_secret().to_owned());
    }
    connection.execute("COMMIT").await.unwrap();
    connection.close().await.unwrap();
    texts
}

/// A client's connection that is kept.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    token: String,
    pub(crate) body: Vec<u8>,
    /// Whether it acknowledges what comes at once, or as late as the kernel may, as a client does that has nothing to
    /// send; else as the kernel sees fit.
    acknowledges_at_once: Option<bool>,
}

impl Connection {
    pub(crate) fn acknowledging(mut self, at_once: bool) -> Self {
        self.acknowledges_at_once = Some(at_once);
        self
    }

    pub(crate) async fn call(&mut self, call: &Call, id: usize, era: &str) {
        self.ask(call, id, era).await;
        let text = std::str::from_utf8(&self.body).unwrap();
        assert!(
            text.contains("\"result\":") && !text.contains("\"isError\":true"),
            "{text}"
        );
    }

    /// As `call`, for an answer that may be an error; it stands in `body`.
    pub(crate) async fn ask(&mut self, call: &Call, id: usize, era: &str) {
        let message = call.message(id, era);
        let mut head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\nuser-agent: bench/1\r\nmcp-protocol-version: {era}\r\ncontent-length: {}\r\n",
            self.token,
            message.len()
        );
        if era == MODERN {
            let _ = write!(head, "mcp-method: {}\r\n", call.method);
            if let Some(name) = call.params["name"].as_str() {
                let _ = write!(head, "mcp-name: {name}\r\n");
            }
        }
        head += "\r\n";
        head += &message;
        // The kernel forgets it with what comes in, so it is said before each request.
        #[cfg(target_os = "linux")]
        if let Some(at_once) = self.acknowledges_at_once {
            rustix::net::sockopt::set_tcp_quickack(self.stream.get_ref(), at_once).unwrap();
        }
        self.stream
            .get_mut()
            .write_all(head.as_bytes())
            .await
            .unwrap();
        self.read().await;
    }

    async fn read(&mut self) {
        let (mut line, mut length, mut is_first) = (String::new(), None::<usize>, true);
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.unwrap();
            if is_first {
                assert!(line.starts_with("HTTP/1.1 200"), "{line}");
                is_first = false;
            }
            if let Some(text) = line.strip_prefix("content-length: ") {
                length = Some(text.trim().parse().unwrap());
            }
            if line == "\r\n" {
                break;
            }
        }
        match length {
            Some(length) => {
                self.body.resize(length, 0);
                self.stream.read_exact(&mut self.body).await.unwrap();
            }
            None => self.read_stream().await,
        }
    }
}

impl Connection {
    /// A stream of events, in chunks; the last event is the answer.
    async fn read_stream(&mut self) {
        self.body.clear();
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let begin = self.body.len();
            self.body.resize(begin + length + 2, 0);
            self.stream
                .read_exact(&mut self.body[begin..])
                .await
                .unwrap();
            self.body.truncate(begin + length);
            if length == 0 {
                return;
            }
        }
    }
}

/// So many calls over all of them, one at a time on each. They ask for different things at any time, as one pipe does:
/// the program shares the answer of equal requests that are in flight at once.
pub(crate) async fn all(connections: &mut [Connection], call: &Call, calls: usize) {
    let count = connections.len();
    let running = connections
        .iter_mut()
        .enumerate()
        .map(async |(number, connection)| {
            for id in 0..calls / count {
                connection.call(call, id * count + number, MODERN).await;
            }
        });
    futures_util::future::join_all(running).await;
}

pub(crate) fn resident_kb(process: u32) -> u64 {
    field(&format!("/proc/{process}/status"), "VmRSS:")
}

pub(crate) fn proportional_kb(process: u32) -> u64 {
    field(&format!("/proc/{process}/smaps_rollup"), "Pss:")
}

fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0, |number| number.parse().unwrap())
}
