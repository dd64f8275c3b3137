//! The figures of this program that anyone can repeat: `cargo bench`.
//!
//! Every figure is taken in the same run as what it is compared with, in turn, and printed as a median and a
//! ratio: machines are noisy, ratios hold. Nothing here fails on a slow machine.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should stop at once"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with two digits"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sf-mcp");

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    println!(
        "sf-mcp {} on {} threads\n",
        env!("CARGO_PKG_VERSION"),
        std::thread::available_parallelism().unwrap()
    );
    start_up();
    let sandbox = Sandbox::start();
    let mut server = Server::start(&sandbox.variables);
    let mut bare = Bare::connect(&sandbox.variables);
    sizes(&mut server);
    one_record(&mut server, &mut bare);
    list_of_twenty(&mut server, &mut bare);
    sixteen_at_once(&mut server, &mut bare);
    println!("memory after all of it: {:.1} MB", server.resident_mb());
}

fn start_up() {
    let folder = std::env::temp_dir().join(format!("sf-mcp-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let source = folder.join("trivial.rs");
    std::fs::write(&source, "fn main() {}").unwrap();
    let trivial = folder.join("trivial");
    let compiled = Command::new("rustc")
        .arg("-O")
        .arg("-o")
        .arg(&trivial)
        .arg(&source)
        .status()
        .unwrap();
    assert!(
        compiled.success(),
        "rustc could not compile an empty program"
    );

    let mut empty = Vec::new();
    let mut ours = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..60 {
        let started = Instant::now();
        Command::new(&trivial).status().unwrap();
        empty.push(started.elapsed());

        let started = Instant::now();
        let mut server = Server::start(&[]);
        server.request("tools/list", &json!({}));
        ours.push(started.elapsed());
        memory.push(server.resident_mb());
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let (empty, ours) = (median(&mut empty), median(&mut ours));
    println!("start of an empty Rust program      {:8.2} ms", ms(empty));
    println!(
        "start to the answer of tools/list   {:8.2} ms   {:.1} x",
        ms(ours),
        ratio(ours, empty)
    );
    memory.sort_by(f64::total_cmp);
    println!(
        "resident memory after it            {:8.1} MB\n",
        memory[memory.len() / 2]
    );
}

fn sizes(server: &mut Server) {
    let (_, catalogue) = server.request("tools/list", &json!({}));
    let tools = serde_json::from_str::<Value>(&catalogue).unwrap()["result"]["tools"]
        .as_array()
        .unwrap()
        .len();
    println!(
        "catalogue of {tools} tools as sent        {:8} characters",
        catalogue.chars().count()
    );
    let (_, jobs) = server.call("search_jobs", &json!({"limit": 20}));
    println!(
        "search_jobs with 20 jobs as sent    {:8} characters\n",
        jobs.chars().count()
    );
}

fn one_record(server: &mut Server, bare: &mut Bare) {
    let ids = server.job_ids();
    let mut own = Vec::new();
    let mut raw = Vec::new();
    for round in 0..2_000 {
        let id = ids[round % ids.len()];
        raw.push(bare.get(&format!("/v1/jobs/{id}?expand=techs_assigned")));
        own.push(server.call("get_job", &json!({"job_id": id})).0);
    }
    report("get_job", &mut own, &mut raw);
}

fn list_of_twenty(server: &mut Server, bare: &mut Bare) {
    server.call("search_jobs", &json!({"limit": 20}));
    let path = bare.last_request();
    let mut own = Vec::new();
    let mut raw = Vec::new();
    for _ in 0..1_000 {
        raw.push(bare.get(&path));
        own.push(server.call("search_jobs", &json!({"limit": 20})).0);
    }
    report("search_jobs, 20 jobs", &mut own, &mut raw);
}

fn report(name: &str, own: &mut [Duration], raw: &mut [Duration]) {
    let (own, raw) = (median(own), median(raw));
    println!(
        "{name}: bare keep-alive GET {:.3} ms, through sf-mcp {:.3} ms",
        ms(raw),
        ms(own)
    );
    println!(
        "    own cost {:.3} ms, {:.1} x the bare exchange; {:.0} calls/s one after another\n",
        ms(own.saturating_sub(raw)),
        ratio(own, raw),
        1.0 / own.as_secs_f64()
    );
}

fn sixteen_at_once(server: &mut Server, bare: &mut Bare) {
    const CALLS: usize = 20_000;
    let ids = server.job_ids();
    let started = Instant::now();
    let mut sent = 0;
    let mut answered = 0;
    while answered < CALLS {
        while sent < CALLS && sent - answered < 16 {
            server.send(
                "tools/call",
                &json!({"name": "get_job", "arguments": {"job_id": ids[sent % ids.len()]}}),
            );
            sent += 1;
        }
        server.read_line();
        answered += 1;
    }
    let ours = CALLS as f64 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    for round in 0..5_000 {
        bare.get(&format!(
            "/v1/jobs/{}?expand=techs_assigned",
            ids[round % ids.len()]
        ));
    }
    let raw = 5_000.0 / started.elapsed().as_secs_f64();
    println!(
        "get_job, 16 at once: {ours:.0} calls/s; bare GETs one after another: {raw:.0}/s ({:.2} x)\n",
        ours / raw
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// The sandbox company in a process of its own, without a rate limit.
struct Sandbox {
    child: Child,
    variables: Vec<(String, String)>,
}

impl Sandbox {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["sandbox", "--requests", "0", "--control"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let variables = line
            .trim()
            .trim_start_matches("export ")
            .split(' ')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { child, variables }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sf-mcp serve` over pipes.
struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next_id: u64,
    home: std::path::PathBuf,
}

impl Server {
    fn start(variables: &[(String, String)]) -> Self {
        let home = std::env::temp_dir().join(format!("sf-mcp-bench-home-{}", std::process::id()));
        let mut child = Command::new(PROGRAM)
            .arg("serve")
            .env("SF_MCP_HOME", &home)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
            next_id: 1,
            home,
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> (Duration, String) {
        self.request("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    fn request(&mut self, method: &str, params: &Value) -> (Duration, String) {
        let started = Instant::now();
        self.send(method, params);
        let line = self.read_line();
        let took = started.elapsed();
        assert!(
            !line.contains("\"isError\":true") && !line.contains("\"error\":"),
            "{line}"
        );
        (took, line)
    }

    fn send(&mut self, method: &str, params: &Value) {
        let mut params = params.clone();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}
        });
        let message =
            json!({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params});
        self.next_id += 1;
        self.input
            .write_all(format!("{message}\n").as_bytes())
            .unwrap();
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        assert!(
            self.output.read_line(&mut line).unwrap() > 0,
            "the server ended"
        );
        line
    }

    fn job_ids(&mut self) -> Vec<i64> {
        let (_, line) = self.call("search_jobs", &json!({"limit": 100}));
        let answer: Value = serde_json::from_str(&line).unwrap();
        let jobs = answer["result"]["structuredContent"]["jobs"]
            .as_array()
            .unwrap();
        jobs.iter()
            .map(|job| job["job_id"].as_i64().unwrap())
            .collect()
    }

    fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap_or_default();
        let kb: f64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .unwrap_or_default();
        kb / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// The same exchange without sf-mcp: one connection, kept alive.
struct Bare {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Bare {
    fn connect(variables: &[(String, String)]) -> Self {
        let value = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| known == name)
                .unwrap()
                .1
                .clone()
        };
        let origin = value("SF_MCP_API_URL");
        let stream = TcpStream::connect(origin.trim_start_matches("http://")).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut bare = Self {
            stream: BufReader::with_capacity(1 << 20, stream),
            token: String::new(),
        };
        let body = json!({
            "grant_type": "client_credentials",
            "client_id": value("SF_MCP_CLIENT_ID"),
            "client_secret": value("SF_MCP_CLIENT_SECRET")
        })
        .to_string();
        let answer = bare.exchange(&format!(
            "POST /oauth/access_token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["access_token"]
            .as_str()
            .unwrap()
            .clone_into(&mut bare.token);
        bare
    }

    fn get(&mut self, path: &str) -> Duration {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        );
        let started = Instant::now();
        self.exchange(&request);
        started.elapsed()
    }

    /// Path and query of the newest API request that the sandbox saw.
    fn last_request(&mut self) -> String {
        let log = self.exchange("GET /sandbox/log HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let log: Value = serde_json::from_slice(&log).unwrap();
        let entry = log
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .find(|entry| entry["path"] == "/v1/jobs")
            .unwrap();
        let query = entry["query"].as_str().unwrap().replace(' ', "%20");
        format!("/v1/jobs?{query}")
    }

    fn exchange(&mut self, request: &str) -> Vec<u8> {
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        body
    }
}
