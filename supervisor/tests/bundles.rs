//! What clients are handed: parsed by parsers of their formats, signed in by tokens that end when they are revoked.

use std::{collections::HashSet, io::Cursor, io::Read};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_supervisor::{
    store::{NewToken, Token},
    tokens::{self, Kind},
};

use crate::support::Service;

/// What people call companies, and what else they type.
const NAMES: [&str; 7] = [
    "Acme Heating & Cooling",
    "O'Brien \"Bob\" & Sons `id` $(id) ${HOME} %PATH% ; rm",
    "Line\r\nSF_MCP_DEVICE_TOKEN=other\n[mcp_servers.other]\u{2028}x",
    "日本語 ñ é \u{202e}evil\u{1} 🔥",
    "\"\"\"\n'''\\",
    "?a=b&c=d#e+f%20%0a<script>",
    "",
];

const PROGRAM: &str = "C:\\Program Files\\it's \"sf\" $(id)\\sf-mcp.exe";

struct Tenant {
    id: String,
    bearer: String,
}

async fn company(service: &Service, name: &str) -> Tenant {
    let store = &service.app.store;
    let now = service.app.clock.now();
    let owner = store
        .add_tenant(name, "owner@example.com", "free", now)
        .await
        .unwrap();
    let new = tokens::generate(Kind::Bearer).unwrap();
    store
        .add_token(&NewToken {
            tenant_id: &owner.tenant_id,
            member_id: Some(&owner.id),
            kind: Kind::Bearer,
            name: "first",
            hash: &new.hash,
            client: None,
            form: None,
            scopes: "sf:read",
            created_at: now,
            expires_at: None,
        })
        .await
        .unwrap();
    Tenant {
        id: owner.tenant_id,
        bearer: new.token.expose_secret().to_owned(),
    }
}

async fn ask(service: &Service, tenant: &Tenant, path: &str) -> Response {
    let request = service.get(&format!("/api/bundles/{path}"));
    request.bearer_auth(&tenant.bearer).send().await.unwrap()
}

async fn file(service: &Service, tenant: &Tenant, path: &str) -> String {
    let answer = ask(service, tenant, path).await;
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let disposition = answer.headers()["content-disposition"].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment; filename=\""),
        "{disposition}"
    );
    answer.text().await.unwrap()
}

async fn problem(service: &Service, tenant: &Tenant, path: &str) -> (u16, Value) {
    let answer = ask(service, tenant, path).await;
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

async fn live(service: &Service, token: &str) -> Option<Token> {
    let (store, now) = (&service.app.store, service.app.clock.now());
    store.live_token(&tokens::hash(token), now).await.unwrap()
}

async fn devices(service: &Service, tenant: &Tenant) -> Vec<Token> {
    let store = &service.app.store;
    store.tokens_of(&tenant.id, Kind::Device).await.unwrap()
}

/// The device token in the environment of a local entry, which is as it must be.
fn token_of(service: &Service, entry: &Value, command: &str) -> String {
    assert_eq!(entry["command"], command);
    assert_eq!(entry["args"], json!(["serve"]));
    assert_eq!(entry["env"]["SF_MCP_SUPERVISOR_URL"], service.url);
    assert_eq!(entry["env"].as_object().unwrap().len(), 2);
    let token = entry["env"]["SF_MCP_DEVICE_TOKEN"].as_str().unwrap();
    assert!(token.starts_with("sfd_"));
    token.to_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn toml(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

/// What a POSIX shell makes of a line.
fn words(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\0' {line}");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("HOME", "/expanded")
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[tokio::test]
async fn every_local_file_is_read_by_its_format_whatever_the_company_and_the_path() {
    let service = Service::start().await;
    let path: String = url::form_urlencoded::byte_serialize(PROGRAM.as_bytes()).collect();
    let mut seen = Vec::new();

    for name in NAMES {
        let tenant = company(&service, name).await;
        for (client, key) in [
            ("claude-desktop", "mcpServers"),
            ("claude-code", "mcpServers"),
            ("cursor", "mcpServers"),
            ("vscode", "servers"),
            ("codex", "mcp_servers"),
        ] {
            let text = file(&service, &tenant, &format!("{client}?command={path}")).await;
            let whole = if client == "codex" {
                toml(&text)
            } else {
                json(&text)
            };
            assert_eq!(whole.as_object().unwrap().len(), 1, "{client} {name:?}");
            let servers = whole[key].as_object().unwrap();
            assert_eq!(servers.len(), 1, "{client} {name:?}");
            let entry = &servers["service-fusion"];
            let typed = entry.get("type").is_some_and(|kind| kind == "stdio");
            assert_eq!(typed, client == "vscode", "{client}");
            seen.push((tenant.id.clone(), token_of(&service, entry, PROGRAM)));
        }
        let text = file(&service, &tenant, "env").await;
        assert!(text.starts_with("# ") && !text.contains("\\\n"), "{text}");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.collect::<Vec<_>>();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0], format!("SF_MCP_SUPERVISOR_URL={}", service.url));
        let token = lines[1].strip_prefix("SF_MCP_DEVICE_TOKEN=").unwrap();
        seen.push((tenant.id.clone(), token.to_owned()));
        let made = devices(&service, &tenant).await;
        assert_eq!(made.len(), 6);
    }

    for (tenant, token) in &seen {
        let stored = live(&service, token).await.unwrap();
        assert_eq!((&stored.tenant_id, stored.kind), (tenant, Kind::Device));
        assert_eq!(stored.scopes, "sf:read");
    }
    let mut tokens = seen.iter().map(|(_, token)| token).collect::<Vec<_>>();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), NAMES.len() * 6);
}

#[tokio::test]
async fn links_and_commands_say_the_same_as_the_file() {
    let service = Service::start().await;
    let tenant = company(&service, NAMES[1]).await;
    let path: String = url::form_urlencoded::byte_serialize(PROGRAM.as_bytes()).collect();
    let whole = async |client: &str| {
        let text = file(
            &service,
            &tenant,
            &format!("{client}?as=json&command={path}"),
        )
        .await;
        json(&text)
    };

    let cursor = whole("cursor").await;
    let link = url::Url::parse(cursor["links"][0]["href"].as_str().unwrap()).unwrap();
    assert_eq!(
        (link.scheme(), link.host_str(), link.path()),
        ("cursor", Some("anysphere.cursor-deeplink"), "/mcp/install")
    );
    let query = link.query_pairs().collect::<Vec<_>>();
    assert_eq!((&*query[0].0, &*query[0].1), ("name", "service-fusion"));
    assert_eq!((query.len(), &*query[1].0), (2, "config"));
    let entry = STANDARD.decode(query[1].1.as_bytes()).unwrap();
    let entry: Value = serde_json::from_slice(&entry).unwrap();
    let in_file = json(cursor["file"]["text"].as_str().unwrap());
    assert_eq!(entry, in_file["mcpServers"]["service-fusion"]);

    let vscode = whole("vscode").await;
    for (link, scheme) in vscode["links"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["vscode", "vscode-insiders"])
    {
        let link = link["href"].as_str().unwrap();
        let encoded = link
            .strip_prefix(&format!("{scheme}:mcp/install?"))
            .unwrap();
        assert!(!encoded.contains(['+', '&', '#', ' ', '"']), "{encoded}");
        let decoded = url::form_urlencoded::parse(encoded.as_bytes())
            .next()
            .unwrap();
        let mut named = json(&decoded.0);
        let name = named.as_object_mut().unwrap().remove("name").unwrap();
        let in_file = json(vscode["file"]["text"].as_str().unwrap());
        assert_eq!(name, "service-fusion");
        assert_eq!(named, in_file["servers"]["service-fusion"]);
    }
    assert_eq!(vscode["links"].as_array().unwrap().len(), 2);

    for (client, end) in [("claude-code", 10), ("codex", 8)] {
        let command = file(
            &service,
            &tenant,
            &format!("{client}?as=command&command={path}"),
        )
        .await;
        assert_eq!(command.lines().count(), 1);
        let words = words(&command);
        assert_eq!(
            words[words.len() - 3..],
            ["--", PROGRAM, "serve"],
            "{command}"
        );
        assert!(words.contains(&"service-fusion".to_owned()));
        let variables = words.iter().filter(|word| word.starts_with("SF_MCP_"));
        assert_eq!(variables.count(), 2);
        assert!(words.len() >= end, "{words:?}");
    }
}

#[tokio::test]
async fn remote_files_point_at_mcp_and_only_env_has_a_token() {
    let service = Service::start().await;
    let tenant = company(&service, NAMES[2]).await;
    let mcp = format!("{}/mcp", service.url);

    let text = file(&service, &tenant, "claude-code?form=remote").await;
    let http = json!({"type": "http", "url": mcp});
    assert_eq!(json(&text), json!({"mcpServers": {"service-fusion": http}}));
    let text = file(&service, &tenant, "cursor?form=remote").await;
    assert_eq!(
        json(&text),
        json!({"mcpServers": {"service-fusion": {"url": mcp}}})
    );
    let text = file(&service, &tenant, "vscode?form=remote").await;
    assert_eq!(json(&text), json!({"servers": {"service-fusion": http}}));
    let text = file(&service, &tenant, "codex?form=remote").await;
    assert_eq!(
        toml(&text),
        json!({"mcp_servers": {"service-fusion": {"url": mcp}}})
    );
    let line = file(&service, &tenant, "codex?form=remote&as=command").await;
    assert_eq!(
        words(&line),
        ["codex", "mcp", "add", "service-fusion", "--url", &mcp]
    );
    let whole = json(&file(&service, &tenant, "vscode?form=remote&as=json").await);
    assert_eq!(whole["links"].as_array().unwrap().len(), 4);
    assert_eq!(whole["device"], Value::Null);
    assert!(devices(&service, &tenant).await.is_empty());

    let text = file(&service, &tenant, "env?form=remote").await;
    let lines = text.lines().collect::<Vec<_>>();
    assert_eq!(lines[1], format!("SF_MCP_REMOTE_URL={mcp}"));
    let token = lines[2].strip_prefix("SF_MCP_REMOTE_TOKEN=").unwrap();
    let stored = live(&service, token).await.unwrap();
    assert_eq!((stored.kind, lines.len()), (Kind::Bearer, 3));
    let elsewhere = service.get("/api/bundles/env").bearer_auth(token);
    let elsewhere = elsewhere.send().await.unwrap();
    assert_eq!(elsewhere.status(), 403);
    assert!(elsewhere.text().await.unwrap().contains("mcp_only"));
}

#[tokio::test]
async fn a_token_is_named_noted_and_revoked_on_its_own_by_its_company_alone() {
    let service = Service::start().await;
    let (tenant, other) = (
        company(&service, "One").await,
        company(&service, "Two").await,
    );
    let whole = json(&file(&service, &tenant, "cursor?as=json").await);
    let next = whole["next"].as_str().unwrap();
    for step in [
        "Install sf-mcp",
        "sf-mcp install cursor",
        "Restart Cursor",
        "command=",
    ] {
        assert!(next.contains(step), "{step}: {next}");
    }
    let text = file(&service, &tenant, "vscode").await;
    let kept = json(&text)["servers"]["service-fusion"].clone();
    let kept = token_of(&service, &kept, "sf-mcp");
    let entry = json(whole["file"]["text"].as_str().unwrap());
    let token = token_of(&service, &entry["mcpServers"]["service-fusion"], "sf-mcp");
    let id = whole["device"]["id"].as_str().unwrap();

    let store = &service.app.store;
    let now = service.app.clock.now();
    let stored = live(&service, &token).await.unwrap();
    assert_eq!(stored.id, id);
    assert_eq!(stored.client.as_deref(), Some("cursor"));
    assert_eq!(stored.form.as_deref(), Some("local"));
    assert!(stored.name.starts_with("Cursor, 20"), "{}", stored.name);
    let noted = store.entries(Some(&tenant.id), 10).await.unwrap();
    assert_eq!(noted.len(), 2);
    assert!(noted.iter().all(|entry| entry.action == "bundle.create"
        && entry.actor == "owner@example.com"
        && !entry.after.as_deref().unwrap().contains("sfd_")));
    assert!(devices(&service, &other).await.is_empty());

    assert!(!store.revoke_token(&other.id, id, now).await.unwrap());
    assert!(live(&service, &token).await.is_some());
    assert!(store.revoke_token(&tenant.id, id, now).await.unwrap());
    assert!(live(&service, &token).await.is_none());
    assert!(live(&service, &kept).await.is_some());
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_what_does_and_leaves_no_token() {
    let service = Service::with(|config| config.child = "/nothing".into()).await;
    let tenant = company(&service, "One").await;

    for (path, status, code, list) in [
        ("emacs", 404, "unknown_client", "clients"),
        ("cursor?form=cloud", 400, "unknown_form", "forms"),
        ("claude-desktop?form=remote", 400, "unknown_form", "forms"),
        ("mcpb?form=remote", 400, "unknown_form", "forms"),
        ("vscode?as=command", 400, "unknown_shape", "shapes"),
        ("mcpb?as=json", 400, "unknown_shape", "shapes"),
        ("mcpb", 404, "binary_not_available", "platforms"),
        (
            "mcpb?platform=beos",
            404,
            "binary_not_available",
            "platforms",
        ),
        (
            "mcpb?platform=..&arch=..",
            404,
            "binary_not_available",
            "platforms",
        ),
    ] {
        let (got, told) = problem(&service, &tenant, path).await;
        assert_eq!((got, told["code"].as_str()), (status, Some(code)), "{path}");
        assert!(told[list].is_array(), "{path}: {told}");
    }
    for path in [
        "cursor?from=local",
        "cursor?form=local&form=remote",
        "cursor?command=a%0Ab",
        "cursor?command=--x",
        "cursor?command=",
        "cursor?form=remote&command=x",
        "env?command=x",
        "cursor?platform=linux",
    ] {
        let (got, told) = problem(&service, &tenant, path).await;
        assert_eq!(
            (got, told["code"].as_str()),
            (400, Some("invalid_request")),
            "{path}"
        );
    }
    assert!(devices(&service, &tenant).await.is_empty());
}

#[tokio::test]
async fn only_a_persons_token_gets_a_bundle_and_only_by_get() {
    let service = Service::start().await;
    let tenant = company(&service, "One").await;
    let text = file(&service, &tenant, "claude-desktop").await;
    let entry = json(&text)["mcpServers"]["service-fusion"].clone();
    let device = token_of(&service, &entry, "sf-mcp");

    let strangers = service.get("/api/bundles/env").send().await.unwrap();
    let devices_own = service.get("/api/bundles/env").bearer_auth(device);
    let devices_own = devices_own.send().await.unwrap();
    let address = format!("{}/api/bundles/env", service.url);
    let looked = service.http.request(Method::HEAD, address);
    let looked = looked.bearer_auth(&tenant.bearer).send().await.unwrap();

    assert_eq!(strangers.status(), 401);
    assert_eq!(devices_own.status(), 401);
    assert_eq!(looked.status(), 405);
    assert_eq!(devices(&service, &tenant).await.len(), 1);
}

#[tokio::test]
async fn the_list_names_what_can_be_fetched() {
    let service = Service::start().await;
    let tenant = company(&service, "One").await;

    let list = service.get("/api/bundles").bearer_auth(&tenant.bearer);
    let list = json(&list.send().await.unwrap().text().await.unwrap());
    let made = devices(&service, &tenant).await;
    let bundles = list["bundles"].as_array().unwrap();

    assert_eq!((bundles.len(), made.len()), (7, 0));
    for bundle in bundles.iter().filter(|bundle| bundle["client"] != "mcpb") {
        let address = bundle["url"].as_str().unwrap();
        let path = address.rsplit('/').next().unwrap();
        for form in bundle["forms"].as_array().unwrap() {
            for shape in bundle["shapes"].as_array().unwrap() {
                let (form, shape) = (form.as_str().unwrap(), shape.as_str().unwrap());
                file(&service, &tenant, &format!("{path}?form={form}&as={shape}")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_company_cannot_fill_the_database_with_tokens() {
    let service = Service::start().await;
    let (tenant, other) = (
        company(&service, "One").await,
        company(&service, "Two").await,
    );

    let mut refused = None;
    // The hour may end in between.
    for _ in 0..=400 {
        let answer = ask(&service, &tenant, "env").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
    }

    assert!(refused.unwrap().headers().contains_key("retry-after"));
    assert_eq!(ask(&service, &other, "env").await.status(), 200);
}

#[tokio::test]
async fn an_extension_holds_the_program_of_its_platform() {
    let programs = tempfile::tempdir().unwrap();
    let machine_code = b"\x7fELF and so on ".repeat(50_000);
    for name in [
        "win32-x64/sf-mcp.exe",
        "darwin-universal/sf-mcp",
        "linux-x64/sf-mcp",
    ] {
        let path = programs.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &machine_code).unwrap();
    }
    let folder = programs.path().to_owned();
    let service = Service::with(|config| config.binaries = Some(folder)).await;

    let mut extensions = HashSet::new();
    for (asked, os, program) in [
        ("platform=win32", "win32", "server/sf-mcp.exe"),
        ("platform=darwin&arch=x64", "darwin", "server/sf-mcp"),
        ("platform=linux&arch=x64", "linux", "server/sf-mcp"),
    ] {
        for name in NAMES {
            let tenant = company(&service, name).await;
            let answer = ask(&service, &tenant, &format!("mcpb?{asked}")).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(
                answer.headers()["content-disposition"],
                "attachment; filename=\"service-fusion.mcpb\""
            );
            let length = answer.headers()["content-length"]
                .to_str()
                .unwrap()
                .to_owned();
            let bytes = answer.bytes().await.unwrap();
            assert_eq!(length, bytes.len().to_string());
            let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
            let names = archive.file_names().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(names, ["manifest.json", "icon.png", program]);
            let mut content = Vec::new();
            let mut packed = archive.by_name(program).unwrap();
            assert_eq!(packed.unix_mode(), Some(0o100_755));
            packed.read_to_end(&mut content).unwrap();
            drop(packed);
            assert!(content == machine_code);
            let manifest = std::io::read_to_string(archive.by_index(0).unwrap()).unwrap();
            let manifest = json(&manifest);
            check_manifest(&service, &manifest, os, program);
            // A client replaces an extension by another one of its name.
            let name = manifest["name"].as_str().unwrap().to_owned();
            assert!(extensions.insert(name.clone()), "{name}");
            let usual = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.len() <= 34 && name.chars().all(usual), "{name}");
            let again = ask(&service, &tenant, &format!("mcpb?{asked}")).await;
            assert_eq!(manifest_of(again).await["name"], name);
        }
    }
    let tenant = company(&service, "One").await;
    let (status, told) = problem(&service, &tenant, "mcpb?platform=win32&arch=arm64").await;
    assert_eq!(
        (status, told["code"].as_str()),
        (404, Some("binary_not_available"))
    );
    assert!(
        told["platforms"]
            .as_array()
            .unwrap()
            .contains(&json!("win32-x64"))
    );
}

async fn manifest_of(answer: Response) -> Value {
    let bytes = answer.bytes().await.unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    json(&std::io::read_to_string(archive.by_index(0).unwrap()).unwrap())
}

fn check_manifest(service: &Service, manifest: &Value, os: &str, program: &str) {
    assert_eq!(manifest["manifest_version"], "0.3");
    assert_eq!(manifest["compatibility"]["platforms"], json!([os]));
    assert_eq!(manifest["server"]["type"], "binary");
    assert_eq!(manifest["server"]["entry_point"], program);
    let command = format!("${{__dirname}}/{program}");
    token_of(service, &manifest["server"]["mcp_config"], &command);
    assert!(manifest["tools"].as_array().unwrap().len() > 10);
    let title = manifest["display_name"].as_str().unwrap();
    assert!(title.starts_with("Service Fusion (") && !title.contains(char::is_control));
}
