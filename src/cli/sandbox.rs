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
            let sandbox = sandbox::Sandbox::start(options).await?;
            print(&format!(
                "export SF_MCP_API_URL={} SF_MCP_CLIENT_ID={} SF_MCP_CLIENT_SECRET={}",
                sandbox.origin(),
                sandbox::CLIENT_ID,
                sandbox::CLIENT_SECRET
            ));
            eprintln!("The sandbox company is running; stop it with Ctrl+C. Paste the line above into another terminal to use it.");
            tokio::signal::ctrl_c().await
        })?;
        Ok(Exit::Done)
    }
}
