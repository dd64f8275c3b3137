//! `sf-mcp doctor --rotate-key`: seals the sign-in with a new key.

use anyhow::Context;

use crate::{
    auth::{
        master_key::{self, Place},
        session::{self, Profile},
    },
    cli::{Exit, Failure, print},
    config::Config,
};

pub(super) fn run(config: &Config) -> Result<Exit, Failure> {
    if config.demo {
        return Err(Failure::new(
            Exit::Usage,
            "the sandbox needs no sign-in and has no key; leave out --demo or --rotate-key",
        ));
    }
    let paths = config
        .paths
        .as_ref()
        .context("this system names no home folder; set SF_MCP_HOME")?;
    let profile = Profile::new(paths, &config.profile, &config.api_url);
    let rotated = profile.rotate_key().map_err(|problem| failed(&problem))?;
    let place = match rotated.place {
        Place::Keychain => "in the system's keychain".to_owned(),
        Place::File => format!("in {}", profile.places.file().display()),
        Place::Environment | Place::Device => "the one in SF_MCP_KEY_NEXT".to_owned(),
    };
    print(&format!(
        "The sign-in is sealed with a new key, {place} (profile {}). The old key opens nothing any more.",
        config.profile
    ));
    print(match rotated.place {
        Place::Environment => {
            "Now set SF_MCP_KEY to the value of SF_MCP_KEY_NEXT wherever sf-mcp runs; then SF_MCP_KEY_NEXT can go."
        }
        _ => "AI clients that are running go on without a restart.",
    });
    if let Some(remark) = rotated.remark {
        eprintln!(
            "sf-mcp: the new key could not be moved to its place yet ({remark}); it works where it is, and the next \
             call tries again"
        );
    }
    Ok(Exit::Done)
}

fn failed(problem: &session::Error) -> Failure {
    use master_key::Error::{NextIsInUse, NoNextInEnvironment};
    let exit = match problem {
        session::Error::SignedOut => Exit::SignedOut,
        session::Error::Key(NextIsInUse | NoNextInEnvironment) => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, problem.to_string())
}
