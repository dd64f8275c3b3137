//! The AI clients of this machine: do they start this program, and does what they start find a sign-in?

use std::{fmt::Write as _, path::Path};

use crate::{
    auth::{master_key::Place, session::Profile, vault::Head},
    cli::{
        Exit,
        doctor::{Check, Finding},
        on_profile,
    },
    clients::{
        CLIENTS, Client, Error, Found, SERVER,
        entry::Entry,
        place::{Folders, Location},
    },
    config::{Config, Settings},
    origin,
};

/// A remark about an entry, and the command that mends it where one does.
type Remark = (String, Option<String>);

/// What an entry says is worth a note at most: sf-mcp itself works. A file that no client can read is a problem.
pub(super) fn look(config: &Config) -> Vec<Check> {
    let Some(folders) = Folders::of_this_user() else {
        return Vec::new();
    };
    let mut checks = Vec::new();
    let mut without = Vec::new();
    // A file that cannot be read may have an entry.
    let mut with = false;
    for client in &CLIENTS {
        for at in client.locations(&folders) {
            match client.entries(&at.file) {
                Err(problem) => {
                    with = true;
                    checks.push(unreadable(client.title, &problem));
                }
                Ok(found) if found.is_empty() => {
                    without.extend(at.installed.then_some(client));
                }
                Ok(found) => {
                    with = true;
                    checks.extend(found.iter().map(|found| judge(client, &at, found, config)));
                }
            }
        }
    }
    if !with {
        checks.push(none(&without));
    }
    checks
}

fn note(name: &'static str, remarks: Vec<Remark>) -> Check {
    let (texts, mends): (Vec<_>, Vec<_>) = remarks.into_iter().unzip();
    let mut mends: Vec<String> = mends.into_iter().flatten().collect();
    mends.dedup();
    Check {
        name,
        finding: Finding::Odd(texts.join("; ")),
        mend: mends,
    }
}

/// No client has an entry.
fn none(without: &[&Client]) -> Check {
    let titles: Vec<&str> = without.iter().map(|client| client.title).collect();
    let text = match titles.as_slice() {
        [] => "no AI client that sf-mcp knows was found on this machine".to_owned(),
        titles => format!(
            "none starts sf-mcp yet; found on this machine: {}",
            titles.join(", ")
        ),
    };
    let first = without
        .first()
        .map_or("claude-desktop", |client| client.name);
    note(
        "AI clients",
        vec![(text, Some(format!("sf-mcp install {first}")))],
    )
}

fn unreadable(name: &'static str, problem: &Error) -> Check {
    let problem = match problem {
        Error::Content { path, problem } => format!(
            "{}, line {}, column {}: {}; correct it there, or the client may not read it either",
            path.display(),
            problem.line,
            problem.column,
            problem.what
        ),
        Error::Io { path, source, .. } => format!("{} cannot be read: {source}", path.display()),
        other => other.to_string(),
    };
    Check::new(
        name,
        Finding::Bad {
            problem,
            exit: Exit::Failed,
        },
    )
}

fn judge(client: &Client, at: &Location, found: &Found, config: &Config) -> Check {
    let file = at.file.display();
    let Some(entry) = &found.entry else {
        let text = format!("`{}` in {file} starts no program", found.name);
        return note(client.title, vec![(text, install(client, found, None))]);
    };
    let mend = install(client, found, Some(entry));
    let mut remarks: Vec<Remark> = Vec::new();
    if let Some(text) = wrong_program(&entry.command) {
        remarks.push((text, mend.clone()));
    }
    let company = match company(at, entry, config, mend) {
        Ok(company) => company,
        Err(remark) => {
            remarks.push(remark);
            String::new()
        }
    };
    if remarks.is_empty() {
        return Check {
            name: client.title,
            finding: Finding::Good(format!("starts this program for {company} ({file})")),
            mend: Vec::new(),
        };
    }
    let by_hand = if found.name == SERVER {
        String::new()
    } else {
        format!(", named `{}` there", found.name)
    };
    remarks[0].0 = format!("{} ({file}{by_hand})", remarks[0].0);
    note(client.title, remarks)
}

/// The command that writes the entry anew with the flags it has. One under another name is the person's own.
fn install(client: &Client, found: &Found, entry: Option<&Entry>) -> Option<String> {
    if found.name != SERVER {
        return None;
    }
    let mut command = format!("sf-mcp install {}", client.name);
    let Some(entry) = entry else {
        return Some(command);
    };
    for flag in ["--profile", "--toolsets"] {
        if let Some(value) = entry.value_of(flag) {
            let _ = write!(command, " {flag} {value}");
        }
    }
    for flag in ["--demo", "--read-only"] {
        if entry.has(flag) {
            let _ = write!(command, " {flag}");
        }
    }
    Some(command)
}

/// Why the program of an entry is not the one that runs now.
fn wrong_program(command: &str) -> Option<String> {
    let path = Path::new(command);
    if !path.is_absolute() {
        return Some(format!(
            "starts `{command}`, which is not a full path: desktop programs do not search a shell's PATH"
        ));
    }
    if !path.is_file() {
        return Some(format!("starts {command}, which does not exist"));
    }
    let this = std::env::current_exe().ok()?;
    if same_program(path, &this) {
        return None;
    }
    Some(format!(
        "starts another program than this one: {command} instead of {}",
        this.display()
    ))
}

/// The same file, or a copy of it. The other one is not run to ask for its version: a file names it.
fn same_program(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    if real(one).is_some() && real(one) == real(other) {
        return true;
    }
    let length = |path: &Path| path.metadata().ok().map(|metadata| metadata.len());
    length(one) == length(other)
        && matches!((std::fs::read(one), std::fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whose data the entry serves, or why it serves none.
fn company(
    at: &Location,
    entry: &Entry,
    config: &Config,
    install: Option<String>,
) -> Result<String, Remark> {
    if entry.has("--demo") {
        let real = install.map(|command| command.replace(" --demo", ""));
        return Err(("serves the demo company, not yours".to_owned(), real));
    }
    let variable = |name: &str| entry.env.get(name).map(String::as_str);
    if variable("SF_MCP_CLIENT_SECRET").is_some() {
        return Err((
            "has SF_MCP_CLIENT_SECRET in its file, readable for every program of yours; a login keeps it encrypted: take it out there"
                .to_owned(),
            Some("sf-mcp login".to_owned()),
        ));
    }
    if at.flatpak
        && variable("SF_MCP_HOME")
            .or(variable("XDG_STATE_HOME"))
            .is_none()
    {
        return Err((
            "is a Flatpak with folders of its own, where no sign-in is found".to_owned(),
            install,
        ));
    }
    if let Some(host) = hosting_service(entry)? {
        return Ok(format!(
            "the company of this device, through the hosting service {host}"
        ));
    }
    let set = |flag: &str, name: &str| entry.value_of(flag).or(variable(name)).map(str::to_owned);
    let settings = Settings {
        profile: set("--profile", "SF_MCP_PROFILE"),
        api_url: set("--api-url", "SF_MCP_API_URL"),
        home: set("--home", "SF_MCP_HOME").map(Into::into),
        ..Settings::default()
    };
    let theirs = settings
        .resolve()
        .map_err(|problem| (format!("has settings that cannot be used: {problem}"), None))?;
    signed_in(&theirs, config, install)
}

/// A bundle's two variables need no login. One alone, or an address that cannot be one, ends the program at its start.
fn hosting_service(entry: &Entry) -> Result<Option<String>, Remark> {
    const BOTH: [&str; 2] = ["SF_MCP_SUPERVISOR_URL", "SF_MCP_DEVICE_TOKEN"];
    let [url, token] = BOTH.map(|name| entry.env.get(name).filter(|value| !value.is_empty()));
    match (url, token) {
        (None, None) => Ok(None),
        (Some(url), Some(_)) => match origin::checked_service(url.trim()) {
            Ok(host) => Ok(Some(host)),
            Err(accepted) => Err((format!("has `{url}` as {}, but {accepted}", BOTH[0]), None)),
        },
        (url, _) => {
            let (has, lacks) = if url.is_some() {
                (BOTH[0], BOTH[1])
            } else {
                (BOTH[1], BOTH[0])
            };
            Err((
                format!("has {has} but not {lacks}; a bundle sets both"),
                None,
            ))
        }
    }
}

/// Why the sign-in cannot be opened, as far as a file tells: a keychain is not asked once for every client.
fn unopened(files: &Profile, head: &Head) -> Option<String> {
    if head.place != Place::File {
        return None;
    }
    match files.places.read(Place::File, &head.key_id) {
        Ok((key, _)) if key.id() == head.key_id => None,
        Ok(_) => Some("the key file holds another key".to_owned()),
        Err(problem) => Some(problem.to_string()),
    }
}

fn signed_in(theirs: &Config, here: &Config, install: Option<String>) -> Result<String, Remark> {
    let profile = format!("profile {}", theirs.profile);
    let Some(paths) = &theirs.paths else {
        return Ok(profile);
    };
    let login = Some(format!("sf-mcp login{}", on_profile(&theirs.profile)));
    let files = Profile::new(paths, &theirs.profile, &theirs.api_url);
    match files.vault.head() {
        Ok(Some(head)) => match (&head.ended, unopened(&files, &head)) {
            (None, None) => Ok(format!("{profile}, signed in")),
            (None, Some(problem)) => Err((format!("uses {profile}: {problem}"), login)),
            (Some(reason), _) => Err((
                format!("uses {profile}, whose sign-in has ended ({reason})"),
                login,
            )),
        },
        Ok(None) => {
            let here = here.paths.as_ref().map(crate::paths::Paths::config_file);
            let elsewhere = here.is_some_and(|here| here != paths.config_file());
            let folder = paths.profile_folder();
            Err((
                format!(
                    "uses {profile}, to which nobody is signed in ({})",
                    folder.display()
                ),
                // What this terminal uses is another folder: installing carries it over.
                if elsewhere { install } else { login },
            ))
        }
        Err(problem) => Err((format!("uses {profile}: {problem}"), None)),
    }
}
