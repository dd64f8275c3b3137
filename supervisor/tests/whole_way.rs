//! From the first request to a counted call, with the real sf-mcp on the company's machines.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    activation::activated,
    signup::value,
    support::{Service, mailbox::code_in, sf_mcp, until},
};

const EMAIL: &str = "anna@example.com";

/// One machine of the company: a folder that holds all that sf-mcp keeps.
struct Machine(tempfile::TempDir);

/// How a command ended.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = Command::new(sf_mcp())
            .args(arguments)
            .env_clear()
            .env("SF_MCP_HOME", self.0.path())
            .env("SF_MCP_KEYCHAIN", "off")
            .env("SF_MCP_USAGE_EVERY_MS", "20")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    async fn call(&self, tool: &str) -> Ran {
        self.run(&["call", tool, "--json"], "").await
    }
}

async fn get(service: &Service, path: &str, token: &str) -> Value {
    value(service.get(path).bearer_auth(token).send().await.unwrap()).await
}

/// The company's calls since this day began here. The service's clock, which tests set to the start of its next day, may
/// be in the next month, for which alone it tells otherwise.
async fn used(service: &Service, token: &str) -> Value {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let path = format!("/api/usage?by=tool&from={}", today.date());
    get(service, &path, token).await
}

/// The company's machines, without its own tokens.
async fn machines(service: &Service, token: &str) -> Vec<Value> {
    let listed = get(service, "/api/devices", token).await;
    let mut listed = listed["devices"].as_array().unwrap().clone();
    listed.retain(|device| device["kind"] == "device");
    listed
}

/// The machine's login, from a bundle that the company's token fetched.
async fn logged_in(service: &Service, token: &str) -> Machine {
    let machine = Machine::new();
    let bundle = service.get("/api/bundles/env").bearer_auth(token);
    let bundle = bundle.send().await.unwrap().text().await.unwrap();
    let file = machine.0.path().join("acme.env");
    std::fs::write(&file, bundle).unwrap();
    let ran = machine
        .run(&["login", "--bundle", file.to_str().unwrap()], "")
        .await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    machine
}

#[tokio::test]
async fn a_bundle_brings_a_machine_to_a_counted_call() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let token = active["token"].as_str().unwrap();
    let machine = logged_in(&service, token).await;

    let ran = machine.call("get_dispatch_board").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let board: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(board["counts"]["jobs"].as_u64().unwrap() > 0, "{board}");

    let used = used(&service, token).await;
    assert_eq!(used["rows"][0]["tool"], "get_dispatch_board", "{used}");
    assert_eq!(used["totals"]["calls"], 1, "{used}");
    let devices = machines(&service, token).await;
    assert_eq!(devices.len(), 1, "{devices:?}");
    assert!(devices[0]["last_used_at"].is_number(), "{devices:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_code_brings_a_machine_in_and_a_revoked_one_is_out() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let token = active["token"].as_str().unwrap();
    let machine = Machine::new();
    let login = [
        "login",
        "--supervisor",
        &service.url,
        "--email",
        EMAIL,
        "--code-stdin",
    ];
    let mut child = Command::new(sf_mcp())
        .args(login)
        .env_clear()
        .env("SF_MCP_HOME", machine.0.path())
        .env("SF_MCP_KEYCHAIN", "off")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mails = service.mails(EMAIL, 2).await;
    let code = code_in(mails.last().unwrap()).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(format!("{code}\n").as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(machine.call("list_technicians").await.code, 0);

    let ran = machine.run(&["logout"], "").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let devices = machines(&service, token).await;
    assert!(
        devices.is_empty(),
        "logging out revokes the device: {devices:?}"
    );
    assert_eq!(machine.call("list_technicians").await.code, 3);
}

#[tokio::test]
async fn a_suspended_company_is_refused_and_served_again_without_a_new_login() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let (id, token) = (
        active["tenant"]["id"].as_str().unwrap(),
        active["token"].as_str().unwrap(),
    );
    let machine = logged_in(&service, token).await;
    let now = service.app.clock.now();
    let database = &service.around.database;
    let suspend = format!("UPDATE tenants SET suspended_at = {now} WHERE id = '{id}'");
    database.run(&suspend).await;
    // What was lent lasts; a machine without a token gets none.
    let other = Machine::new();
    let file = machine.0.path().join("acme.env");
    let login = ["login", "--bundle", file.to_str().unwrap()];
    let ran = other.run(&login, "").await;
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("is suspended"), "{}", ran.err);

    let resume = format!("UPDATE tenants SET suspended_at = NULL WHERE id = '{id}'");
    database.run(&resume).await;
    until("login", async || {
        (other.run(&login, "").await.code == 0).then_some(())
    })
    .await;
    assert_eq!(other.call("list_technicians").await.code, 0);
}

#[tokio::test]
async fn calls_go_on_while_the_service_is_down_and_are_counted_when_it_is_back() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let token = active["token"].as_str().unwrap();
    let machine = logged_in(&service, token).await;
    let (around, port) = (service.around.clone(), service.port());
    service.stop().await;

    for _ in 0..3 {
        let ran = machine.call("list_technicians").await;
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let status = machine.run(&["status"], "").await;
    assert!(status.out.contains("3 wait to be sent"), "{}", status.out);

    let service = Service::on_port(around, port).await;
    // A machine that was refused waits a little before it sends again.
    let made = std::cell::Cell::new(3);
    until("usage of every call", async || {
        assert_eq!(machine.call("list_technicians").await.code, 0);
        let calls = made.get() + 1;
        made.set(calls);
        let used = used(&service, token).await;
        assert!(used["totals"]["calls"].as_i64() <= Some(calls), "{used}");
        (used["totals"]["calls"] == calls).then_some(())
    })
    .await;
    service.stop().await;
}

async fn set_zone(service: &Service, token: &str, zone: &str) {
    let set = service
        .http
        .patch(format!("{}/api/tenant", service.url))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(json!({"time_zone": zone}).to_string());
    assert_eq!(set.send().await.unwrap().status(), 200);
}

async fn zone(machine: &Machine) -> String {
    let ran = machine.run(&["status", "--json"], "").await;
    let status: Value = serde_json::from_str(&ran.out).unwrap();
    status["time_zone"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_machine_has_the_companys_time_zone_until_it_has_one_of_its_own() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let token = active["token"].as_str().unwrap();
    let machine = Machine::new();
    let own = zone(&machine).await;
    set_zone(&service, token, "Pacific/Auckland").await;
    let bundle = service.get("/api/bundles/env").bearer_auth(token);
    let bundle = bundle.send().await.unwrap().text().await.unwrap();
    assert!(
        bundle.contains("\nSF_MCP_TIME_ZONE=Pacific/Auckland\n"),
        "{bundle}"
    );
    let machine = logged_in(&service, token).await;
    assert_eq!(zone(&machine).await, "Pacific/Auckland");

    // An access token that Service Fusion refuses is replaced by another one, and the zone is told with it.
    set_zone(&service, token, "America/Chicago").await;
    let faults = format!("{}/sandbox/faults", service.around.sandbox.origin());
    let refused = json!([{"kind": "status", "status": 401, "match": {"path_contains": "/v1/"}}]);
    let refusing = service
        .http
        .post(faults)
        .header("content-type", "application/json")
        .body(refused.to_string());
    assert_eq!(refusing.send().await.unwrap().status(), 204);
    let ran = machine.call("get_dispatch_board").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(zone(&machine).await, "America/Chicago");
    let ran = machine.call("get_dispatch_board").await;
    let board: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(board["time_zone"], "America/Chicago", "{board}");

    let settings = machine.0.path().join("config.toml");
    std::fs::write(&settings, "time_zone = \"Europe/Berlin\"\n").unwrap();
    assert_eq!(zone(&machine).await, "Europe/Berlin");
    std::fs::remove_file(settings).unwrap();
    assert_eq!(machine.run(&["logout"], "").await.code, 0);
    assert_eq!(zone(&machine).await, own);
    service.stop().await;
}
