//! What a hosted child may do on this machine: next to nothing.
#![cfg(target_os = "linux")]

use std::{
    io::{Read, Write},
    net::ToSocketAddrs,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
};

use sf_mcp::confine;

use super::{
    Database, ask, company, modern, post,
    scripted::{children_of, runs},
};
use crate::support::{Service, sf_mcp, until};
use serde_json::json;

#[tokio::test]
async fn a_hosted_child_has_no_environment_no_rights_and_a_group_of_its_own() {
    let service = Service::with(|config| config.child = sf_mcp()).await;
    let token = company(&service, "owner@example.com").await;
    let discover = modern(&json!(1), "server/discover", json!({}));
    assert_eq!(ask(&service, &token, &discover).await.0, 200);
    let process = service.app.children.list()[0].1;
    let read = |name: &str| std::fs::read(format!("/proc/{process}/{name}")).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();

    assert_eq!(text("environ"), "");
    let program = sf_mcp();
    assert_eq!(
        text("cmdline"),
        format!("{}\0serve\0--hosted\0", program.display())
    );
    assert!(text("status").contains("NoNewPrivs:\t1"));
    let limits = text("limits");
    for line in [
        "Max core file size 0 0 bytes",
        "Max open files 256 256 files",
        "Max address space 2147483648 2147483648 bytes",
    ] {
        let squeezed = limits
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(
            squeezed.into_iter().any(|found| found == line),
            "{line}: {limits}"
        );
    }
    let stat = text("stat");
    // Behind the name, which may hold anything; proc(5) counts them from 1, with two before.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let (group, policy) = (fields[5 - 3], fields[41 - 3]);
    // SCHED_BATCH.
    assert_eq!(policy, "3");
    assert_eq!(group, process.to_string());
    // Its three descriptors lead to this process; it opened no file.
    for number in std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .flatten()
    {
        let target = std::fs::read_link(number.path()).unwrap();
        let target = target.to_string_lossy();
        assert!(
            ["pipe:", "socket:", "anon_inode:", "/dev/null"]
                .iter()
                .any(|kind| target.starts_with(kind)),
            "{target}"
        );
    }
    service.stop().await;
    assert!(!runs(process));
}

/// Said by the confined process, and read by the test that started it.
const CONFINED: &str = "confined as it must be";

/// Runs in a process of its own, which must not go on after it.
#[test]
#[ignore = "run by the next test, in a process of its own"]
fn inside() {
    let denied = |outcome: std::io::Result<()>, what: &str| {
        let problem = outcome.expect_err(what);
        assert_eq!(
            problem.kind(),
            std::io::ErrorKind::PermissionDenied,
            "{what}"
        );
    };
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "s").unwrap();
    confine::confine().unwrap();

    let open = |path: &str| std::fs::File::open(path).map(drop);
    for path in [
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/mem",
        "/",
        "/root",
        "/dev/mem",
        "/bin/sh",
        "/usr/bin",
    ] {
        match open(path) {
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => {}
            outcome => denied(outcome, path),
        }
    }
    denied(open(secret.to_str().unwrap()), "another's file");
    denied(std::fs::write(home.path().join("new"), "x"), "a new file");
    denied(std::fs::write("/etc/ssl/new", "x"), "a certificate");
    denied(std::fs::remove_file(&secret), "removing");
    denied(std::fs::create_dir(home.path().join("folder")), "a folder");
    denied(std::fs::rename(&secret, home.path().join("x")), "renaming");
    denied(Command::new("/bin/true").status().map(drop), "a program");
    // On many systems /lib holds programs; libraries are read there, not run.
    let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    for loader in loader
        .iter()
        .filter_map(|path| std::fs::canonicalize(path).ok())
    {
        denied(
            Command::new(loader).arg("--version").status().map(drop),
            "the loader",
        );
    }

    // What it needs for Service Fusion.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .build()
        .expect("certificates are read");
    assert!(std::fs::read_dir("/etc/ssl/certs").is_ok());
    assert!(
        ("localhost", 80)
            .to_socket_addrs()
            .expect("names are resolved")
            .next()
            .is_some()
    );
    std::thread::spawn(|| assert!(std::fs::File::open("/etc/passwd").is_err()))
        .join()
        .unwrap();
    std::io::stdout().write_all(CONFINED.as_bytes()).unwrap();
}

#[test]
fn a_confined_process_opens_no_file_but_those_it_needs() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "gateway::confinement::inside",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    let mut problem = String::new();
    ours.read_to_string(&mut problem).unwrap();
    assert!(
        child.wait().unwrap().success() && said.contains(CONFINED),
        "{said}{problem}"
    );
}

#[test]
fn a_hosted_process_without_its_service_does_not_serve() {
    let output = Command::new(sf_mcp())
        .args(["serve", "--hosted"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(!output.stderr.is_empty());
}

#[tokio::test]
async fn children_end_when_the_service_is_killed() {
    let database = Database::new().await;
    let state = tempfile::tempdir().unwrap();
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
        .args(["serve", "--dev", "--listen", &address.to_string()])
        .env_clear()
        .env("HOME", state.path())
        .env("STATE_DIRECTORY", state.path())
        .env("SF_SUPERVISOR_DATABASE_URL", &database.url)
        .env("SF_SUPERVISOR_CHILD", sf_mcp())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let url = format!("http://{address}");
    until("service", async || {
        let answer = http.get(format!("{url}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    let token = "sfb_test";
    let hash = sf_supervisor::tokens::hash(token);
    database
        .run(&format!(
            "INSERT INTO tenants (id, company, tier, note, created_at) VALUES ('ten_1', 'Acme', 'free', '', 1);
             INSERT INTO tokens (id, tenant_id, kind, name, hash, scopes, created_at) VALUES ('tok_1', 'ten_1', 'bearer', 't', '{hash}', 'sf:read', 1)"
        ))
        .await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let ask = http
        .post(format!("{url}/mcp"))
        .bearer_auth(token)
        .header("content-type", "application/json");
    let answer = ask.body(list.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("get_dispatch_board"));

    let children = children_of(supervisor.id());
    assert_eq!(children.len(), 1);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    until("end of the orphan", async || {
        (!runs(children[0])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_company_has_a_process_of_its_own() {
    let service = Service::with(|config| config.child = sf_mcp()).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for number in 0..3 {
        let token = company(&service, &format!("owner{number}@example.com")).await;
        let other = company(&service, &format!("owner{number}@example.com")).await;
        for token in [&token, &other] {
            assert_eq!(
                post(&service, token, &list).send().await.unwrap().status(),
                200
            );
        }
    }
    let processes: std::collections::HashSet<u32> = service
        .app
        .children
        .list()
        .iter()
        .map(|child| child.1)
        .collect();
    assert_eq!(processes.len(), service.app.children.list().len());
    service.stop().await;
    assert_eq!(children_of(std::process::id()), Vec::<u32>::new());
}
