//! `sf-mcp call`: one tool from the terminal.

use std::{io::IsTerminal, sync::Arc};

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Exit, Failure, company, print, runtime, serve, table},
    config::Config,
    server::{SfServer, call::Call, tool_error::closest},
    tools,
};

pub(super) fn run(
    config: &Config,
    tool: &str,
    arguments: &[String],
    json: bool,
) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(call(config, tool, arguments, json));
    runtime.shutdown_background();
    outcome
}

async fn call(
    config: &Config,
    tool: &str,
    arguments: &[String],
    json: bool,
) -> Result<Exit, Failure> {
    let arguments = read_arguments(arguments)?;
    let connected = company::connect(config).await?;
    let server = SfServer::new(
        tools::catalog(&config.toolsets, config.read_only),
        connected.company,
    );
    check_name(&server, tool)?;
    let cancelled = CancellationToken::new();
    let (sender, steps) = mpsc::unbounded_channel();
    let call = Call::new(server.company(), cancelled.clone(), Some(sender));
    let showing = tokio::spawn(show_progress(steps));
    let company = Arc::clone(server.company());
    let outcome = tokio::select! {
        outcome = server.run(tool, arguments, call) => Ok(outcome),
        () = serve::asked_to_stop() => {
            cancelled.cancel();
            Err(Failure::new(Exit::Failed, "interrupted"))
        }
    };
    showing.abort();
    serve::settle(&company).await;
    match outcome? {
        Some(Ok(answer)) => {
            let answer = Value::Object(answer.0);
            print(&if json {
                serde_json::to_string_pretty(&answer)?
            } else {
                table::render(&answer)
            });
            Ok(Exit::Done)
        }
        Some(Err(problem)) => {
            if json {
                print(&serde_json::to_string_pretty(&problem.structured())?);
            }
            let exit = match problem.code() {
                "invalid_argument" => Exit::Usage,
                "signed_out" | "suspended" | "reconnect_required" => Exit::SignedOut,
                "unreachable" => Exit::Unreachable,
                _ => Exit::Failed,
            };
            Err(Failure::new(exit, problem.to_string()))
        }
        None => Err(Failure::new(
            Exit::Usage,
            format!("there is no tool `{tool}`"),
        )),
    }
}

fn check_name(server: &SfServer, name: &str) -> Result<(), Failure> {
    let known: Vec<&str> = server.tools().iter().map(|tool| tool.name).collect();
    if known.contains(&name) {
        return Ok(());
    }
    if let Some(why) = tools::left_out(name) {
        return Err(Failure::new(Exit::Usage, why));
    }
    let meant = closest(name, known.iter().copied()).map_or_else(
        || "`sf-mcp tools` lists them; some need --toolsets all".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    );
    Err(Failure::new(
        Exit::Usage,
        format!("there is no tool `{name}`; {meant}"),
    ))
}

/// `name=value`; a value that is JSON (a list, an object) is taken as such.
fn read_arguments(arguments: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut read = Map::new();
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{argument}` is no argument; write name=value, such as date=today"),
            ));
        };
        let value = if value.starts_with(['[', '{']) {
            serde_json::from_str(value).map_err(|problem| {
                Failure::new(
                    Exit::Usage,
                    format!("`{name}` looks like JSON but is none: {problem}"),
                )
            })?
        } else {
            Value::from(value)
        };
        if read.insert(name.trim().to_owned(), value).is_some() {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{name}` is given twice; write a list as {name}=a,b"),
            ));
        }
    }
    Ok(read)
}

/// Says on stderr how far a long call has got.
async fn show_progress(mut steps: mpsc::UnboundedReceiver<(u32, u32)>) {
    let terminal = std::io::stderr().is_terminal();
    while let Some((done, of)) = steps.recv().await {
        if terminal {
            eprint!("\r{done} of {of} ");
            if done >= of {
                eprint!("\r          \r");
            }
        } else {
            eprintln!("{done} of {of}");
        }
    }
}
