//! `sf-mcp logout`: forgets a profile's sign-in.

use anyhow::Context;

use crate::{
    auth::{lock, session::Profile},
    cli::{Exit, Failure, print},
    config::Config,
};

pub(super) fn run(config: &Config) -> Result<Exit, Failure> {
    let paths = config
        .paths
        .as_ref()
        .context("this system names no home folder; set SF_MCP_HOME")?;
    let profile = Profile::new(paths, &config.profile, &config.api_url);
    if !profile.vault.path().exists() {
        print(&format!(
            "Nobody was signed in (profile {}).",
            config.profile
        ));
        return Ok(Exit::Done);
    }
    let _held = lock::lock(&profile.lock_file)?;
    let Some(head) = profile.vault.head()? else {
        print(&format!(
            "Nobody was signed in (profile {}).",
            config.profile
        ));
        return Ok(Exit::Done);
    };
    profile.vault.forget()?;
    profile.stamp().context("telling running processes")?;
    // The sealed values are gone already; a key that cannot be removed opens nothing any more.
    if let Err(problem) = profile.places.remove(head.place) {
        eprintln!("sf-mcp: the sign-in is forgotten, but its key could not be removed: {problem}");
    }
    print(&format!(
        "Signed out (profile {}). AI clients keep their configuration; their next call says that nobody is signed in.",
        config.profile
    ));
    print(
        "To end the access in Service Fusion too, delete the OAuth Consumer or App in its developer settings.",
    );
    Ok(Exit::Done)
}
