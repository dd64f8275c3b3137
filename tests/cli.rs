//! The program from a terminal: catalogue, calls, exit codes, settings.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Home, Ran, Sandbox, Serve, catalogue, names, run, sf_mcp};

/// Runs a command that is signed in to the sandbox.
fn run_with(sandbox: &Sandbox, home: &Home, arguments: &[&str]) -> Ran {
    let output = sf_mcp()
        .env("SF_MCP_HOME", home.path())
        .env("SF_MCP_API_URL", sandbox.origin())
        .env("SF_MCP_CLIENT_ID", "sandbox-consumer")
        .env("SF_MCP_CLIENT_SECRET", "sandbox-consumer-secret")
        .args(arguments)
        .output();
    output.unwrap().into()
}

fn run_env(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = sf_mcp();
    command.env("SF_MCP_HOME", home.path());
    command.envs(variables.iter().copied());
    command.args(arguments).output().unwrap().into()
}

#[test]
fn the_catalogue_is_listed_for_people_and_for_programs() {
    let home = Home::new();

    let people = run(&home, &["tools"]);
    let programs = run(&home, &["tools", "--json"]);
    let all = run(&home, &["tools", "--json", "--toolsets", "all"]);
    let read_only = run(&home, &["tools", "--read-only"]);
    let over_the_wire = Serve::signed_out(&home)
        .start()
        .result("tools/list", json!({}));

    assert_eq!((people.code, programs.code), (Some(0), Some(0)));
    assert!(people.stdout.contains("get_dispatch_board"));
    assert!(!people.stdout.contains("get_invoice"));
    let parsed: Value = serde_json::from_str(&programs.stdout).unwrap();
    assert_eq!(parsed["tools"], over_the_wire["tools"]);
    let parsed: Value = serde_json::from_str(&all.stdout).unwrap();
    assert!(names(&parsed).contains(&"get_invoice".to_owned()));
    assert!(!read_only.stdout.contains("create_"));
}

#[test]
fn a_call_shows_a_table_or_json() {
    let sandbox = Sandbox::start();
    let home = Home::new();

    let table = run_with(&sandbox, &home, &["call", "search_jobs", "query=10835"]);
    let json = run_with(
        &sandbox,
        &home,
        &["call", "search_jobs", "query=10835", "--json"],
    );

    assert_eq!(
        (table.code, json.code),
        (Some(0), Some(0)),
        "{}",
        table.stderr
    );
    assert!(table.stdout.contains("Cedar & Stone Rentals"));
    assert!(table.stdout.contains("jobs (1)"));
    assert!(!table.stdout.contains('{'));
    let parsed: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(parsed["jobs"][0]["number"], "10835");
    assert_eq!(json.stderr, "");
}

#[test]
fn arguments_of_a_call_may_be_words_lists_and_json() {
    let sandbox = Sandbox::start();
    let home = Home::new();

    let list = run_with(
        &sandbox,
        &home,
        &[
            "call",
            "search_jobs",
            "status=Scheduled,On Site",
            "limit=100",
            "--json",
        ],
    );
    let json = run_with(
        &sandbox,
        &home,
        &[
            "call",
            "search_jobs",
            r#"status=["Scheduled","On Site"]"#,
            "limit=100",
            "--json",
        ],
    );
    let equals = run_with(
        &sandbox,
        &home,
        &["call", "search_customers", "name=a=b", "--json"],
    );

    assert_eq!(list.code, Some(0), "{}", list.stderr);
    assert_eq!(list.stdout, json.stdout);
    let parsed: Value = serde_json::from_str(&equals.stdout).unwrap();
    assert_eq!(parsed["total"], 0);
}

#[test]
fn a_long_call_shows_its_progress_beside_the_answer() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "300"]);
    let home = Home::new();

    let ran = run_with(
        &sandbox,
        &home,
        &["call", "search_jobs", "unassigned=true", "--json"],
    );

    assert!(ran.stderr.contains(" of "), "{}", ran.stderr);
    assert!(serde_json::from_str::<Value>(&ran.stdout).is_ok());
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let signed_out = run_env(
        &home,
        &[("SF_MCP_API_URL", &sandbox.origin())],
        &["call", "search_jobs"],
    );
    let gone = {
        let stopped = Sandbox::start();
        let origin = stopped.origin();
        drop(stopped);
        let variables = [
            ("SF_MCP_API_URL", origin.as_str()),
            ("SF_MCP_CLIENT_ID", "x"),
            ("SF_MCP_CLIENT_SECRET", "y"),
        ];
        run_env(&home, &variables, &["call", "search_jobs"])
    };

    let done = run_with(
        &sandbox,
        &home,
        &["call", "list_reference_data", "kind=sources"],
    );
    let failed = run_with(
        &sandbox,
        &home,
        &["call", "get_customer", "customer_id=999999"],
    );
    let usage = run_with(&sandbox, &home, &["call", "search_jobs", "statuss=open"]);
    let flag = run_with(&sandbox, &home, &["call", "search_jobs", "--nonsense"]);

    for (ran, code, says) in [
        (&failed, 1, "search_customers"),
        (&usage, 2, "did you mean `status`"),
        (&flag, 2, "--nonsense"),
        (&signed_out, 3, "sf-mcp login"),
        (&gone, 4, "network"),
    ] {
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{says}");
    }
    assert_eq!(done.code, Some(0));
}

#[test]
fn an_error_is_json_for_programs_too() {
    let sandbox = Sandbox::start();
    let home = Home::new();

    let ran = run_with(
        &sandbox,
        &home,
        &["call", "search_jobs", "status=Opn", "--json"],
    );

    assert_eq!(ran.code, Some(2));
    let parsed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(parsed["code"], "invalid_argument");
    assert_eq!(parsed["argument"], "status");
}

#[test]
fn an_unknown_tool_gets_the_nearest_name() {
    let home = Home::new();

    for (said, hint) in [
        ("serch_jobs", "did you mean `search_jobs`?"),
        ("get_job_history_of", "sf-mcp tools"),
        ("", "sf-mcp tools"),
    ] {
        let ran = run(&home, &["call", said, "--demo"]);

        assert_eq!(ran.code, Some(2), "{said}");
        assert!(ran.stderr.contains(hint), "{said}: {}", ran.stderr);
    }
}

#[test]
fn arguments_that_cannot_be_read_are_refused_with_an_example() {
    let home = Home::new();

    for (arguments, says) in [
        (&["status"][..], "name=value"),
        (&["status=[\"open\""], "looks like JSON"),
        (&["date=today", "date=tomorrow"], "given twice"),
        (&["=x"], ""),
    ] {
        let ran = run(
            &home,
            &[&["call", "search_jobs", "--demo"], arguments].concat(),
        );

        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_read_only_program_calls_nothing_that_creates() {
    let home = Home::new();

    let ran = run(
        &home,
        &[
            "call",
            "create_customer",
            "name=Ann",
            "--demo",
            "--read-only",
        ],
    );

    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--read-only"), "{}", ran.stderr);
}

#[test]
fn the_demo_answers_without_an_account_and_shows_the_client_config() {
    let home = Home::new();

    let ran = run(&home, &["demo"]);

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let (_, config) = ran.stdout.split_once("\n{").unwrap();
    let (config, _) = config.split_once("\n}").unwrap();
    let config: Value = serde_json::from_str(&format!("{{{config}}}")).unwrap();
    let server = &config["mcpServers"]["service-fusion"];
    assert_eq!(server["args"], json!(["serve", "--demo"]));
    assert!(std::path::Path::new(server["command"].as_str().unwrap()).is_absolute());
    for shown in [
        "get_dispatch_board",
        "unassigned",
        "Maria Alvarez",
        "is free",
    ] {
        assert!(
            ran.stdout.contains(shown),
            "{shown} is not in {}",
            ran.stdout
        );
    }
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let home = Home::new();

    run(&home, &["demo"]);
    run(
        &home,
        &["call", "create_customer", "name=Ann Demo", "--demo"],
    );

    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn completions_are_there_for_every_shell() {
    let home = Home::new();

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&home, &["completions", shell]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains("sf-mcp"), "{shell}");
    }
    assert_eq!(run(&home, &["completions", "tcsh"]).code, Some(2));
}

#[test]
fn settings_that_cannot_be_used_are_refused_with_what_would_be_accepted() {
    let home = Home::new();

    for (name, value, says) in [
        ("SF_MCP_TIME_ZONE", "Mars/Phobos", "America/Chicago"),
        ("SF_MCP_TOOLSETS", "cores", "core, dispatch, extra"),
        ("SF_MCP_MAX_ANSWER", "10", "2000"),
        ("SF_MCP_MAX_ANSWER", "big", "big"),
        ("SF_MCP_API_URL", "http://example.com", "https"),
        ("SF_MCP_API_URL", "https://example.com/v1", "origin"),
        (
            "SF_MCP_API_URL",
            "nonsense",
            "https://api.servicefusion.com",
        ),
        ("SF_MCP_PROFILE", "../other", "letters"),
        ("SF_MCP_NOW", "soon", "2026-11-22T14:30"),
        ("SF_MCP_TIMEOUT", "soon", "soon"),
        ("SF_MCP_TIMEOUT", "0", "from 1 to 3600"),
        ("SF_MCP_TIMEOUT", "-5", "from 1 to 3600"),
        ("SF_MCP_TIMEOUT", "", "from 1 to 3600"),
        ("SF_MCP_TIMEOUT", "18446744073709551615", "from 1 to 3600"),
        ("SF_MCP_READ_ONLY", "perhaps", "perhaps"),
    ] {
        for command in ["serve", "tools"] {
            let ran = run_env(&home, &[(name, value)], &[command]);

            assert_eq!(
                ran.code,
                Some(2),
                "{command} {name}={value}: {}",
                ran.stderr
            );
            assert!(ran.stderr.contains(says), "{name}={value}: {}", ran.stderr);
            assert_eq!(ran.stdout, "", "{name}={value}");
        }
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let home = Home::new();
    std::fs::write(
        home.path().join("config.toml"),
        "toolsets = [\"all\"]\nread_only = true\n",
    )
    .unwrap();
    let offered = |variables: &[(&str, &str)], flags: &[&str]| {
        let ran = run_env(&home, variables, &[&["tools", "--json"], flags].concat());
        let parsed: Value = serde_json::from_str(&ran.stdout).unwrap();
        names(&parsed)
    };

    let all = catalogue(&["--toolsets", "all"]);
    let reading = |toolsets| catalogue(&["--read-only", "--toolsets", toolsets]);
    let core = [("SF_MCP_TOOLSETS", "core")];
    assert_eq!(offered(&[], &[]), reading("all"));
    assert_eq!(offered(&[("SF_MCP_READ_ONLY", "false")], &[]), all);
    assert_eq!(offered(&core, &[]), reading("core"));
    assert_eq!(
        offered(&core, &["--toolsets", "core,dispatch"]),
        reading("core,dispatch")
    );
}

#[test]
fn a_config_file_that_cannot_be_read_is_named() {
    for text in [
        "toolsets = ",
        "tool_sets = [\"all\"]\n",
        "timeout = \"long\"\n",
    ] {
        let home = Home::new();
        std::fs::write(home.path().join("config.toml"), text).unwrap();

        let ran = run(&home, &["tools"]);

        assert_eq!(ran.code, Some(2), "{text}");
        assert!(ran.stderr.contains("config.toml"), "{}", ran.stderr);
        assert!(ran.stderr.contains("in quotes"), "{}", ran.stderr);

        let doctor = run(&home, &["doctor", "--demo"]);

        assert_eq!(doctor.code, Some(2), "{}", doctor.stderr);
        assert!(
            doctor.stdout.starts_with("problem  settings"),
            "{}",
            doctor.stdout
        );
        assert!(doctor.stdout.contains("answers as"), "{}", doctor.stdout);
    }
}

#[test]
fn a_home_that_is_a_file_is_refused() {
    let home = Home::new();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();

    let ran = run_env(
        &home,
        &[("SF_MCP_HOME", file.to_str().unwrap())],
        &["status"],
    );

    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("it must be a folder"), "{}", ran.stderr);
}

#[test]
fn a_logout_says_which_variables_still_sign_in() {
    let (sandbox, home) = (Sandbox::start(), Home::new());

    let ran = run_with(&sandbox, &home, &["logout"]);

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("Unset them"), "{}", ran.stdout);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let home = Home::new();
    let mut child = sf_mcp()
        .env("SF_MCP_HOME", home.path())
        .args(["tools", "--json", "--toolsets", "all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    drop(child.stdout.take());
    let ran = child.wait_with_output().unwrap();

    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    assert_eq!(ran.status.code(), Some(0));
}

#[test]
fn no_secret_is_taken_from_the_command_line() {
    let home = Home::new();

    for flag in ["--client-secret", "--client-id", "--token", "--secret"] {
        let ran = run(&home, &["serve", flag, "x"]);
        assert_eq!(ran.code, Some(2), "{flag}");
    }
}

#[test]
fn the_sandbox_is_steered_only_when_it_is_meant_to_be() {
    let home = Home::new();
    let sandbox = Sandbox::start();
    let taken = sandbox.origin();
    let port = taken.rsplit(':').next().unwrap();

    let ran = run(&home, &["sandbox", "--port", port]);

    assert_eq!(ran.code, Some(1));
    let says = format!("port {port} is in use; choose another with --port");
    assert!(ran.stderr.contains(&says), "{}", ran.stderr);
}
