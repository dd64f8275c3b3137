//! What `sf-mcp doctor` says of the clients on the machine.

use serde_json::{Value, json};

use super::*;

/// The findings about clients: check, state, text, commands.
fn findings(home: &Home) -> Vec<Value> {
    let said = home.run(&["doctor", "--demo", "--json"]).stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    let checks = said["checks"].as_array().unwrap().iter();
    let requests = checks.clone().position(|row| row["check"] == "requests");
    checks.skip(requests.unwrap() + 1).cloned().collect()
}

/// The only finding; its file is shortened to `FILE`.
fn only(home: &Home, client: &str) -> Value {
    let mut found = findings(home);
    assert_eq!(found.len(), 1, "{found:?}");
    let file = home.file(client);
    let text = found[0]["text"].as_str().unwrap();
    found[0]["text"] = text.replace(file.to_str().unwrap(), "FILE").into();
    found.remove(0)
}

fn note(check: &str, text: &str, mend: &[&str]) -> Value {
    json!({"check": check, "state": "note", "text": text, "mend": mend})
}

#[test]
fn without_a_client_the_command_is_named() {
    let home = Home::new();
    assert_eq!(
        only(&home, "cursor"),
        note(
            "AI clients",
            "no AI client that sf-mcp knows was found on this machine",
            &["sf-mcp install claude-desktop"]
        )
    );

    fs::create_dir_all(home.path(".codex")).unwrap();
    home.put("cursor", "{}");
    assert_eq!(
        only(&home, "cursor"),
        note(
            "AI clients",
            "none starts sf-mcp yet; found on this machine: Cursor, Codex",
            &["sf-mcp install cursor"]
        )
    );
}

#[test]
fn a_demo_entry_and_a_real_one_without_a_sign_in_are_told_apart() {
    for (client, title) in [("cursor", "Cursor"), ("codex", "Codex")] {
        let home = Home::new();
        home.ok(&["install", client, "--demo", "--read-only"]);
        let demo = format!("sf-mcp install {client} --read-only");
        assert_eq!(
            only(&home, client),
            note(title, "serves the demo company, not yours (FILE)", &[&demo])
        );

        home.ok(&["install", client, "--profile", "north"]);
        let found = only(&home, client);
        let text = found["text"].as_str().unwrap();
        assert!(
            text.starts_with("uses profile north, to which nobody is signed in ("),
            "{text}"
        );
        assert_eq!(found["mend"], json!(["sf-mcp login --profile north"]));
    }
}

#[test]
fn an_entry_that_looks_for_its_sign_in_elsewhere_is_written_anew() {
    let home = Home::new();
    home.ok(&["install", "cursor"]);

    let output = home
        .command(&["doctor", "--demo", "--json"])
        .env("SF_MCP_HOME", home.path("company"))
        .output()
        .unwrap();

    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("\"sf-mcp install cursor\""), "{said}");
    assert!(!said.contains("sf-mcp login"), "{said}");
}

#[test]
fn a_program_that_is_gone_or_another_one_is_named_with_the_command_that_mends_it() {
    let this = fs::canonicalize(env!("CARGO_BIN_EXE_sf-mcp")).unwrap();
    let other = format!(
        "starts another program than this one: /bin/sh instead of {} (FILE)",
        this.display()
    );
    for (command, text) in [
        (
            "/gone/sf-mcp",
            "starts /gone/sf-mcp, which does not exist (FILE)",
        ),
        (
            "sf-mcp",
            "starts `sf-mcp`, which is not a full path: desktop programs do not search a shell's PATH (FILE)",
        ),
        ("/bin/sh", &other),
    ] {
        let home = Home::new();
        home.put(
            "vscode",
            json!({"servers": {"service-fusion": {"command": command, "args": ["serve", "--toolsets=all"]}}})
                .to_string(),
        );
        let found = only(&home, "vscode");
        assert_eq!(found["check"], "VS Code");
        assert!(
            found["text"].as_str().unwrap().starts_with(text),
            "{command}: {found}"
        );
        assert_eq!(found["mend"][0], "sf-mcp install vscode --toolsets all");
    }
}

#[test]
fn a_link_to_this_program_and_a_copy_of_it_are_this_program() {
    let this = env!("CARGO_BIN_EXE_sf-mcp");
    let home = Home::new();
    let (link, copy) = (home.path("linked"), home.path("copied"));
    std::os::unix::fs::symlink(this, &link).unwrap();
    fs::copy(this, &copy).unwrap();
    for command in [link, copy] {
        home.put(
            "cursor",
            json!({"mcpServers": {"service-fusion": {"command": command, "args": ["serve", "--demo"]}}})
                .to_string(),
        );
        let found = only(&home, "cursor");
        assert_eq!(found["text"], "serves the demo company, not yours (FILE)");
    }
}

#[test]
fn an_entry_under_another_name_is_found_by_its_program() {
    let home = Home::new();
    home.put(
        "claude-code",
        "{\"mcpServers\": {\"other\": {\"command\": \"/x/y\"}, \"sf\": {\"command\": \"/gone/sf-mcp\"}}}",
    );
    let found = only(&home, "claude-code");
    assert!(
        found["text"]
            .as_str()
            .unwrap()
            .starts_with("starts /gone/sf-mcp, which does not exist (FILE, named `sf` there)"),
        "{found}"
    );
    assert!(!found["mend"].to_string().contains("install"), "{found}");
}

#[test]
fn a_secret_in_a_clients_file_is_pointed_out_and_not_shown() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_sf-mcp");
    home.put(
        "cursor",
        json!({"mcpServers": {"service-fusion": {
            "command": program, "args": ["serve"],
            "env": {"SF_MCP_CLIENT_ID": "id", "SF_MCP_CLIENT_SECRET": "hush"}
        }}})
        .to_string(),
    );
    let found = only(&home, "cursor");
    assert!(
        found["text"]
            .as_str()
            .unwrap()
            .contains("SF_MCP_CLIENT_SECRET")
    );
    assert!(!found.to_string().contains("hush"));
}

#[test]
fn a_bundle_in_an_entry_needs_no_login() {
    let program = env!("CARGO_BIN_EXE_sf-mcp");
    let (url, token) = ("SF_MCP_SUPERVISOR_URL", "SF_MCP_DEVICE_TOKEN");
    for (env, state, says) in [
        (
            json!({url: "https://mcp.example.com", token: "sfd_planted"}),
            "ok",
            "through the hosting service https://mcp.example.com",
        ),
        (
            json!({token: "sfd_planted"}),
            "note",
            "has SF_MCP_DEVICE_TOKEN but not SF_MCP_SUPERVISOR_URL",
        ),
        (
            json!({url: "mcp.example.com", token: "sfd_planted"}),
            "note",
            "it must be an address such as `https://mcp.example.com`",
        ),
    ] {
        let home = Home::new();
        let server = json!({"command": program, "args": ["serve"], "env": env});
        let file = json!({"mcpServers": {"service-fusion": server}});
        home.put("cursor", file.to_string());

        let found = only(&home, "cursor");

        assert_eq!(found["state"], state, "{found}");
        assert!(found["text"].as_str().unwrap().contains(says), "{found}");
        assert!(!found.to_string().contains("planted"), "{found}");
        assert!(!found.to_string().contains("nobody"), "{found}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_and_named_with_the_place() {
    for (client, title, text, place) in [
        ("cursor", "Cursor", "{\n  oops\n}", "line 2, column 3: "),
        ("codex", "Codex", "a = 1\na = 2\n", "line 2, column 1: "),
    ] {
        let home = Home::new();
        home.put(client, text);
        let mut found = findings(&home);
        assert_eq!(found.len(), 1, "{found:?}");
        home.fails(1, &["doctor", "--demo"]);
        let found = found.remove(0);
        assert_eq!(
            (&found["check"], &found["state"]),
            (&json!(title), &json!("problem"))
        );
        let said = found["text"].as_str().unwrap();
        assert!(
            said.starts_with(home.file(client).to_str().unwrap()),
            "{said}"
        );
        assert!(said.contains(place), "{said}");
    }
}

#[test]
fn for_people_it_is_a_line_with_the_command_below() {
    let home = Home::new();
    let said = home.ok(&["doctor", "--demo"]);
    assert!(
        said.ends_with(
            "note     AI clients       no AI client that sf-mcp knows was found on this machine\n                          run: sf-mcp install claude-desktop\n"
        ),
        "{said}"
    );
}
