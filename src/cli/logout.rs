//! `sf-mcp logout`: forgets a profile's sign-in.

use anyhow::Context;

use crate::{
    auth::{broker::Broker, lock, session::Profile, vault::Kind},
    cli::{
        Exit, Failure, company,
        login::hosted::{device_of, part},
        print,
    },
    clients::{CLIENTS, Client, place::Folders},
    config::{Config, Credentials},
    paths::Paths,
    told_zone,
    usage::spool::Spool,
};

pub(super) fn run(config: &Config) -> Result<Exit, Failure> {
    let exit = forget(config)?;
    if Credentials::from_environment().is_some() {
        print(
            "SF_MCP_CLIENT_ID and SF_MCP_CLIENT_SECRET are set, so the next call signs in with them. Unset them to end that.",
        );
    }
    Ok(exit)
}

fn forget(config: &Config) -> Result<Exit, Failure> {
    let paths = config
        .paths
        .as_ref()
        .context("this system names no home folder; set SF_MCP_HOME")?;
    if let Some(device) = company::device()? {
        forget_lent(config, paths, device)?;
    }
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
    let device = device_of(&profile);
    profile.vault.forget()?;
    told_zone::keep(&paths.told_zone(), None);
    profile.stamp().context("telling running processes")?;
    // The sealed values are gone already; a key that cannot be removed opens nothing any more.
    if let Err(problem) = profile.places.remove(head.place) {
        eprintln!("sf-mcp: the sign-in is forgotten, but its key could not be removed: {problem}");
    }
    print(&format!("Signed out (profile {}).", config.profile));
    if let Some(text) = clients_left() {
        print(&text);
    }
    match device {
        None if head.kind == Kind::Device => print(&format!(
            "The device's token could not be read; take this machine off the list at {} yourself.",
            head.origin
        )),
        None => print(
            "To end the access in Service Fusion too, delete the OAuth Consumer or App in its developer settings.",
        ),
        Some(device) => leave(config, paths, &device),
    }
    Ok(Exit::Done)
}

fn leave(config: &Config, paths: &Paths, device: &Broker) {
    match part(config, paths, device) {
        None => print(&format!(
            "This machine is off the list of devices at {} too.",
            device.host()
        )),
        Some(problem) => eprintln!("sf-mcp: signed out here, but {problem}"),
    }
    Spool::new(paths.usage_spool(&device.digest())).forget();
}

/// What the environment's device was lent. The device itself stays: other machines may have the same bundle.
fn forget_lent(config: &Config, paths: &Paths, device: Broker) -> Result<(), Failure> {
    let host = device.host().to_owned();
    let profile = Profile::of_device(paths, &config.profile, &config.api_url, device);
    if profile.vault.path().exists() {
        let _held = lock::lock(&profile.lock_file)?;
        profile.vault.forget()?;
        profile.stamp().context("telling running processes")?;
        print(&format!(
            "Forgotten what {host} has lent to SF_MCP_DEVICE_TOKEN."
        ));
    }
    print(
        "SF_MCP_SUPERVISOR_URL and SF_MCP_DEVICE_TOKEN are set, so the next call signs in with them again. Unset them to \
         end that.",
    );
    Ok(())
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
