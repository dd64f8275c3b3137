//! What a client learns before it calls a tool, in every revision of the protocol.

use serde_json::{Value, json};

use crate::support::{Home, McpClient, Sandbox, Serve, catalogue, names, rows};

fn tools_with(arguments: &[&str]) -> Vec<String> {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).args(arguments).start();
    names(&client.result("tools/list", json!({})))
}

#[test]
fn a_client_of_2026_07_28_lists_and_calls_without_a_handshake() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let tools = client.result("tools/list", json!({}));
    let called = client.result(
        "tools/call",
        json!({"name": "list_reference_data", "arguments": {"kind": "sources"}}),
    );

    assert_eq!(tools["resultType"], "complete");
    assert_eq!(names(&tools), catalogue(&[]));
    assert_eq!(called["resultType"], "complete");
    assert_eq!(called["structuredContent"]["total"], 8);
    assert!(
        called["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("Nextdoor")
    );
}

#[test]
fn discover_says_what_the_server_is_and_offers() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    let discovered = client.result("server/discover", json!({}));

    for version in ["2026-07-28", "2025-11-25", "2025-06-18"] {
        let supported = discovered["supportedVersions"].as_array().unwrap();
        assert!(supported.contains(&json!(version)), "{version}");
    }
    for capability in ["tools", "prompts", "resources", "completions"] {
        assert!(
            discovered["capabilities"][capability].is_object(),
            "{capability}"
        );
    }
    let views = &discovered["capabilities"]["extensions"]["io.modelcontextprotocol/ui"];
    assert_eq!(views["mimeTypes"], json!(["text/html;profile=mcp-app"]));
    assert_eq!(discovered["resultType"], "complete");
    assert!(discovered["ttlMs"].is_u64());
    assert!(discovered["cacheScope"].is_string());
}

#[test]
fn a_discover_may_be_followed_by_either_kind_of_session() {
    let home = Home::new();

    let mut modern = Serve::signed_out(&home).start();
    modern.result("server/discover", json!({}));
    let listed = modern.result("tools/list", json!({}));
    let mut legacy = Serve::signed_out(&home).start();
    legacy.result("server/discover", json!({}));
    let initialized = legacy.initialize("2025-11-25");

    assert_eq!(names(&listed), catalogue(&[]));
    assert_eq!(initialized["result"]["protocolVersion"], "2025-11-25");
}

#[test]
fn initialize_agrees_on_the_version_that_the_client_asks_for() {
    let home = Home::new();
    for version in ["2025-11-25", "2025-06-18"] {
        let mut client = Serve::signed_out(&home).start();

        let answer = client.initialize(version);
        let id = client.send_legacy("tools/list", &json!({}));
        let listed = client.answer(id);

        assert_eq!(answer["result"]["protocolVersion"], version);
        assert_eq!(answer["result"]["serverInfo"]["name"], "sf-mcp");
        assert!(answer["result"]["instructions"].is_string());
        assert_eq!(names(&listed["result"]), catalogue(&[]));
    }
}

#[test]
fn initialize_with_an_unknown_version_is_answered_with_the_newest_that_has_a_handshake() {
    let home = Home::new();
    for version in ["2020-01-01", "2031-12-31", "newest"] {
        let mut client = Serve::signed_out(&home).start();

        let answer = client.initialize(version);

        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    }
}

#[test]
fn an_unsupported_version_in_a_request_is_named_with_the_supported_ones() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2031-12-31",
        "io.modelcontextprotocol/clientCapabilities": {},
    });

    let id = client.send_legacy("tools/list", &json!({"_meta": meta}));
    let answer = client.answer(id);
    let next = client.result("tools/list", json!({}));

    assert_eq!(answer["error"]["code"], -32022, "{answer}");
    let supported = answer["error"]["data"]["supported"].as_array().unwrap();
    assert!(supported.contains(&json!("2026-07-28")));
    assert_eq!(names(&next), catalogue(&[]));
}

#[test]
fn the_default_catalogue_fits_into_25_000_characters() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    let id = client.send("tools/list", json!({}));
    let line = client.line(id);

    assert_eq!(names(&client.answer(id)["result"]), catalogue(&[]));
    assert!(line.chars().count() <= 25_000, "{}", line.chars().count());
}

#[test]
fn each_tool_says_what_it_is_and_how_it_behaves() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home)
        .args(&["--toolsets", "all"])
        .start();

    let list = client.result("tools/list", json!({}));

    for tool in rows(&list, "tools") {
        let name = tool["name"].as_str().unwrap();
        let creates = name.starts_with("create_");
        assert!(!tool["title"].as_str().unwrap().is_empty(), "{name}");
        assert!(tool["description"].as_str().unwrap().len() > 60, "{name}");
        assert_eq!(tool["annotations"]["readOnlyHint"], !creates, "{name}");
        assert_eq!(tool["annotations"]["destructiveHint"], false, "{name}");
        assert_eq!(tool["annotations"]["idempotentHint"], !creates, "{name}");
        assert!(tool["annotations"]["openWorldHint"].is_boolean(), "{name}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{name}");
    }
}

#[test]
fn input_schemas_are_what_every_model_api_accepts() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home)
        .args(&["--toolsets", "all"])
        .start();

    let list = client.result("tools/list", json!({}));

    for tool in rows(&list, "tools") {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["type"], "object", "{}", tool["name"]);
        let mut problems = Vec::new();
        find_problems(schema, "", &mut problems);
        assert!(problems.is_empty(), "{}: {problems:?}", tool["name"]);
    }
}

/// Checks a schema and every schema in it; `properties` names arguments, not keywords.
fn find_problems(schema: &Value, path: &str, problems: &mut Vec<String>) {
    let fields = schema.as_object().unwrap();
    for refused in [
        "$ref", "$defs", "$schema", "anyOf", "oneOf", "allOf", "not", "format",
    ] {
        if fields.contains_key(refused) {
            problems.push(format!("{path}: {refused}"));
        }
    }
    match schema["type"].as_str() {
        Some("object") => {
            if schema["additionalProperties"] != false {
                problems.push(format!("{path}: takes unknown properties"));
            }
        }
        Some("array") => {
            if schema["items"]["type"].as_str().is_none() {
                problems.push(format!("{path}: a list of what?"));
            }
        }
        Some(_) => {}
        None => problems.push(format!("{path}: type is {}", schema["type"])),
    }
    if schema["items"].is_object() {
        find_problems(&schema["items"], &format!("{path}[]"), problems);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if path.is_empty() && property["description"].as_str().is_none() {
            problems.push(format!("{name}: no description"));
        }
        find_problems(property, &format!("{path}/{name}"), problems);
    }
}

#[test]
fn lists_may_be_kept_by_modern_clients_and_are_private() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    for method in [
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        let list = client.result(method, json!({}));
        assert!(list["ttlMs"].as_u64().unwrap() > 0, "{method}");
        assert_eq!(list["cacheScope"], "private", "{method}");
    }
}

#[test]
fn clients_with_a_handshake_get_results_in_the_shape_they_know() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();
    client.initialize("2025-11-25");

    for method in [
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        let id = client.send_legacy(method, &json!({}));
        let answer = client.answer(id);
        for unknown in ["ttlMs", "cacheScope", "resultType"] {
            assert!(answer["result"][unknown].is_null(), "{method}: {unknown}");
        }
    }
}

#[test]
fn a_list_refuses_a_cursor_that_it_never_gave_out() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    for method in ["tools/list", "prompts/list", "resources/list"] {
        let answer = client.request(method, json!({"cursor": "bm9uc2Vuc2U"}));
        assert_eq!(answer["error"]["code"], -32602, "{method}");
    }
}

#[test]
fn all_toolsets_add_the_extra_tools() {
    let default = tools_with(&[]);
    let all = tools_with(&["--toolsets", "all"]);

    for extra in [
        "get_account",
        "get_invoice",
        "list_calendar_tasks",
        "search_invoices",
    ] {
        assert!(all.contains(&extra.to_owned()), "{extra}");
        assert!(!default.contains(&extra.to_owned()), "{extra}");
    }
    assert!(default.iter().all(|name| all.contains(name)));
    assert!(all.is_sorted());
}

#[test]
fn the_core_toolset_alone_leaves_out_the_dispatch_tools() {
    let core = tools_with(&["--toolsets", "core"]);

    assert!(core.contains(&"get_job".to_owned()));
    for dispatch in ["list_follow_ups", "list_reference_data"] {
        assert!(!core.contains(&dispatch.to_owned()), "{dispatch}");
    }
}

#[test]
fn a_read_only_server_has_nothing_that_creates() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).args(&["--read-only"]).start();

    let list = client.result("tools/list", json!({}));
    let create = client.request(
        "tools/call",
        json!({"name": "create_customer", "arguments": {"name": "Ann"}}),
    );

    let reading = catalogue(&[]).into_iter();
    let reading: Vec<_> = reading
        .filter(|name| !name.starts_with("create_"))
        .collect();
    assert_eq!(names(&list), reading);
    assert_eq!(create["error"]["code"], -32602);
}

#[test]
fn the_instructions_fit_into_two_kilobytes_and_begin_with_what_matters() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    let discovered = client.result("server/discover", json!({}));
    let instructions = discovered["instructions"].as_str().unwrap();

    assert!(instructions.len() <= 2048, "{}", instructions.len());
    let first: String = instructions.chars().take(512).collect();
    assert!(first.contains("search_"));
    assert!(first.contains("changed or deleted"));
}

#[test]
fn prompts_are_listed_filled_in_and_refused_by_name() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    let list = client.result("prompts/list", json!({}));
    let default = client.result("prompts/get", json!({"name": "morning_briefing"}));
    let filled = client.result(
        "prompts/get",
        json!({"name": "call_prep", "arguments": {"customer": "Maria {date} Alvarez"}}),
    );
    let unknown = client.request("prompts/get", json!({"name": "call_pep"}));
    let incomplete = client.request("prompts/get", json!({"name": "call_prep"}));
    let misspelt = client.request(
        "prompts/get",
        json!({"name": "call_prep", "arguments": {"custmer": "x"}}),
    );

    let names: Vec<&str> = rows(&list, "prompts")
        .iter()
        .map(|prompt| prompt["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "morning_briefing",
            "call_prep",
            "estimate_follow_up",
            "end_of_day"
        ]
    );
    let text = |result: &Value| {
        result["messages"][0]["content"]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(text(&default).contains("briefing for today"));
    assert!(text(&filled).contains("call Maria {date} Alvarez"));
    assert!(!text(&filled).contains("{customer"));
    for refused in [unknown, incomplete, misspelt] {
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
}

#[test]
fn arguments_of_prompts_are_completed_from_the_company() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let mut complete = |prompt: &str, argument: &str, value: &str| {
        let params = json!({
            "ref": {"type": "ref/prompt", "name": prompt},
            "argument": {"name": argument, "value": value},
        });
        client.request("completion/complete", params)
    };

    let customer = complete("call_prep", "customer", "alva");
    let date = complete("morning_briefing", "date", "to");
    let nothing = complete("call_prep", "customer", "nobody is called so");
    let unknown = complete("call_prep", "colour", "re");

    let values = |answer: &Value| answer["result"]["completion"]["values"].clone();
    assert_eq!(values(&customer), json!(["Maria Alvarez"]));
    assert_eq!(values(&date), json!(["today", "tomorrow"]));
    assert_eq!(values(&nothing), json!([]));
    assert_eq!(unknown["error"]["code"], -32602);
}

#[test]
fn reference_lists_and_records_are_resources() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let customer = sandbox.find("customers", "customer_name", &json!("Elm Street Dental"));

    let list = client.result("resources/list", json!({}));
    let templates = client.result("resources/templates/list", json!({}));
    let uri = format!("sf://customer/{}", customer["id"]);
    let record = client.result("resources/read", json!({"uri": uri}));

    assert_eq!(rows(&templates, "resourceTemplates").len(), 3);
    for resource in rows(&list, "resources") {
        let read = client.result("resources/read", json!({"uri": resource["uri"]}));
        let contents = &read["contents"][0];
        assert_eq!(contents["uri"], resource["uri"]);
        assert_eq!(contents["mimeType"], resource["mimeType"]);
        assert!(contents["text"].as_str().unwrap().len() > 100);
        assert!(read["ttlMs"].is_u64(), "{}", resource["uri"]);
        assert_eq!(read["cacheScope"], "private");
    }
    let text = record["contents"][0]["text"].as_str().unwrap();
    assert!(text.contains("Elm Street Dental"));
}

#[test]
fn the_board_names_a_view_that_needs_no_network() {
    let home = Home::new();
    let mut client = Serve::signed_out(&home).start();

    let list = client.result("tools/list", json!({}));
    let board = rows(&list, "tools")
        .iter()
        .find(|tool| tool["name"] == "get_dispatch_board")
        .unwrap();
    let uri = &board["_meta"]["ui"]["resourceUri"];
    let view = client.result("resources/read", json!({"uri": uri}));

    assert!(uri.as_str().unwrap().starts_with("ui://"));
    let contents = &view["contents"][0];
    assert_eq!(contents["mimeType"], "text/html;profile=mcp-app");
    let page = contents["text"].as_str().unwrap();
    assert!(
        page.trim_start()
            .to_lowercase()
            .starts_with("<!doctype html")
    );
    for outside in ["src=\"http", "href=\"http", "url(http", "@import", "fetch("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn an_unknown_resource_is_an_error_with_the_code_of_its_era() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let unknown = [
        "sf://nope",
        "sf://job/0",
        "sf://job/999999999",
        "sf://job/../me",
        "file:///etc/passwd",
        "ui://sf/dispatch-board/v0",
    ];

    let mut modern = McpClient::start(&sandbox, &home);
    let mut legacy = McpClient::start(&sandbox, &home);
    legacy.initialize("2025-11-25");

    for uri in unknown {
        let answer = modern.request("resources/read", json!({"uri": uri}));
        assert_eq!(answer["error"]["code"], -32602, "{uri}: {answer}");
        let id = legacy.send_legacy("resources/read", &json!({"uri": uri}));
        let answer = legacy.answer(id);
        assert_eq!(answer["error"]["code"], -32002, "{uri}: {answer}");
    }
}

#[test]
fn ping_belongs_to_sessions_with_a_handshake() {
    let home = Home::new();
    let mut legacy = Serve::signed_out(&home).start();
    let mut modern = Serve::signed_out(&home).start();

    legacy.initialize("2025-06-18");
    let id = legacy.send_legacy("ping", &json!({}));
    let pong = legacy.answer(id);
    modern.result("tools/list", json!({}));
    let refused = modern.request("ping", json!({}));

    assert_eq!(pong["result"], json!({}));
    assert_eq!(refused["error"]["code"], -32601);
}

#[test]
fn an_unknown_method_and_an_unknown_tool_have_their_codes() {
    let home = Home::new();
    let mut modern = Serve::signed_out(&home).start();
    let mut legacy = Serve::signed_out(&home).start();
    legacy.initialize("2025-11-25");

    for method in ["tools/lst", "logging/setLevel", "resources/subscribe", ""] {
        let answer = modern.request(method, json!({}));
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
        let id = legacy.send_legacy(method, &json!({}));
        assert_eq!(legacy.answer(id)["error"]["code"], -32601, "{method}");
    }
    let call = json!({"name": "search_job", "arguments": {}});
    let answer = modern.request("tools/call", call.clone());
    assert_eq!(answer["error"]["code"], -32602);
    let id = legacy.send_legacy("tools/call", &call);
    assert_eq!(legacy.answer(id)["error"]["code"], -32602);
}
