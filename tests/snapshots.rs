//! What models and people read, word for word: a change shows up in review.

use serde_json::json;

use crate::support::{Home, Serve, rows, run, sf_mcp};

#[test]
fn each_tool_definition_is_as_reviewed() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home)
        .args(&["--toolsets", "all"])
        .start();

    let list = client.result("tools/list", json!({}));

    for tool in rows(&list, "tools") {
        insta::assert_json_snapshot!(format!("tool_{}", tool["name"].as_str().unwrap()), tool);
    }
}

#[test]
fn the_instructions_are_as_reviewed() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    let discovered = client.result("server/discover", json!({}));

    insta::assert_snapshot!("instructions", discovered["instructions"].as_str().unwrap());
}

#[test]
fn the_prompts_are_as_reviewed() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    let list = client.result("prompts/list", json!({}));
    let texts: Vec<_> = rows(&list, "prompts")
        .iter()
        .map(|prompt| {
            let arguments = match prompt["name"].as_str() {
                Some("call_prep") => json!({"customer": "Maria Alvarez"}),
                _ => json!({}),
            };
            let filled = json!({"name": prompt["name"], "arguments": arguments});
            client.result("prompts/get", filled)["messages"].clone()
        })
        .collect();

    insta::assert_json_snapshot!("prompts", json!({"list": list["prompts"], "texts": texts}));
}

#[test]
fn the_help_is_as_reviewed() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("help_serve", &["serve", "--help"]),
        ("help_call", &["call", "--help"]),
        ("help_sandbox", &["sandbox", "--help"]),
    ] {
        // The help shows the values that variables have.
        let mut command = sf_mcp();
        command
            .env_remove("SF_MCP_NOW")
            .env_remove("SF_MCP_TIME_ZONE");

        let output = command.args(arguments).output().unwrap();

        assert_eq!(output.status.code(), Some(0));
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn the_catalogue_for_people_is_as_reviewed() {
    let home = Home::new();

    let ran = run(&home, &["tools", "--toolsets", "all"]);

    insta::assert_snapshot!("tools_for_people", ran.stdout);
}
