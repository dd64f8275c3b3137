//! Every command and flag.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    config::{self, Config, Settings},
    paths::Paths,
};

mod call;
mod company;
mod demo;
mod doctor;
mod install;
mod login;
mod logout;
mod rotate;
mod sandbox;
mod serve;
mod status;
mod table;
mod tools;

/// Service Fusion for AI clients: an MCP server over stdio for one company.
///
/// `sf-mcp demo` shows what it does on a built-in sandbox company, without an account.
#[derive(Parser)]
#[command(name = "sf-mcp", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Serve MCP on stdin and stdout; AI clients start this.
    Serve {
        /// Started by a hosting service: confined, without files, tokens come over standard error.
        #[arg(long, hide = true)]
        hosted: bool,
    },
    /// Guided tour on the built-in sandbox company: no account, no network.
    Demo,
    /// Sign in to Service Fusion; AI clients on this machine use it from then on.
    Login(login::Login),
    /// Forget the sign-in.
    Logout,
    /// Show who is signed in, until when, and where the key is.
    Status {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check everything that can go wrong and say how to mend it.
    Doctor {
        /// Print the findings as JSON.
        #[arg(long)]
        json: bool,
        /// Instead, seal the sign-in with a new key; running clients go on.
        #[arg(long, conflicts_with = "json")]
        rotate_key: bool,
    },
    /// List the tools an AI client sees.
    Tools {
        /// Print the definitions as JSON, as clients get them.
        #[arg(long)]
        json: bool,
    },
    /// Call one tool: `sf-mcp call search_jobs status=open date=today`.
    Call {
        /// The tool's name; `sf-mcp tools` lists them.
        tool: String,
        /// Arguments as name=value; lists as a,b,c.
        #[arg(value_name = "NAME=VALUE")]
        arguments: Vec<String>,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Enter sf-mcp into AI clients; without a client, show which are on this machine.
    Install(install::Clients),
    /// Take sf-mcp out of AI clients again.
    Uninstall(install::Clients),
    /// Run the sandbox company as a server of its own, for trying out and for tests.
    Sandbox(sandbox::Sandbox),
    /// Print a completion script for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
}

/// How a command ended, as the exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    SignedOut = 3,
    Unreachable = 4,
}

/// A command's failure: what to print and how to exit.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl Failure {
    fn is_signed_out(&self) -> bool {
        self.exit == Exit::SignedOut
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, format!("{:#}", error.into()))
    }
}

/// Reads the command line and runs what it asks for.
pub fn run() -> ExitCode {
    crate::confine::keep_memory_private();
    let mut cli = parse();
    cli.settings.demo |= matches!(cli.command, Some(Command::Demo));
    cli.settings.hosted = matches!(cli.command, Some(Command::Serve { hosted: true }));
    let given = cli.settings.clone();
    let outcome = match cli.settings.resolve() {
        Ok(config) => {
            let command = cli.command.unwrap_or(Command::Serve { hosted: false });
            let serving = matches!(command, Command::Serve { .. });
            let paths = config.paths.as_ref().filter(|_| serving);
            crate::logging::start(&config.log, paths.map(Paths::log_folder));
            dispatch(command, config, &given)
        }
        Err(problem) => without_settings(cli.command.as_ref(), &problem, given),
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            eprintln!("sf-mcp: {}", failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// The doctor goes on where only `config.toml` is at fault.
fn without_settings(
    command: Option<&Command>,
    problem: &config::Error,
    given: Settings,
) -> Result<Exit, Failure> {
    let refused = Failure::new(Exit::Usage, problem.to_string());
    let Some(Command::Doctor {
        json,
        rotate_key: false,
    }) = command
    else {
        return Err(refused);
    };
    let Ok(config) = given.resolve_without_file() else {
        return Err(refused);
    };
    crate::logging::start(&config.log, None);
    doctor::run(&config, Some(problem), *json)
}

/// The help names variables but not their values: it is pasted into messages.
pub fn command() -> clap::Command {
    fn quiet(command: clap::Command) -> clap::Command {
        command
            .mut_args(|argument| argument.hide_env_values(true))
            .mut_subcommands(quiet)
    }
    quiet(Cli::command())
}

fn parse() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|problem| problem.exit())
}

fn dispatch(command: Command, config: Config, given: &Settings) -> Result<Exit, Failure> {
    match command {
        Command::Serve { .. } => serve::run(config),
        Command::Demo => demo::run(&config),
        Command::Login(login) => login.run(&config),
        Command::Logout => logout::run(&config),
        Command::Status { json } => status::run(&config, json),
        Command::Doctor {
            rotate_key: true, ..
        } => rotate::run(&config),
        Command::Doctor { json, .. } => doctor::run(&config, None, json),
        Command::Tools { json } => tools::run(&config, json),
        Command::Call {
            tool,
            arguments,
            json,
        } => call::run(&config, &tool, &arguments, json),
        Command::Install(clients) => clients.install(given),
        Command::Uninstall(clients) => clients.uninstall(),
        Command::Sandbox(sandbox) => sandbox.run(&config),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut self::command(),
                "sf-mcp",
                &mut std::io::stdout(),
            );
            Ok(Exit::Done)
        }
    }
}

/// Prints for a person or a script. Only commands that do not serve may write to stdout.
/// A reader that closed the pipe early has seen enough.
fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"));
}

/// What a command named to a person must say to mean this profile.
fn on_profile(profile: &str) -> String {
    match profile {
        "default" => String::new(),
        name => format!(" --profile {name}"),
    }
}

/// One thread is enough for a server whose work is waiting.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
