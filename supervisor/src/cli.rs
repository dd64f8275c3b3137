//! Every command and flag.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    app,
    config::{self, Settings},
    mailer, master_key, store, vault,
};

mod admin;
mod backup;
mod keys;
mod serve;
mod shown;

/// Hosts Service Fusion's MCP server for many companies.
///
/// `sf-supervisor serve --dev` runs everything on this machine, without an account and without set-up.
#[derive(Parser)]
#[command(name = "sf-supervisor", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until asked to stop.
    Serve,
    Admin(admin::Admin),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Keys(keys::Keys),
}

/// How a command ended, as the exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
}

/// A command's failure: what to print and how to exit.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self {
            exit: if is_set_wrong(&error) {
                Exit::Usage
            } else {
                Exit::Failed
            },
            message: told(&error),
        }
    }
}

/// What is set wrong stays wrong, so service managers must not try again as they do for a database that is away.
fn is_set_wrong(error: &anyhow::Error) -> bool {
    let vault = |problem: &vault::Error| {
        matches!(
            problem,
            vault::Error::WrongMasterKey { .. } | vault::Error::MissingMasterKey { .. }
        )
    };
    let service = |problem: &app::Error| match problem {
        app::Error::Vault(problem) => vault(problem),
        app::Error::Store(problem) => matches!(problem, store::Error::Address),
        app::Error::Mailer(problem) => matches!(
            problem,
            mailer::Error::Sender(_) | mailer::Error::Url(_) | mailer::Error::Certificates { .. }
        ),
        app::Error::Traces(_) => false,
    };
    error.is::<master_key::Error>()
        || error.downcast_ref().is_some_and(vault)
        || error.downcast_ref().is_some_and(service)
}

/// The failure and its causes, but for those that the text before them has already said.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Reads the command line and runs what it asks for.
pub fn run() -> ExitCode {
    sf_mcp::confine::keep_memory_private();
    let cli = parse();
    let settings = cli.settings;
    let outcome = match cli.command {
        Command::Serve => usable(settings.for_serving()).and_then(serve::run),
        Command::Admin(asked) => {
            usable(settings.operating()).and_then(|settings| admin::run(asked, settings))
        }
        Command::Backup(asked) => {
            usable(settings.operating()).and_then(|settings| backup::back_up(&asked, &settings))
        }
        Command::Restore(asked) => {
            usable(settings.operating()).and_then(|settings| backup::restore(&asked, &settings))
        }
        Command::Keys(asked) => keys::run(&asked, settings),
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            eprintln!("sf-supervisor: {}", failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn usable<T>(settings: Result<T, config::Error>) -> Result<T, Failure> {
    settings.map_err(|problem| Failure::usage(problem.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("the disk is full");
        let said = crate::store::Error::File {
            path: "x.db".to_owned(),
            source: cause,
        };
        let told = Failure::from(anyhow::Error::from(said).context("nothing is kept")).message;
        assert_eq!(
            told,
            "nothing is kept: the folder or file of the database x.db cannot be made or opened: the disk is full"
        );
    }
}
