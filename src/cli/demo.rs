//! `sf-mcp demo`: a dispatcher's questions, asked through a real MCP session with this very program.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    cli::{Exit, Failure, print, serve, table},
    config::Config,
};

/// What is asked, how it is put to a tool, and which part of the answer a person wants to see.
struct Question {
    words: &'static str,
    tool: &'static str,
    arguments: fn() -> Value,
    shown: &'static [&'static str],
}

const QUESTIONS: [Question; 6] = [
    Question {
        words: "What does today look like, and what needs me first?",
        tool: "get_dispatch_board",
        arguments: || json!({}),
        shown: &["now", "counts", "unassigned"],
    },
    Question {
        words: "Who is on the Elm Street job?",
        tool: "search_jobs",
        arguments: || json!({"query": "Elm Street", "date": "this week", "limit": 3}),
        shown: &["jobs", "total"],
    },
    Question {
        words: "Who is free at two o'clock, best near Plano?",
        tool: "get_technician_schedule",
        arguments: || json!({"date": "today", "free_from": "2 pm", "near": "Plano"}),
        shown: &["window", "technicians"],
    },
    Question {
        words: "Mrs. Alvarez is on the phone. Which one is she?",
        tool: "search_customers",
        arguments: || json!({"query": "Alvarez"}),
        shown: &["customers", "matched_by"],
    },
    Question {
        words: "Which of our larger quotes have gone quiet?",
        tool: "search_estimates",
        arguments: || json!({"open": true, "older_than_days": 14, "minimum_total": 5000, "limit": 5}),
        shown: &["estimates", "total"],
    },
    Question {
        words: "What did we finish and not bill yet?",
        tool: "list_follow_ups",
        arguments: || json!({"include": ["unbilled_jobs"], "limit": 5}),
        shown: &["unbilled_jobs"],
    },
];

pub(super) fn run(config: &Config) -> Result<Exit, Failure> {
    let mut session = Session::start(config)?;
    print(
        "This is sf-mcp on its built-in sandbox: a plumbing and heating company whose data is always about today.",
    );
    print("Each question goes through a real MCP session, as an AI client would put it.\n");
    for question in &QUESTIONS {
        let arguments = (question.arguments)();
        print(&format!("> {}", question.words));
        print(&format!("  {} {}", question.tool, arguments));
        let answer = session.call(question.tool, &arguments)?;
        let mut shown: serde_json::Map<String, Value> = question
            .shown
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), trimmed(answer.get(*name)?))))
            .collect();
        let late = late_jobs(&answer);
        if !late.is_empty() {
            shown.insert("late_now".to_owned(), trimmed(&Value::Array(late)));
        }
        print(&format!(
            "{}\n",
            indented(&table::render(&Value::Object(shown)))
        ));
    }
    session.end();
    print(
        "Try it in Claude Desktop: run `sf-mcp install claude-desktop --demo`, or open Settings > Developer > Edit Config,\npaste this, restart Claude, and ask the same questions:\n",
    );
    print(&serve::client_config(true)?);
    print("\nFrom the terminal: sf-mcp tools, sf-mcp call search_jobs status=open --demo");
    Ok(Exit::Done)
}

/// The board's late jobs, which are what a dispatcher looks for first.
fn late_jobs(board: &Value) -> Vec<Value> {
    let columns = board["technicians"].as_array().into_iter().flatten();
    columns
        .flat_map(|column| column["jobs"].as_array().into_iter().flatten())
        .filter(|job| !job["late"].is_null())
        .cloned()
        .collect()
}

/// Long rows are for programs: a person's glance needs no ids and no nested appointments.
fn trimmed(value: &Value) -> Value {
    const HIDDEN: [&str; 12] = [
        "customer_id",
        "technician_id",
        "job_id",
        "estimate_id",
        "appointments",
        "stage",
        "account_number",
        "category",
        "rating",
        "owner",
        "date",
        "written",
    ];
    match value {
        Value::Array(rows) => Value::Array(rows.iter().take(8).map(trimmed).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(name, _)| !HIDDEN.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), trimmed(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A client's end of a stdio session with another process of this program.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next_id: u32,
}

impl Session {
    fn start(config: &Config) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--demo"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.env("SF_MCP_TIME_ZONE", config.clock.zone_name());
        let mut child = command.spawn().context("starting the server")?;
        let input = child.stdin.take().context("the server has no stdin")?;
        let output = BufReader::new(child.stdout.take().context("the server has no stdout")?);
        Ok(Self {
            child,
            input,
            output,
            next_id: 1,
        })
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Value> {
        let result = self.request("tools/call", json!({"name": tool, "arguments": arguments}))?;
        if result["isError"] == json!(true) {
            let message = result["content"][0]["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            anyhow::bail!("{tool}: {message}");
        }
        Ok(result["structuredContent"].clone())
    }

    /// One request of the 2026-07-28 protocol, which needs no handshake.
    fn request(&mut self, method: &str, mut params: Value) -> anyhow::Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "sf-mcp demo", "version": env!("CARGO_PKG_VERSION")}
        });
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.input, "{message}").context("the server is gone")?;
        let mut line = String::new();
        loop {
            line.clear();
            anyhow::ensure!(
                self.output.read_line(&mut line)? > 0,
                "the server ended before it answered"
            );
            let answer: Value =
                serde_json::from_str(&line).context("reading the server's answer")?;
            if answer["id"] == json!(id) {
                anyhow::ensure!(
                    answer["error"].is_null(),
                    "{}",
                    answer["error"]["message"].as_str().unwrap_or_default()
                );
                return Ok(answer["result"].clone());
            }
        }
    }

    /// Closing stdin is how a client ends a stdio server.
    fn end(self) {
        let Self {
            mut child, input, ..
        } = self;
        drop(input);
        let _ = child.wait();
    }
}
