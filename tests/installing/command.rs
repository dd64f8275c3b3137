//! What a person sees and gets at a terminal.

use super::*;

fn json(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn several_clients_get_the_absolute_path_and_the_flags_given() {
    let home = Home::new();
    let said = home.ok(&[
        "install",
        "claude-desktop",
        "claude-code",
        "cursor",
        "vscode",
        "vscode-insiders",
        "vscodium",
        "codex",
        "--demo",
        "--read-only",
        "--profile",
        "north",
        "--toolsets",
        "core,extra",
    ]);
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_sf-mcp")).unwrap();
    let args = serde_json::json!([
        "serve",
        "--profile",
        "north",
        "--demo",
        "--read-only",
        "--toolsets",
        "core,extra"
    ]);
    for client in JSON_CLIENTS {
        let file = json(&home.file(client));
        let server = &file[key(client)]["service-fusion"];
        assert_eq!(server["command"], program.to_str().unwrap());
        assert_eq!(server["args"], args);
        assert_eq!(server.get("type").is_some(), key(client) == "servers");
        assert!(server.get("env").is_none());
    }
    let codex: toml_edit::DocumentMut = fs::read_to_string(home.file("codex"))
        .unwrap()
        .parse()
        .unwrap();
    let server = &codex["mcp_servers"]["service-fusion"];
    assert_eq!(server["command"].as_str(), program.to_str());
    assert_eq!(server["args"].as_array().unwrap().len(), 7);
    assert!(said.contains("does not seem to be installed"), "{said}");

    let again = home.ok(&[
        "install",
        "cursor",
        "--demo",
        "--read-only",
        "--profile=north",
        "--toolsets=core,extra",
    ]);
    assert!(again.contains("already in"), "{again}");
    let other = home.ok(&["install", "cursor"]);
    assert!(other.contains("replaced"), "{other}");
    assert_eq!(
        json(&home.file("cursor"))["mcpServers"]["service-fusion"]["args"],
        serde_json::json!(["serve"])
    );
}

#[test]
fn clients_may_be_a_comma_list_and_half_a_name_offers_the_whole_ones() {
    let home = Home::new();

    home.ok(&["install", "cursor,codex"]);
    let refused = home.fails(2, &["install", "claude"]);

    assert!(home.file("cursor").exists() && home.file("codex").exists());
    for offered in ["'claude-desktop'", "'claude-code'"] {
        assert!(refused.contains(offered), "{refused}");
    }
    assert!(!refused.contains("'codex'"), "{refused}");
}

#[test]
fn an_entry_that_is_replaced_is_told_with_its_arguments_unless_it_is_another_programs() {
    let home = Home::new();
    home.ok(&["install", "cursor", "--demo"]);
    let said = home.ok(&["install", "cursor"]);
    assert!(said.contains("sf-mcp serve --demo"), "{said}");

    let other = "{\"mcpServers\": {\"service-fusion\": {\"command\": \"npx\", \"args\": [\"--key\", \"hush\"]}}}";
    home.put("cursor", other);
    let said = home.ok(&["install", "cursor"]);
    assert!(said.contains("Before, it was npx"), "{said}");
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn settings_that_stay_out_of_the_entry_are_named() {
    let home = Home::new();
    let output = home.run(&["install", "cursor", "--time-zone", "America/Denver"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("`time_zone` is not written into clients"),
        "{said}"
    );
    let file = fs::read_to_string(home.file("cursor")).unwrap();
    assert!(!file.contains("Denver"));
}

/// Runs `install` with variables as a shell may have them.
fn install_with(home: &Home, variables: &[(&str, &str)], clients: &[&str]) -> Output {
    let mut command = home.command(&["install"]);
    let output = command
        .args(clients)
        .envs(variables.iter().copied())
        .output();
    output.unwrap()
}

#[test]
fn what_a_shell_has_set_is_carried_into_the_entry_but_no_secret() {
    let home = Home::new();
    let folder = home.path("our company");
    let variables = [
        ("SF_MCP_HOME", folder.to_str().unwrap()),
        ("SF_MCP_PROFILE", "north"),
        ("SF_MCP_API_URL", "https://api.example.com/"),
        ("SF_MCP_CLIENT_SECRET", "hush"),
        ("SF_MCP_KEY", "hush"),
    ];
    let env = serde_json::json!({
        "SF_MCP_API_URL": "https://api.example.com",
        "SF_MCP_HOME": folder,
    });

    let output = install_with(&home, &variables, &["cursor", "vscode", "codex"]);

    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("SF_MCP_CLIENT_SECRET is a secret"), "{said}");
    for client in ["cursor", "vscode"] {
        let server = &json(&home.file(client))[key(client)]["service-fusion"];
        assert_eq!(server["env"], env);
        assert_eq!(
            server["args"],
            serde_json::json!(["serve", "--profile", "north"])
        );
    }
    let codex = fs::read_to_string(home.file("codex")).unwrap();
    let parsed: toml_edit::DocumentMut = codex.parse().unwrap();
    let server = &parsed["mcp_servers"]["service-fusion"];
    assert_eq!(server["env"]["SF_MCP_HOME"].as_str(), folder.to_str());
    for client in ["cursor", "vscode", "codex"] {
        let text = fs::read_to_string(home.file(client)).unwrap();
        assert!(!text.contains("hush") && !text.contains("SECRET"), "{text}");
    }

    let again = install_with(&home, &variables, &["cursor", "vscode", "codex"]);
    let said = String::from_utf8(again.stdout).unwrap();
    assert_eq!(said.matches("nothing was changed").count(), 3, "{said}");
}

#[test]
fn service_fusions_own_address_and_the_demos_stay_out_of_the_entry() {
    let home = Home::new();
    for (url, flag) in [
        ("https://api.servicefusion.com/", "cursor"),
        ("http://127.0.0.1:8080", "--demo"),
    ] {
        install_with(&home, &[("SF_MCP_API_URL", url)], &["cursor", flag]);
        let server = &json(&home.file("cursor"))["mcpServers"]["service-fusion"];
        assert!(server.get("env").is_none(), "{server}");
    }
}

#[test]
fn variables_that_a_person_added_stay_and_ours_follow_the_shell() {
    for client in ["cursor", "codex"] {
        let home = Home::new();
        let folder = home.path("a");
        let variables = [("SF_MCP_HOME", folder.to_str().unwrap())];
        install_with(&home, &variables, &[client]);
        let text = fs::read_to_string(home.file(client)).unwrap();
        let text = match client {
            "codex" => text.replace("env = {", "env = { SF_MCP_LOG = \"debug\","),
            _ => text.replace("\"env\": {", "\"env\": {\"SF_MCP_LOG\": \"debug\","),
        };
        home.put(client, &text);

        let said = home.ok(&["install", client]);

        let text = fs::read_to_string(home.file(client)).unwrap();
        assert!(text.contains("SF_MCP_LOG"), "{text}");
        assert!(!text.contains("SF_MCP_HOME"), "{text}");
        assert!(said.contains("replaced"), "{said}");
        assert!(!said.contains("gone from there"), "{said}");
        home.ok(&["uninstall", client]);
        let text = fs::read_to_string(home.file(client)).unwrap();
        assert!(!text.contains("SF_MCP"), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_flatpak_is_told_where_this_users_folders_are() {
    let home = Home::new();
    let app = home.path(".var/app/com.visualstudio.code");
    fs::create_dir_all(&app).unwrap();

    home.ok(&["install", "vscode"]);

    let server = &json(&app.join("config/Code/User/mcp.json"))["servers"]["service-fusion"];
    assert_eq!(
        server["env"],
        serde_json::json!({
            "XDG_CONFIG_HOME": home.path(".config"),
            "XDG_STATE_HOME": home.path(".local/state"),
        })
    );
    assert!(!home.file("vscode").exists());
}

#[test]
fn what_was_done_is_said_with_the_backup_and_the_next_step() {
    let home = Home::new();
    let file = home.put("claude-desktop", "{\"theme\": \"dark\"}");
    let said = home.ok(&["install", "claude-desktop"]);
    assert_eq!(
        said,
        format!(
            "Claude Desktop: entered service-fusion into {0}\n  The file as it was: {0}.sf-mcp-backup\n  Restart Claude Desktop: quit it completely, then open it again.\n",
            file.display()
        )
    );
    let said = home.ok(&["uninstall", "claude-desktop"]);
    assert!(
        said.starts_with("Claude Desktop: took service-fusion out of"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"theme\": \"dark\"}");
    let said = home.ok(&["uninstall", "claude-desktop"]);
    assert!(said.contains("there is no service-fusion in"), "{said}");
}

#[test]
fn print_writes_nothing() {
    for client in JSON_CLIENTS.iter().chain(&["codex"]) {
        let home = Home::new();
        let said = home.ok(&["install", client, "--print"]);
        assert!(said.contains(home.file(client).to_str().unwrap()), "{said}");
        assert!(said.contains(env!("CARGO_BIN_EXE_sf-mcp")), "{said}");
        assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 0);
    }
    let home = Home::new();
    let text = "{\"mcpServers\": {\"service-fusion\": {}}}";
    let file = home.put("cursor", text);
    assert!(
        home.ok(&["uninstall", "cursor", "--print"])
            .contains("would take")
    );
    assert_eq!(fs::read_to_string(file).unwrap(), text);
}

#[test]
fn an_unknown_client_suggests_the_closest_and_writes_nothing() {
    let home = Home::new();
    let said = home.fails(2, &["install", "cursor", "claude-dekstop"]);
    assert!(said.contains("'claude-desktop'"), "{said}");
    assert!(said.contains("codex"), "{said}");
    assert!(!home.path(".cursor").exists());
}

#[test]
fn one_broken_file_does_not_keep_the_others_from_being_done() {
    let home = Home::new();
    let file = home.put("claude-desktop", "{\n  oops\n}");
    let said = home.fails(1, &["install", "claude-desktop", "cursor"]);
    assert!(said.starts_with("sf-mcp: Claude Desktop: "), "{said}");
    assert!(
        said.contains("line 2, column 3: this is not JSON"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(file).unwrap(), "{\n  oops\n}");
    assert!(home.file("cursor").is_file());
}

#[test]
fn without_a_client_every_client_is_listed_with_its_state() {
    let home = Home::new();
    home.put("vscode", "{\"servers\": {\"service-fusion\": {}}}");
    home.put("cursor", "{]");
    fs::create_dir_all(home.path(".codex")).unwrap();
    let said = home.ok(&["install"]);
    let state = |client: &str| {
        let line = said
            .lines()
            .find(|line| line.trim_start().starts_with(client));
        line.unwrap()
            .split("  ")
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        state("claude-desktop")[1..3],
        ["not found", "without sf-mcp"]
    );
    assert_eq!(state("vscode")[1..3], ["found", "has sf-mcp"]);
    assert_eq!(state("cursor")[1..3], ["found", "unreadable file"]);
    assert_eq!(state("codex")[1..3], ["found", "without sf-mcp"]);
    assert!(state("claude-code")[3].ends_with(".claude.json"));
}

#[test]
fn a_folder_that_a_variable_names_is_the_one_used() {
    let home = Home::new();
    let output = Command::new(env!("CARGO_BIN_EXE_sf-mcp"))
        .args(["install", "codex", "claude-code"])
        .env_clear()
        .env("HOME", home.0.path())
        .env("CODEX_HOME", home.path("elsewhere"))
        .env("CLAUDE_CONFIG_DIR", home.path("there"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(home.path("elsewhere/config.toml").is_file());
    assert!(home.path("there/.claude.json").is_file());
}
