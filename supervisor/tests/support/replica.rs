//! The service as a process of its own, which can be killed.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Around;

pub(crate) struct Replica {
    process: Killed,
    pub(crate) url: String,
}

impl Replica {
    /// Starts a process and waits until it serves.
    pub(crate) async fn start(around: &Around) -> Self {
        Self::with(around, |_| {}).await
    }

    /// `change` may set anything more in its environment.
    pub(crate) async fn with(around: &Around, change: impl FnOnce(&mut Command)) -> Self {
        let (process, address) = Self::spawn_with(around, change);
        Self {
            process,
            url: address.await.unwrap(),
        }
    }

    /// Starts a process that may end before it serves; the address comes when it does.
    pub(crate) fn spawn(around: &Around) -> (Killed, oneshot::Receiver<String>) {
        Self::spawn_with(around, |_| {})
    }

    fn spawn_with(
        around: &Around,
        change: impl FnOnce(&mut Command),
    ) -> (Killed, oneshot::Receiver<String>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"));
        command
            .arg("serve")
            .env_clear()
            .env("SF_SUPERVISOR_LISTEN", "127.0.0.1:0")
            .env("SF_SUPERVISOR_DATABASE_URL", &around.database.url)
            .env(
                "SF_SUPERVISOR_MASTER_KEY",
                around.master.current().to_base64().as_str(),
            )
            .env("SF_SUPERVISOR_MAIL_DIR", around.mail())
            .env("SF_SUPERVISOR_API_URL", around.sandbox.origin())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        // The log is read to its end, or the process would wait for room in the pipe.
        let (told, address) = oneshot::channel();
        std::thread::spawn(move || {
            let mut told = Some(told);
            for line in log.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = line["address"].as_str()
                    && let Some(told) = told.take()
                {
                    let _ = told.send(format!("http://{address}"));
                }
            }
        });
        (Killed(child), address)
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.0.id()
    }

    /// `127.0.0.1:8080`
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Asks it to stop, as a service manager does, and waits for its end.
    pub(crate) async fn stop(self) -> ExitStatus {
        let process = Pid::from_child(&self.process.0);
        kill_process(process, Signal::TERM).unwrap();
        let mut process = self.process;
        tokio::task::spawn_blocking(move || process.0.wait().unwrap())
            .await
            .unwrap()
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
