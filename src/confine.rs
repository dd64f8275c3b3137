//! Gives up what a hosted process does not need, before it reads its first request.
//!
//! It runs for one company on the words of that company's people and assistants, beside processes of other
//! companies. On Linux it dies with the hosting service, gains no rights, dumps no core, and opens no file but
//! certificates, time zones, the system's libraries and what names are resolved with. Elsewhere nothing is done.

/// Why a process cannot be confined; it must not serve then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this process cannot be confined: {0}")]
    Refused(String),
    #[error("the hosting service has ended")]
    Orphaned,
}

/// Confines this process and all its threads to come: call it before any is started.
#[cfg(target_os = "linux")]
pub fn confine() -> Result<(), Error> {
    use rustix::process::{self, Resource, Rlimit, Signal};
    let refused = |problem: rustix::io::Errno| Error::Refused(problem.to_string());
    process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(refused)?;
    // It may have ended before that call. It made the socket that is this process's standard error; by its number alone
    // an orphan cannot be told, for in a container the service is the first process.
    let service = rustix::net::sockopt::socket_peercred(std::io::stderr()).map_err(refused)?;
    if process::getppid() != Some(service.pid) {
        return Err(Error::Orphaned);
    }
    rustix::thread::set_no_new_privs(true).map_err(refused)?;
    for (resource, limit) in [
        (Resource::Core, 0),
        (Resource::Nofile, 256),
        (Resource::As, ADDRESS_SPACE),
    ] {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        process::setrlimit(resource, limit).map_err(refused)?;
    }
    close_files()
}

#[cfg(not(target_os = "linux"))]
pub fn confine() -> Result<(), Error> {
    Ok(())
}

/// Bytes of address space. Far more than is used, for libraries and threads reserve much.
#[cfg(target_os = "linux")]
const ADDRESS_SPACE: u64 = 2 * 1024 * 1024 * 1024;

/// What can be read below these; those that do not exist are passed over.
#[cfg(target_os = "linux")]
const READABLE: [&str; 14] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/lib",
    "/usr/lib",
];

/// An old kernel without Landlock leaves the other limits.
#[cfg(target_os = "linux")]
fn close_files() -> Result<(), Error> {
    use landlock::{
        ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, path_beneath_rules,
    };
    let abi = ABI::V3;
    // Nothing is started by this process, not even what lies beside the libraries.
    let readable = AccessFs::from_read(abi) & !AccessFs::Execute;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(READABLE, readable)))
        .and_then(landlock::RulesetCreated::restrict_self);
    match restricted {
        Ok(status) => {
            if status.ruleset == landlock::RulesetStatus::NotEnforced {
                tracing::warn!("this kernel has no Landlock: files are not closed to this process");
            }
            Ok(())
        }
        Err(problem) => Err(Error::Refused(problem.to_string())),
    }
}
