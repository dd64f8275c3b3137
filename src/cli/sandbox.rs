//! `sf-mcp sandbox`: the simulated company as a server of its own.

use std::time::Duration;

use clap::Args;

use crate::{
    cli::{Exit, Failure, print, runtime},
    config::Config,
    sandbox::{self, Options},
};

#[derive(Args)]
pub(super) struct Sandbox {
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Requests allowed a minute; 0 lifts the limit.
    #[arg(long, default_value_t = 60)]
    requests: u32,

    /// The window of that limit, in milliseconds.
    #[arg(long, default_value_t = 60_000, hide = true)]
    window_ms: u64,

    /// Life of an access token, in seconds.
    #[arg(long, default_value_t = 3600)]
    token_life: u64,

    /// That many more jobs, all of one property manager.
    #[arg(long, default_value_t = 0)]
    extra_jobs: u32,

    /// Let tests inject faults and read the request log under /sandbox/.
    #[arg(long)]
    control: bool,
}

impl Sandbox {
    pub(super) fn run(&self, config: &Config) -> Result<Exit, Failure> {
        let options = Options {
            port: self.port,
            time_zone: config.clock.zone().clone(),
            now: config.set_now,
            requests_per_window: self.requests,
            rate_window: Duration::from_millis(self.window_ms),
            token_life: Duration::from_secs(self.token_life),
            extra_jobs: self.extra_jobs,
            control: self.control,
        };
        let runtime = runtime()?;
        runtime.block_on(async {
            let sandbox = sandbox::Sandbox::start(options)
                .await
                .map_err(|problem| self.not_started(problem))?;
            print(&format!(
                "export SF_MCP_API_URL={} SF_MCP_CLIENT_ID={} SF_MCP_CLIENT_SECRET={}",
                sandbox.origin(),
                sandbox::CLIENT_ID,
                sandbox::CLIENT_SECRET
            ));
            eprintln!("{}", how_to_use(&sandbox.origin()));
            tokio::signal::ctrl_c().await?;
            Ok(Exit::Done)
        })
    }

    fn not_started(&self, problem: std::io::Error) -> Failure {
        if problem.kind() == std::io::ErrorKind::AddrInUse {
            let text = format!("port {} is in use; choose another with --port", self.port);
            return Failure::new(Exit::Failed, text);
        }
        problem.into()
    }
}

/// What a person reads below the line for the shell.
fn how_to_use(origin: &str) -> String {
    let practice = format!("--profile practice --api-url {origin}");
    format!(
        "The sandbox company is running; stop it with Ctrl+C.\n\n\
         To use it without signing in, paste the line above into another terminal; then for example\n  \
           sf-mcp call search_jobs date=today\n\n\
         To practise signing in, in a terminal without that line:\n  \
           sf-mcp login {practice}\n    \
             id {}, secret {}\n  \
           sf-mcp login --browser {practice}\n    \
             id {}, secret {}\n  \
           sf-mcp status {practice}",
        sandbox::CLIENT_ID,
        sandbox::CLIENT_SECRET,
        sandbox::APP_CLIENT_ID,
        sandbox::APP_CLIENT_SECRET
    )
}
