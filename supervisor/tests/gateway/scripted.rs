//! Children that misbehave on demand, and companies that use them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use sf_supervisor::{
    child::{Launch, Lend},
    children::{Children, Keep},
    config::Config,
};

use crate::support::{Service, until};

/// A service whose children are scripted, and the diary that they keep.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) service: Service,
    pub(super) diary: Diary,
}

impl Scripted {
    pub(super) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// `change` may change any other setting before the start.
    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let diary = Diary::new();
        let arguments = diary.arguments(&[]);
        let service = Service::with(|config| {
            config.child = python();
            config.child_arguments = arguments;
            change(config);
        })
        .await;
        Self { service, diary }
    }

    /// Another replica, whose children write into the same diary (PostgreSQL only).
    pub(super) async fn replica(&self) -> Service {
        assert!(self.service.around.database.is_postgres());
        let arguments = self.diary.arguments(&[]);
        Service::over(Arc::clone(&self.service.around), |config| {
            config.child = python();
            config.child_arguments = arguments;
        })
        .await
    }
}

/// What the children wrote down.
#[derive(Debug)]
pub(super) struct Diary(tempfile::TempDir);

impl Diary {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn arguments(&self, mood: &[&str]) -> Vec<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/child.py");
        let paths = [script.as_path(), self.0.path()].map(|path| path.to_str().unwrap().to_owned());
        let mut arguments = vec!["-ISE".to_owned()];
        arguments.extend(paths);
        arguments.extend(mood.iter().map(|word| (*word).to_owned()));
        arguments
    }

    pub(super) fn launch(&self, mood: &[&str]) -> Launch {
        Launch {
            program: python(),
            arguments: self.arguments(mood),
            environment: Vec::new(),
        }
    }

    /// Children kept in some other way than a service's.
    pub(super) fn children(&self, mood: &[&str], keep: Keep) -> Arc<Children> {
        Children::new(self.launch(mood), nobody(), keep)
    }

    /// The processes that wrote a word, in order.
    pub(super) fn who(&self, word: &str) -> Vec<u32> {
        let page = std::fs::read_to_string(self.0.path().join(word)).unwrap_or_default();
        page.lines().map(|line| line.parse().unwrap()).collect()
    }

    pub(super) async fn written(&self, word: &str, times: usize) {
        until(word, async || (self.who(word).len() >= times).then_some(())).await;
    }
}

/// Lends no token.
pub(super) fn nobody() -> Lend {
    Arc::new(|_, _| Box::pin(async { json!({"status": 503}) }))
}

pub(super) fn keep(most: usize, idle: Duration) -> Keep {
    Keep { most, idle }
}

fn python() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let python = std::env::split_paths(&path)
        .map(|folder| folder.join("python3"))
        .find(|program| program.exists());
    assert!(python.is_some(), "these tests need python3");
    python.unwrap()
}

/// A legacy call of a tool.
pub(super) fn call(id: impl Into<Value>, name: &str, arguments: impl Into<Value>) -> Value {
    let arguments = arguments.into();
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

/// A process that runs; the remains of one that has ended do not.
pub(super) fn runs(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

/// Neither runs nor remains.
pub(super) fn is_gone(process: u32) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}

pub(super) async fn gone(process: u32) {
    until("end of the process", async || {
        is_gone(process).then_some(())
    })
    .await;
}

/// Ends a process as a crash does.
pub(super) fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
}

/// This process's children, the remains of dead ones among them.
pub(super) fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        if after.split_whitespace().nth(1) == Some(parent.to_string().as_str()) {
            children.push(process);
        }
    }
    children
}
