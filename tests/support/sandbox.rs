//! The sandbox company as a process of its own, with faults on demand.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::support::{http, integer, sf_mcp};

/// Stops when dropped.
pub(crate) struct Sandbox {
    child: Child,
    address: String,
    token: OnceLock<String>,
}

impl Sandbox {
    /// A company whose request limit no test reaches by accident.
    pub(crate) fn start() -> Self {
        Self::with(&["--requests", "6000"])
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        let mut child = sf_mcp()
            .args(["sandbox", "--control"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .split(' ')
            .find_map(|part| part.strip_prefix("SF_MCP_API_URL=http://"))
            .unwrap_or_else(|| panic!("the sandbox said {line:?}"))
            .to_owned();
        Self {
            child,
            address,
            token: OnceLock::new(),
        }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks for faults; each strikes the requests it matches.
    pub(crate) fn faults(&self, faults: &Value) {
        let (status, body) = http(
            &self.address,
            "POST",
            "/sandbox/faults",
            None,
            &faults.to_string(),
        );
        assert_eq!(status, 204, "{body}");
    }

    /// One fault, so many times, for requests of that method to paths that contain `path`.
    pub(crate) fn fault(&self, method: &str, path: &str, times: u32, fault: &Value) {
        let mut fault = fault.clone();
        fault["match"] = json!({"method": method, "path_contains": path});
        fault["times"] = json!(times);
        self.faults(&json!([fault]));
    }

    pub(crate) fn clear_faults(&self) {
        http(&self.address, "DELETE", "/sandbox/faults", None, "");
    }

    /// Counters of what the sandbox has seen.
    pub(crate) fn state(&self) -> Value {
        self.control("/sandbox/state")
    }

    /// Every request so far: method, path, query, status.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.control("/sandbox/log").as_array().unwrap().clone()
    }

    /// How many requests of that method the path got.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.log()
            .iter()
            .filter(|entry| entry["method"] == method && entry["path"] == path)
            .count()
    }

    fn control(&self, path: &str) -> Value {
        let (status, body) = http(&self.address, "GET", path, None, "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Asks again and again until the state is as wanted.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = std::time::Instant::now();
        loop {
            let state = self.state();
            if wanted(&state) {
                return state;
            }
            assert!(
                started.elapsed() < crate::support::HANG_GUARD,
                "the sandbox never got there: {state}"
            );
            std::thread::yield_now();
        }
    }

    /// Reads the API directly, past the program under test.
    pub(crate) fn get(&self, target: &str) -> Value {
        let (status, body) = http(
            &self.address,
            "GET",
            &format!("/v1/{target}"),
            Some(self.token()),
            "",
        );
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Creates a record directly.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = http(
            &self.address,
            "POST",
            &format!("/v1/{path}"),
            Some(self.token()),
            &body.to_string(),
        );
        assert!((200..300).contains(&status), "{path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// All records of a list, read directly.
    pub(crate) fn all(&self, path: &str, query: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut page = 1;
        loop {
            let answer = self.get(&format!("{path}?per-page=50&page={page}&sort=id&{query}"));
            all.extend(answer["items"].as_array().unwrap().iter().cloned());
            if page >= integer(&answer["_meta"]["pageCount"]).unwrap() {
                return all;
            }
            page += 1;
        }
    }

    /// The one record of a list whose field has that value.
    pub(crate) fn find(&self, path: &str, field: &str, value: &Value) -> Value {
        let found = self.all(path, "").into_iter();
        found
            .into_iter()
            .find(|record| &record[field] == value)
            .unwrap_or_else(|| panic!("no {path} with {field} {value}"))
    }

    fn token(&self) -> &str {
        self.token.get_or_init(|| {
            let body = json!({
                "grant_type": "client_credentials",
                "client_id": "sandbox-consumer",
                "client_secret": "sandbox-consumer-secret",
            });
            let (status, answer) = http(
                &self.address,
                "POST",
                "/oauth/access_token",
                None,
                &body.to_string(),
            );
            assert_eq!(status, 200, "{answer}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            answer["access_token"].as_str().unwrap().to_owned()
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
