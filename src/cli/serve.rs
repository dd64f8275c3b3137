//! `sf-mcp serve`: MCP on stdin and stdout until stdin ends or the process is asked to stop.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use rmcp::{ServiceExt, service::ServerInitializeError, transport::io::stdio_pipes};

use crate::{
    cli::{Exit, Failure, company, runtime},
    config::Config,
    server::{SfServer, call::Company, transport::Opening},
    tools,
};

const ON_A_TERMINAL: &str = "\
sf-mcp is an MCP server: an AI client starts it and talks to it through stdin and stdout, so there is nothing to type here.

  sf-mcp demo                     see what it does, without an account
  sf-mcp login                    sign in to your company's Service Fusion
  sf-mcp install claude-desktop   enter it into an AI client; `sf-mcp install` lists them
  sf-mcp tools                    what an AI client can ask for
  sf-mcp call get_dispatch_board --demo
                                  call one tool from this terminal

Any other client takes this into its MCP configuration:

";

pub(super) fn run(config: Config) -> Result<Exit, Failure> {
    if std::io::stdin().is_terminal() {
        eprint!("{ON_A_TERMINAL}");
        eprintln!("{}", client_config(config.demo)?);
        return Ok(Exit::Done);
    }
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve(config));
    // A read of stdin on a blocking thread cannot be interrupted; the process must not wait for it.
    runtime.shutdown_background();
    outcome
}

/// The entry of a client's `mcpServers`, with this program's absolute path: desktop clients have no shell's PATH.
pub(super) fn client_config(demo: bool) -> std::io::Result<String> {
    let program = std::env::current_exe()?;
    let mut arguments = vec!["serve"];
    if demo {
        arguments.push("--demo");
    }
    let config = serde_json::json!({
        "mcpServers": {"service-fusion": {"command": program, "args": arguments}}
    });
    Ok(serde_json::to_string_pretty(&config).unwrap_or_default())
}

async fn serve(config: Config) -> Result<Exit, Failure> {
    let connected = company::connect(&config).await?;
    let server = SfServer::new(
        tools::catalog(&config.toolsets, config.read_only),
        connected.company,
    );
    let company = Arc::clone(server.company());
    let outcome = converse(server).await;
    settle(&company).await;
    outcome
}

async fn converse(server: SfServer) -> Result<Exit, Failure> {
    let (input, output) = stdio_pipes();
    let started = server.serve(Opening::new(input, output));
    let running = tokio::select! {
        started = started => match started {
            Ok(running) => running,
            // The client left before it asked for anything: nothing failed.
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(Exit::Done),
            Err(problem) => return Err(Failure::new(Exit::Failed, format!("the client did not begin a session: {problem}"))),
        },
        () = asked_to_stop() => return Ok(Exit::Done),
    };
    let stop = running.cancellation_token();
    let ended = running.waiting();
    tokio::select! {
        _ = ended => {}
        () = asked_to_stop() => stop.cancel(),
    }
    Ok(Exit::Done)
}

/// Before the process ends: a renewal that is cut off would cost the sign-in, and the last usage events are written.
pub(super) async fn settle(company: &Company) {
    let renewal = async {
        let settled = company.client.session().settled();
        tokio::pin!(settled);
        tokio::select! {
            () = &mut settled => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                eprintln!("the sign-in is being renewed; sf-mcp ends when that is done, within half a minute");
                settled.await;
            }
        }
    };
    tokio::join!(renewal, company.usage.settled());
}

/// Ends on the signals with which clients stop a server.
pub(super) async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
