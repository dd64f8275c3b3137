//! What is in the file stays as it is, to the byte.

use super::*;

/// Files in which other servers are already entered. KEY is the client's word for them.
const WITH_SERVERS: [&str; 13] = [
    "{\"KEY\": {\"other\": {\"url\": \"http://x\"}}}",
    "{\n  \"KEY\": {\n    \"other\": {\"url\": \"http://x\"},\n    // off: \"third\",\n    \"b\": {}\n    }}\n",
    "{\n  \"KEY\": {\n    \"other\": {\n      \"command\": \"npx\",\n      \"args\": [\"-y\", \"x\"]\n    }\n  }\n}\n",
    "{\n  \"KEY\": {\n    \"other\": {\"command\": \"npx\"}\n  },\n  \"theme\": \"dark\"\n}",
    "{\r\n  \"KEY\": {\r\n    \"other\": {\r\n      \"command\": \"npx\"\r\n    }\r\n  }\r\n}\r\n",
    "\u{feff}{\n    \"KEY\": {\n        \"other\": { \"command\": \"npx\" }\n    }\n}\n",
    "{\n\t\"KEY\": {\n\t\t\"other\": {\n\t\t\t\"command\": \"npx\"\n\t\t}\n\t}\n}\n",
    "{\"KEY\":{\"other\":{\"command\":\"npx\",\"args\":[]}},\"n\":1}",
    "{ \"KEY\": { \"other\": { \"command\": \"npx\" } } }\n",
    "// mine\n{\n  // servers\n  \"KEY\": {\n    \"other\": {\"command\": \"npx\"}, // keep, really\n    /* off */\n    // \"third\": {},\n  },\n}\n",
    "{\n  \"KEY\": {\n    \"other\": {\"command\": \"npx\"} // no comma\n    // end\n  }\n}\n",
    "{\n  \"KEY\": {\n    \"other\": {} /* a */ , /* b */ // c, d\n  }\n}\n",
    "{\n  \"KEY\": {\n    \"other\": {} }\n}\n",
];

/// Files without any server.
const WITHOUT_SERVERS: [&str; 12] = [
    "",
    " \n",
    "\u{feff}",
    "{}",
    "{ }\r\n",
    "{\n}\n",
    "{\n  // nothing yet\n}\n",
    "// only a comment\n",
    "{\"KEY\": {}}",
    "{\n  \"KEY\": {\n  },\n  \"z\": [1, 2.50, 1e3]\n}\n",
    "{\n\t\"numStartups\": 12345678901234567890,\n\t\"projects\": {\"/home/a\": {\"KEY\": {}}}\n}\n",
    "{\"numStartups\":1,\"text\":\"// no comment, \\u00e9\"}",
];

#[test]
fn uninstall_takes_out_exactly_what_install_put_in() {
    for client in JSON_CLIENTS {
        for shape in WITH_SERVERS {
            let home = Home::new();
            let before = shape.replace("KEY", key(client));
            let file = home.put(client, &before);
            assert_eq!(install(client, &file).unwrap(), Outcome::Added);
            let between = fs::read_to_string(&file).unwrap();
            assert_ne!(between, before);
            // Without the backup there is only the file to go by.
            fs::remove_file(backup(&file)).unwrap();
            assert_eq!(uninstall(client, &file).unwrap(), Outcome::Removed);
            assert_eq!(fs::read_to_string(&file).unwrap(), before, "{between}");
        }
    }
}

#[test]
fn an_untouched_file_becomes_again_what_it_was_even_without_servers() {
    for client in JSON_CLIENTS {
        for shape in WITHOUT_SERVERS {
            let home = Home::new();
            let before = shape.replace("KEY", key(client));
            let file = home.put(client, &before);
            assert_eq!(install(client, &file).unwrap(), Outcome::Added, "{before}");
            assert_eq!(uninstall(client, &file).unwrap(), Outcome::Removed);
            assert_eq!(fs::read_to_string(&file).unwrap(), before);
        }
    }
}

#[test]
fn a_second_install_changes_nothing() {
    for client in JSON_CLIENTS {
        for shape in WITH_SERVERS.iter().chain(&WITHOUT_SERVERS) {
            let home = Home::new();
            let file = home.put(client, shape.replace("KEY", key(client)));
            install(client, &file).unwrap();
            let first = (fs::read(&file).unwrap(), fs::read(backup(&file)).unwrap());
            assert_eq!(install(client, &file).unwrap(), Outcome::Unchanged);
            let second = (fs::read(&file).unwrap(), fs::read(backup(&file)).unwrap());
            assert_eq!(first, second);
        }
    }
}

fn installed(client: &str, before: &str) -> String {
    let home = Home::new();
    let file = home.put(client, before);
    install(client, &file).unwrap();
    fs::read_to_string(&file).unwrap()
}

fn removed(client: &str, before: &str) -> String {
    let home = Home::new();
    let file = home.put(client, before);
    assert_eq!(uninstall(client, &file).unwrap(), Outcome::Removed);
    fs::read_to_string(&file).unwrap()
}

#[test]
fn the_entry_is_written_as_the_file_is() {
    assert_eq!(
        installed("cursor", ""),
        "{\n  \"mcpServers\": {\n    \"service-fusion\": {\n      \"command\": \"/opt/sf-mcp\",\n      \"args\": [\"serve\"]\n    }\n  }\n}\n"
    );
    assert_eq!(
        installed(
            "vscode",
            "{\r\n\t\"servers\": {\r\n\t\t\"a\": {}, // a\r\n\t},\r\n\t\"inputs\": []\r\n}"
        ),
        "{\r\n\t\"servers\": {\r\n\t\t\"a\": {}, // a\r\n\t\t\"service-fusion\": {\r\n\t\t\t\"type\": \"stdio\",\r\n\t\t\t\"command\": \"/opt/sf-mcp\",\r\n\t\t\t\"args\": [\"serve\"]\r\n\t\t},\r\n\t},\r\n\t\"inputs\": []\r\n}"
    );
    assert_eq!(
        installed("claude-code", "{\"a\":1,\"mcpServers\":{\"b\":{}}}"),
        "{\"a\":1,\"mcpServers\":{\"b\":{},\"service-fusion\":{\"command\":\"/opt/sf-mcp\",\"args\":[\"serve\"]}}}"
    );
    assert_eq!(
        installed("claude-desktop", "{\n    \"theme\": \"dark\" // mine\n}\n"),
        "{\n    \"theme\": \"dark\", // mine\n    \"mcpServers\": {\n        \"service-fusion\": {\n            \"command\": \"/opt/sf-mcp\",\n            \"args\": [\"serve\"]\n        }\n    }\n}\n"
    );
}

#[test]
fn an_entry_at_any_place_is_taken_out_with_its_line_and_comma() {
    for (before, after) in [
        (
            "{\n  \"mcpServers\": {\n    \"service-fusion\": {},\n    // b\n    \"b\": {}\n  }\n}",
            "{\n  \"mcpServers\": {\n    // b\n    \"b\": {}\n  }\n}",
        ),
        (
            "{\"mcpServers\": {\"service-fusion\": {}, \"b\": {}}}",
            "{\"mcpServers\": {\"b\": {}}}",
        ),
        (
            "{\"mcpServers\": {\"a\": {}, \"service-fusion\": {}, \"b\": {}}}",
            "{\"mcpServers\": {\"a\": {}, \"b\": {}}}",
        ),
        (
            "{\n  \"mcpServers\": {\n    // note\n    \"service-fusion\": {}, \"b\": {}\n  }\n}",
            "{\n  \"mcpServers\": {\n    // note\n    \"b\": {}\n  }\n}",
        ),
        (
            "{\n  \"mcpServers\": {\n    \"a\": {}, // note\n    \"service-fusion\": {}}\n}",
            "{\n  \"mcpServers\": {\n    \"a\": {} // note\n    }\n}",
        ),
        (
            "{\n  \"mcpServers\": {\n    \"service-fusion\": {}\n  }\n}\n",
            "{\n  \"mcpServers\": {}\n}\n",
        ),
        (
            "{\"mcpServers\": {\"service-fusion\": 1, \"service\\u002dfusion\": {}}}",
            "{\"mcpServers\": {}}",
        ),
    ] {
        assert_eq!(removed("cursor", before), after, "{before}");
    }
}

#[test]
fn another_entry_of_the_name_is_replaced_where_it_is() {
    let home = Home::new();
    let before = "{\n  \"mcpServers\": {\n    \"service-fusion\": {\"command\": \"/old/sf-mcp\", \"env\": {\"A\": \"b\"}, \"cwd\": \"/\"}, // us\n    \"b\": {}\n  }\n}\n";
    let file = home.put("cursor", before);
    let Outcome::Replaced(previous) = install("cursor", &file).unwrap() else {
        panic!("not replaced");
    };
    assert_eq!(previous.target.as_deref(), Some("/old/sf-mcp"));
    assert_eq!(previous.lost, ["cwd"]);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "{\n  \"mcpServers\": {\n    \"service-fusion\": {\n      \"command\": \"/opt/sf-mcp\",\n      \"args\": [\"serve\"],\n      \"env\": {\n        \"A\": \"b\"\n      }\n    }, // us\n    \"b\": {}\n  }\n}\n"
    );
    assert_eq!(fs::read_to_string(backup(&file)).unwrap(), before);
}

#[test]
fn what_a_person_added_to_our_entry_stays() {
    let home = Home::new();
    let before = "{\"mcpServers\": {\"service-fusion\": {\"command\": \"/opt/sf-mcp\", \"args\": [\"serve\"], \"env\": {\"SF_MCP_LOG\": \"debug\"}}}}";
    let file = home.put("cursor", before);
    assert_eq!(install("cursor", &file).unwrap(), Outcome::Unchanged);
}

const CODEX: &str = "# mine\nmodel = \"gpt-5\"  # best\nfeatures.a = true\nx = 1\nfeatures.b = false\n\n[mcp_servers.other]\ncommand = 'npx'\n# args = []\n\n[projects.\"/home/a\"]\ntrust_level = \"trusted\" # yes\n";
const SECTION: &str =
    "[mcp_servers.service-fusion]\ncommand = \"/opt/sf-mcp\"\nargs = [\"serve\"]\n";

#[test]
fn a_toml_file_keeps_its_comments_order_and_line_ends() {
    assert_eq!(installed("codex", ""), SECTION);
    assert_eq!(installed("codex", CODEX), format!("{CODEX}\n{SECTION}"));
    let windows = CODEX.replace('\n', "\r\n");
    let expected = format!("{CODEX}\n{SECTION}").replace('\n', "\r\n");
    assert_eq!(installed("codex", &windows), expected);
    for before in [
        CODEX,
        &windows,
        &format!("\u{feff}{CODEX}"),
        CODEX.trim_end(),
        "",
        "# only a comment",
    ] {
        let home = Home::new();
        let file = home.put("codex", before);
        assert_eq!(install("codex", &file).unwrap(), Outcome::Added);
        assert_eq!(install("codex", &file).unwrap(), Outcome::Unchanged);
        assert_eq!(uninstall("codex", &file).unwrap(), Outcome::Removed);
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
    }
}

#[test]
fn a_toml_section_is_found_in_every_spelling() {
    for (before, after) in [
        (
            "[a]\nb = 1\n# a's\n\n[mcp_servers.service-fusion] # us\ncommand = \"x\"\n# inside\nargs = [\n  \"y\",\n]\n\n[mcp_servers.service-fusion.env]\nK = \"v\"\n\n# c's\n[c]\nd = 1\n",
            "[a]\nb = 1\n# a's\n\n\n# c's\n[c]\nd = 1\n",
        ),
        (
            "[mcp_servers]\n\nservice-fusion = { command = \"x\" }\nother = {}\n",
            "[mcp_servers]\n\nother = {}\n",
        ),
        (
            "mcp_servers.service-fusion.command = \"x\"\nz = 1\nmcp_servers.service-fusion.args = []\n",
            "z = 1\n",
        ),
    ] {
        assert_eq!(removed("codex", before), after, "{before}");
        let replaced = installed("codex", before);
        assert!(replaced.contains(SECTION), "{replaced}");
        assert!(!replaced.contains("\"x\""), "{replaced}");
    }
}
