//! `sf-mcp install` and `uninstall`: our entry in the files of AI clients.

use std::{collections::BTreeMap, ffi::OsStr, fmt::Write as _, path::Path};

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
    error::{ContextKind, ContextValue},
};

use crate::{
    cli::{Exit, Failure, print},
    clients::{
        CLIENTS, Client, Error, Plan, SERVER,
        entry::{Entry, Outcome, Previous},
        place::{Folders, Location},
    },
    config::{SERVICE_FUSION, Settings},
};

/// Never to be found in a client's file.
const SECRET: [&str; 2] = ["SF_MCP_CLIENT_SECRET", "SF_MCP_KEY"];

#[derive(Args)]
pub(super) struct Clients {
    /// Which clients; without one: which are on this machine, and which have sf-mcp.
    #[arg(value_name = "CLIENT", value_parser = Names(names()), value_delimiter = ',')]
    clients: Vec<String>,

    /// Show what would be done and write nothing.
    #[arg(long)]
    print: bool,
}

fn names() -> PossibleValuesParser {
    CLIENTS
        .iter()
        .map(|client| PossibleValue::new(client.name).help(client.title))
        .into()
}

/// Offers every client whose name begins as what was said: `claude` is two of them.
#[derive(Clone)]
struct Names(PossibleValuesParser);

impl TypedValueParser for Names {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        said: &OsStr,
    ) -> Result<String, clap::Error> {
        self.0
            .parse_ref(command, argument, said)
            .map_err(|mut problem| {
                let said = said.to_string_lossy().to_lowercase();
                let names = CLIENTS.iter().map(|client| client.name);
                let meant: Vec<String> = names
                    .filter(|name| !said.is_empty() && name.starts_with(&said))
                    .map(str::to_owned)
                    .collect();
                if !meant.is_empty() {
                    let meant = ContextValue::Strings(meant);
                    problem.insert(ContextKind::SuggestedValue, meant);
                }
                problem
            })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

impl Clients {
    pub(super) fn install(&self, given: &Settings) -> Result<Exit, Failure> {
        let entry = entry(given)?;
        if !self.clients.is_empty() {
            warn_of_settings_left_out(given);
        }
        self.each(|client, folders, at| {
            let entry = seen_from(at, folders, &entry);
            if self.print {
                return Ok(snippet(client, at, &entry));
            }
            let plan = client.plan_install(&at.file, &entry)?;
            let backup = plan.carry_out()?;
            let mut text = told(client, at, &plan, backup.as_deref());
            if plan.outcome != Outcome::Unchanged {
                text.push_str(&next(client, at));
            }
            Ok(text)
        })
    }

    pub(super) fn uninstall(&self) -> Result<Exit, Failure> {
        self.each(|client, _, at| {
            let plan = client.plan_uninstall(&at.file)?;
            if self.print && plan.outcome == Outcome::Removed {
                let (title, file) = (client.title, at.file.display());
                return Ok(format!("{title}: would take {SERVER} out of {file}"));
            }
            let backup = plan.carry_out()?;
            let mut text = told(client, at, &plan, backup.as_deref());
            if plan.outcome == Outcome::Removed {
                let _ = write!(text, "\n  {}", client.next);
            }
            Ok(text)
        })
    }

    /// One client's trouble does not keep the others from being done.
    fn each(
        &self,
        work: impl Fn(&Client, &Folders, &Location) -> Result<String, Error>,
    ) -> Result<Exit, Failure> {
        let Some(folders) = Folders::of_this_user() else {
            return Err(Failure::new(
                Exit::Failed,
                "this machine names no home folder, so clients' files cannot be found: set HOME",
            ));
        };
        if self.clients.is_empty() {
            print(&overview(&folders));
            return Ok(Exit::Done);
        }
        let mut exit = Exit::Done;
        for client in self.clients.iter().filter_map(|name| Client::find(name)) {
            for at in client.locations(&folders) {
                match work(client, &folders, &at) {
                    Ok(text) => print(&text),
                    Err(problem) => {
                        eprintln!("sf-mcp: {}: {problem}", client.title);
                        exit = Exit::Failed;
                    }
                }
            }
        }
        Ok(exit)
    }
}

/// This program, wherever the client starts it from, with the flags given now that decide what it serves and
/// the variables that decide where it finds its sign-in: clients do not inherit a shell's.
fn entry(given: &Settings) -> Result<Entry, Failure> {
    let program = std::env::current_exe()?;
    let Some(command) = program.to_str() else {
        let program = program.display();
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{program} cannot be written into a client's file: the path is not UTF-8; move sf-mcp to another folder"
            ),
        ));
    };
    let mut args = vec!["serve".to_owned()];
    if let Some(profile) = given.profile.as_deref().filter(|name| *name != "default") {
        args.extend(["--profile".to_owned(), profile.to_owned()]);
    }
    if given.demo {
        args.push("--demo".to_owned());
    }
    if given.read_only == Some(true) {
        args.push("--read-only".to_owned());
    }
    if let Some(toolsets) = &given.toolsets {
        args.extend(["--toolsets".to_owned(), toolsets.join(",")]);
    }
    Ok(Entry {
        command: command.to_owned(),
        args,
        env: variables(given)?,
    })
}

fn variables(given: &Settings) -> Result<BTreeMap<String, String>, Failure> {
    let mut env = BTreeMap::new();
    if let Some(home) = &given.home {
        let home = std::path::absolute(home)?;
        let Some(home) = home.to_str() else {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "SF_MCP_HOME, {}, cannot be written into a client's file: the path is not UTF-8",
                    home.display()
                ),
            ));
        };
        env.insert("SF_MCP_HOME".to_owned(), home.to_owned());
    }
    if let Some(url) = given.api_url.as_deref().filter(|_| !given.demo) {
        let url = url.trim_end_matches('/');
        if url != SERVICE_FUSION {
            env.insert("SF_MCP_API_URL".to_owned(), url.to_owned());
        }
    }
    Ok(env)
}

/// A Flatpak has folders of its own; ours are found with the variables that name this user's.
fn seen_from(at: &Location, folders: &Folders, entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if !at.flatpak || entry.env.contains_key("SF_MCP_HOME") {
        return entry;
    }
    let state = folders.state.as_deref();
    for (name, folder) in [
        ("XDG_CONFIG_HOME", Some(folders.config.as_path())),
        ("XDG_STATE_HOME", state),
    ] {
        if let Some(folder) = folder.and_then(Path::to_str) {
            entry.env.insert(name.to_owned(), folder.to_owned());
        }
    }
    entry
}

/// They are the company's or the machine's, so that all clients should have them.
fn warn_of_settings_left_out(given: &Settings) {
    let settings = [
        ("time_zone", given.time_zone.is_some()),
        ("max_answer", given.max_answer.is_some()),
        ("timeout", given.timeout.is_some()),
    ];
    for (name, _) in settings.iter().filter(|(_, given)| *given) {
        eprintln!(
            "sf-mcp: `{name}` is not written into clients: put it into config.toml, where all of them get it"
        );
    }
    for name in SECRET {
        if !given.demo && std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
            eprintln!(
                "sf-mcp: {name} is a secret and is not written into clients, which do not see this shell's: sign in with `sf-mcp login`, or set it for the whole session"
            );
        }
    }
}

fn snippet(client: &Client, at: &Location, entry: &Entry) -> String {
    format!(
        "{}: put this into {}, beside what is there\n\n{}",
        client.title,
        at.file.display(),
        client.snippet(entry)
    )
}

fn told(client: &Client, at: &Location, plan: &Plan, backup: Option<&Path>) -> String {
    let (title, file) = (client.title, at.file.display());
    let mut text = match &plan.outcome {
        Outcome::Added => format!("{title}: entered {SERVER} into {file}"),
        Outcome::Replaced(previous) => {
            format!("{title}: replaced {SERVER} in {file}{}", was(previous))
        }
        Outcome::Unchanged => {
            format!("{title}: {SERVER} is already in {file}; nothing was changed")
        }
        Outcome::Removed => format!("{title}: took {SERVER} out of {file}"),
        Outcome::Absent => {
            format!("{title}: there is no {SERVER} in {file}; nothing was changed")
        }
    };
    if let Some(backup) = backup {
        let _ = write!(text, "\n  The file as it was: {}", backup.display());
    }
    text
}

fn was(previous: &Previous) -> String {
    let mut text = String::new();
    if let Some(target) = &previous.target {
        let words = [std::slice::from_ref(target), &previous.args].concat();
        let _ = write!(text, "\n  Before, it was {}", words.join(" "));
    }
    if !previous.lost.is_empty() {
        let lost = previous.lost.join(", ");
        let _ = write!(text, "\n  Its other settings are gone from there: {lost}");
    }
    text
}

fn next(client: &Client, at: &Location) -> String {
    if at.installed {
        return format!("\n  {}", client.next);
    }
    let title = client.title;
    format!(
        "\n  {title} does not seem to be installed on this machine; once it is, it will find the entry."
    )
}

/// Every client with what is known of it here.
fn overview(folders: &Folders) -> String {
    let mut text = String::from("AI clients that sf-mcp can be entered into:\n\n");
    for client in &CLIENTS {
        for at in client.locations(folders) {
            let found = if at.installed { "found" } else { "not found" };
            let _ = writeln!(
                text,
                "  {:<15}  {found:<9}  {:<15}  {}",
                client.name,
                state(client, &at),
                at.file.display()
            );
        }
    }
    text.push_str("\nEnter it: sf-mcp install CLIENT    Take it out: sf-mcp uninstall CLIENT");
    text
}

fn state(client: &Client, at: &Location) -> &'static str {
    match client.plan_uninstall(&at.file).map(|plan| plan.outcome) {
        Ok(Outcome::Removed) => "has sf-mcp",
        Ok(_) => "without sf-mcp",
        Err(_) => "unreadable file",
    }
}
