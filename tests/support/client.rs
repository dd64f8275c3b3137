//! An MCP client that can also misbehave: it speaks lines to the real server over pipes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{HANG_GUARD, Home, Sandbox, sf_mcp};

pub(crate) const MODERN: &str = "2026-07-28";

/// How a server is started.
pub(crate) struct Serve(Command);

impl Serve {
    /// Signed in to the sandbox.
    pub(crate) fn to(sandbox: &Sandbox, home: &Home) -> Self {
        Self::signed_out(home)
            .env("SF_MCP_API_URL", &sandbox.origin())
            .env("SF_MCP_CLIENT_ID", "sandbox-consumer")
            .env("SF_MCP_CLIENT_SECRET", "sandbox-consumer-secret")
    }

    pub(crate) fn signed_out(home: &Home) -> Self {
        let mut command = sf_mcp();
        command.arg("serve").env("SF_MCP_HOME", home.path());
        Self(command)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.0.args(arguments);
        self
    }

    /// Started by strace, which writes every system call to `file`, with what is behind each descriptor.
    #[cfg(target_os = "linux")]
    pub(crate) fn traced(self, file: &std::path::Path) -> McpClient {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-yy", "-o"])
            .arg(file)
            .arg(self.0.get_program())
            .args(self.0.get_args());
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self(command).start()
    }

    pub(crate) fn start(mut self) -> McpClient {
        let mut child = self
            .0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        McpClient {
            input: child.stdin.take(),
            child,
            lines,
            seen: Vec::new(),
            next_id: 1,
            log: Some(log),
        }
    }
}

/// A client's end of a session. The server is killed when this is dropped.
pub(crate) struct McpClient {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything the server wrote so far, as it stood on the line and as JSON.
    seen: Vec<(String, Value)>,
    next_id: i64,
    log: Option<JoinHandle<String>>,
}

/// How a session ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) messages: Vec<Value>,
    pub(crate) stderr: String,
}

impl McpClient {
    /// Signed in to the sandbox, as most tests want it.
    pub(crate) fn start(sandbox: &Sandbox, home: &Home) -> Self {
        Serve::to(sandbox, home).start()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Writes bytes as they are and a line end. A server that is gone is no error: its end is what is tested then.
    pub(crate) fn write(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        let _ = input
            .write_all(line.as_ref())
            .and_then(|()| input.write_all(b"\n"))
            .and_then(|()| input.flush());
    }

    /// Sends a request of the protocol without a handshake and returns its id.
    pub(crate) fn send(&mut self, method: &str, params: Value) -> i64 {
        let mut params = params;
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        });
        for (name, value) in meta.as_object().unwrap() {
            params["_meta"][name] = value.clone();
        }
        self.send_legacy(method, &params)
    }

    /// Sends a request as clients with a handshake do.
    pub(crate) fn send_legacy(&mut self, method: &str, params: &Value) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.write(message.to_string());
        id
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.write(json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// The handshake of the earlier protocol revisions.
    pub(crate) fn initialize(&mut self, version: &str) -> Value {
        let params = json!({
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": {"name": "tests", "version": "1"},
        });
        let id = self.send_legacy("initialize", &params);
        let answer = self.answer(id);
        self.notify("notifications/initialized", &json!({}));
        answer
    }

    /// Sends a request and waits for its whole answer.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// The result of a request that succeeds.
    pub(crate) fn result(&mut self, method: &str, params: Value) -> Value {
        let answer = self.request(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    pub(crate) fn send_call(&mut self, tool: &str, arguments: &Value) -> i64 {
        self.send("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// The structured answer of a tool that succeeds.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let id = self.send_call(tool, arguments);
        self.called(id)
    }

    /// The whole answer of a tool, whether it succeeded or not.
    pub(crate) fn answer_to_call(&mut self, tool: &str, arguments: &Value) -> Value {
        let id = self.send_call(tool, arguments);
        self.answer(id)
    }

    /// The structured answer of a call that was sent before.
    pub(crate) fn called(&mut self, id: i64) -> Value {
        let answer = self.answer(id);
        let result = &answer["result"];
        assert_ne!(result["isError"], true, "{answer}");
        assert!(result["structuredContent"].is_object(), "{answer}");
        result["structuredContent"].clone()
    }

    /// The structured error of a tool that fails.
    pub(crate) fn refusal(&mut self, tool: &str, arguments: &Value) -> Refusal {
        let id = self.send_call(tool, arguments);
        self.refused(id)
    }

    /// The structured error of a call that was sent before.
    pub(crate) fn refused(&mut self, id: i64) -> Refusal {
        let answer = self.answer(id);
        let result = &answer["result"];
        assert_eq!(result["isError"], true, "{answer}");
        Refusal {
            text: result["content"][0]["text"].as_str().unwrap().to_owned(),
            fields: result["structuredContent"].clone(),
        }
    }

    /// Waits for the answer to that id.
    pub(crate) fn answer(&mut self, id: impl Into<Value>) -> Value {
        let line = self.line(id);
        serde_json::from_str(&line).unwrap()
    }

    /// The answer to that id as it stood on the line.
    pub(crate) fn line(&mut self, id: impl Into<Value>) -> String {
        let id = id.into();
        let is_answer = |message: &Value| message["id"] == id && message["method"].is_null();
        if let Some((line, _)) = self.seen.iter().find(|(_, message)| is_answer(message)) {
            return line.clone();
        }
        loop {
            let (line, message) = self
                .read()
                .unwrap_or_else(|problem| panic!("no answer to {id}: {problem:?}"));
            if is_answer(&message) {
                return line;
            }
        }
    }

    /// Waits until the server writes something, but no longer than that.
    pub(crate) fn wait_at_most(&mut self, patience: Duration) {
        let _ = self.read_within(patience);
    }

    fn read(&mut self) -> Result<(String, Value), RecvTimeoutError> {
        self.read_within(HANG_GUARD)
    }

    fn read_within(&mut self, patience: Duration) -> Result<(String, Value), RecvTimeoutError> {
        let line = self.lines.recv_timeout(patience)?;
        let message = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("stdout holds more than the protocol: {line:?}"));
        self.seen.push((line, message));
        Ok(self.seen.last().unwrap().clone())
    }

    /// Notifications with that method that have come so far.
    pub(crate) fn notifications(&self, method: &str) -> Vec<Value> {
        self.seen
            .iter()
            .filter(|(_, message)| message["method"] == method)
            .map(|(_, message)| message["params"].clone())
            .collect()
    }

    /// Closes stdin, as clients end a session, and waits for the process.
    pub(crate) fn finish(mut self) -> Ended {
        self.input = None;
        self.ended()
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ended(mut self) -> Ended {
        loop {
            match self.read() {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the server does not end"),
            }
        }
        let status = self.child.wait().unwrap();
        Ended {
            status,
            messages: self
                .seen
                .iter()
                .map(|(_, message)| message.clone())
                .collect(),
            stderr: self.log.take().unwrap().join().unwrap(),
        }
    }
}

impl Drop for McpClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tool's error, as a model reads it and as a program does.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) text: String,
    pub(crate) fields: Value,
}

impl Refusal {
    pub(crate) fn code(&self) -> &str {
        self.fields["code"].as_str().unwrap()
    }

    pub(crate) fn argument(&self) -> &str {
        self.fields["argument"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn says(&self, part: &str) {
        assert!(
            self.text.contains(part),
            "{part:?} is not in {:?}",
            self.text
        );
    }
}
