//! The program over plain pipes: what the hosted endpoint is compared with.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{Call, MODERN};

/// The simulated Service Fusion without a rate limit, and the program that both ways start.
pub(crate) struct Around {
    pub(crate) folder: tempfile::TempDir,
    _sandbox: Child,
}

impl Around {
    pub(crate) async fn start() -> Self {
        let mut sandbox = Command::new(sf_mcp())
            .args(["sandbox", "--requests", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(sandbox.stdout.take().unwrap());
        output.read_line(&mut line).await.unwrap();
        let variables = line.trim().trim_start_matches("export ").to_owned();
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("child");
        // The service gives a child no environment; the company's credentials are the sandbox's.
        let script = format!(
            "#!/bin/sh\nexec env {variables} SF_MCP_HOME={}/home-$$ {} serve\n",
            folder.path().display(),
            sf_mcp().display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            folder,
            _sandbox: sandbox,
        }
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.folder.path().join("child")
    }

    /// The call with jobs that exist.
    pub(crate) async fn with_jobs(&self, mut call: Call, pipe: &mut Pipe) -> Call {
        if call.varied.0 == "job_id" {
            let search = Call {
                title: "",
                method: "tools/call",
                params: serde_json::json!({"name": "search_jobs", "arguments": {"limit": 100}}),
                varied: ("", Vec::new()),
            };
            let answer: Value = serde_json::from_str(&pipe.ask(&search, 1).await).unwrap();
            let jobs = answer["result"]["structuredContent"]["jobs"].as_array();
            let jobs = jobs.unwrap().iter();
            call.varied.1 = jobs.map(|job| job["job_id"].as_i64().unwrap()).collect();
        }
        call
    }
}

/// The release build beside this program's own.
pub(crate) fn sf_mcp() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_sf-supervisor")).with_file_name("sf-mcp");
    assert!(
        program.exists(),
        "{} is missing: cargo build --release -p sf-mcp",
        program.display()
    );
    program
}

/// A child of our own.
pub(crate) struct Pipe {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _child: Child,
}

impl Pipe {
    pub(crate) async fn start(around: &Around) -> Self {
        let mut child = Command::new(around.program())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        tokio::task::yield_now().await;
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::with_capacity(1 << 16, child.stdout.take().unwrap()),
            _child: child,
        }
    }

    pub(crate) async fn call(&mut self, call: &Call, id: usize) {
        self.ask(call, id).await;
    }

    async fn ask(&mut self, call: &Call, id: usize) -> String {
        self.send(call, id).await;
        self.read().await
    }

    async fn send(&mut self, call: &Call, id: usize) {
        let line = call.message(id, MODERN) + "\n";
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    async fn read(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).await.unwrap();
        assert!(
            line.contains("\"result\":") && !line.contains("\"isError\":true"),
            "{line}"
        );
        line
    }

    /// So many calls, `most` of them unanswered at any time.
    pub(crate) async fn keep_in_flight(&mut self, call: &Call, most: usize, calls: usize) {
        for id in 0..calls + most {
            if id < calls {
                self.send(call, id).await;
            }
            if id >= most {
                self.read().await;
            }
        }
    }
}

/// So many calls over all of them, one at a time on each.
pub(crate) async fn all(pipes: &mut [Pipe], call: &Call, calls: usize) {
    let each = calls / pipes.len();
    let running = pipes.iter_mut().map(async |pipe| {
        for id in 0..each {
            pipe.call(call, id).await;
        }
    });
    futures_util::future::join_all(running).await;
}
