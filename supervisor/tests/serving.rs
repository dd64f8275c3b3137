//! What every service answers, and how the program starts.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Service, command::run, sf_mcp};

#[tokio::test]
async fn a_service_says_that_it_lives_and_is_ready() {
    let service = Service::start().await;
    assert_eq!(
        service
            .get("/healthz")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "ok"
    );
    assert_eq!(
        service
            .get("/readyz")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "ready"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_person_who_opens_the_address_is_told_what_to_do() {
    let service = Service::start().await;
    let answer = service.get("/").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let page = answer.text().await.unwrap();
    assert!(page.contains("action=\"/sign-up\""), "{page}");
    assert!(page.contains("href=\"/sign-in\""), "{page}");
}

#[tokio::test]
async fn a_strange_address_is_a_problem_with_a_code_and_an_id() {
    let service = Service::start().await;
    let answer = service.get("/nothing").send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let problem: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "not_found");
    assert_eq!(problem["request_id"], id);
}

#[tokio::test]
async fn two_replicas_migrate_once_or_the_second_is_refused() {
    let service = Service::start().await;
    if service.around.database.is_postgres() {
        let replica = service.replica().await;
        assert_eq!(replica.get("/readyz").send().await.unwrap().status(), 200);
    } else {
        let problem = sf_supervisor::store::Store::open(&service.around.database.url)
            .await
            .unwrap_err();
        assert!(
            problem.to_string().contains("another sf-supervisor uses"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn only_our_own_names_are_answered_but_probes_come_by_any() {
    let service = Service::start().await;
    for (path, host, status) in [
        ("/", "localhost:1", 200),
        ("/", "evil.example", 421),
        ("/api/devices", "evil.example", 421),
        ("/mcp", "evil.example", 421),
        ("/nothing", "evil.example", 421),
        ("/healthz", "10.1.2.3:8080", 200),
        ("/readyz", "10.1.2.3:8080", 200),
    ] {
        let answer = service.get(path).header("host", host).send().await.unwrap();
        assert_eq!(answer.status(), status, "{host}{path}");
    }
    let public = Service::with(|config| config.public_url = "https://mcp.example.com".to_owned());
    let public = public.await;
    let asked = public.get("/").header("host", "MCP.example.com");
    assert_eq!(asked.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn headers_have_a_limit() {
    let service = Service::start().await;
    let with = async |bytes: usize| {
        let asked = service.get("/healthz").header("x-long", "a".repeat(bytes));
        asked.send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(with(20 * 1024).await.unwrap(), 200);
    let refused = with(40 * 1024).await;
    assert!(
        !matches!(refused, Ok(status) if status != 431),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_start_without_sf_mcp_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    for (child, why) in [("/nowhere/sf-mcp", "is not there"), (here, "is no file")] {
        let ran = run("sqlite://none.db", &["serve", "--dev", "--child", child]).await;
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert!(ran.err.contains("SF_SUPERVISOR_CHILD"), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_start_with_wrong_settings_is_not_tried_again_but_one_without_its_database_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.db").display().to_string();
    let (file, child) = (format!("sqlite://{file}"), sf_mcp());
    let key = folder.path().join("master.key").display().to_string();
    std::fs::write(&key, run("", &["keys", "generate"]).await.out).unwrap();
    let start = async |database: &str, more: &[&str]| {
        let mail = folder.path().join("mail");
        let usual = [
            "serve",
            "--listen=127.0.0.1:0",
            "--mail-dir",
            mail.to_str().unwrap(),
            "--master-key-file",
            &key,
            "--child",
            child.to_str().unwrap(),
        ];
        run(database, &[&usual, more].concat()).await
    };
    for (database, more, said) in [
        ("mysql://db/sf", [].as_slice(), "sqlite://"),
        (&file, &["--mail-from=nobody"], "SF_SUPERVISOR_MAIL_FROM"),
        (
            &file,
            &["--trusted-proxies=127.0.0.1"],
            "SF_SUPERVISOR_PUBLIC_URL",
        ),
    ] {
        let ran = start(database, more).await;
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    let away = start("postgres://sf:s3cret@127.0.0.1:1/sf", &[]).await;
    assert_eq!(away.code, 1, "{}", away.err);
    assert!(away.err.contains("refused"), "{}", away.err);
    assert!(!away.err.contains("s3cret"), "{}", away.err);
}

/// The sandbox's port, once the service has started in that folder; the service is killed then.
fn port_of_one_run(folder: &Path) -> String {
    let mut service = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--child"])
        .arg(sf_mcp())
        .env_clear()
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(service.stderr.take().unwrap()).lines();
    let running = said
        .map_while(Result::ok)
        .any(|line| line.contains("is running"));
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(running, "it did not start");
    std::fs::read_to_string(folder.join("sf-supervisor-dev/sandbox.port")).unwrap()
}

#[test]
fn the_sandbox_is_where_it_was_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let port = port_of_one_run(folder.path());
    assert!(port.trim().parse::<u16>().is_ok(), "{port}");
    assert_eq!(port_of_one_run(folder.path()), port);
}

#[test]
fn a_stop_is_told_when_it_begins_and_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--child"])
        .arg(sf_mcp())
        .env_clear()
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(service.stderr.take().unwrap()).lines();
    let mut said = said.map_while(Result::ok);
    assert!(said.any(|line| line.contains("is running")));
    kill_process(Pid::from_child(&service), Signal::TERM).unwrap();
    let told: Vec<String> = said.collect();
    assert!(service.wait().unwrap().success());
    let place = |word: &str| told.iter().position(|line| line.contains(word));
    assert!(place("stopping; ").is_some(), "{told:?}");
    assert!(told[place("stopping; ").unwrap()].contains("calls=0"));
    assert!(place("stopped") > place("stopping; "), "{told:?}");
}
