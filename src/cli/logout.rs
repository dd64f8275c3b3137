//! `sf-mcp logout`: forgets a profile's sign-in.

use anyhow::Context;

use crate::{
    auth::{lock, session::Profile},
    cli::{Exit, Failure, print},
    clients::{CLIENTS, Client, place::Folders},
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
    print(&format!("Signed out (profile {}).", config.profile));
    if let Some(text) = clients_left() {
        print(&text);
    }
    print(
        "To end the access in Service Fusion too, delete the OAuth Consumer or App in its developer settings.",
    );
    Ok(Exit::Done)
}

/// The AI clients that go on starting sf-mcp.
fn clients_left() -> Option<String> {
    let folders = Folders::of_this_user()?;
    let has_ours = |client: &&Client| {
        let mut locations = client.locations(&folders).into_iter();
        locations.any(|at| {
            client
                .entries(&at.file)
                .is_ok_and(|found| !found.is_empty())
        })
    };
    let left: Vec<&Client> = CLIENTS.iter().filter(has_ours).collect();
    if left.is_empty() {
        return None;
    }
    let join =
        |word: fn(&Client) -> &str, by| left.iter().copied().map(word).collect::<Vec<_>>().join(by);
    Some(format!(
        "Still set up to start sf-mcp: {}. Their next call says that nobody is signed in; \
         `sf-mcp uninstall {}` takes it out.",
        join(|client| client.title, ", "),
        join(|client| client.name, " ")
    ))
}
