//! What packages hold beside the programs, made of the programs' own command lines and catalogue:
//!
//! - `packaging texts FOLDER`: man pages and completions of both programs
//! - `packaging extension OS PROGRAM FILE`: a one-click extension for `darwin`, `linux` or `win32` around an sf-mcp

use std::{
    env, fs,
    fs::File,
    io::{self, Write},
    path::Path,
};

use clap_complete::Shell;
use sf_mcp::extension::Extension;
use sf_supervisor::{archive::Part, binaries::Platform, bundles::extension::pieces};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["texts", folder] => texts(Path::new(folder)),
        ["extension", os, program, file] => extension(os, Path::new(program), Path::new(file)),
        _ => Err(io::Error::other(
            "it is `packaging texts FOLDER` or `packaging extension OS PROGRAM FILE`",
        )),
    }
}

fn texts(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for mut command in [sf_mcp::cli::command(), sf_supervisor::cli::command()] {
        let name = command.get_name().to_owned();
        // First: completions add the `help` commands to the command itself, where nothing leaves them out any more.
        clap_mangen::generate_to(without_help(command.clone()), &man)?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            clap_complete::generate_to(shell, &mut command, &name, &completions)?;
        }
    }
    Ok(())
}

/// Without a page for each `help COMMAND`.
fn without_help(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

fn extension(os: &str, program: &Path, file: &Path) -> io::Result<()> {
    let platform = Platform::find(Some(os), None)
        .ok_or_else(|| io::Error::other(format!("no AI client runs on {os}")))?;
    let name = format!("server/{}", platform.program());
    let manifest = Extension::of_a_release(platform.os, &name).manifest();
    let program = Part::pack(&name, true, File::open(program)?)?;
    let mut file = File::create(file)?;
    pieces(&manifest, program)?
        .iter()
        .try_for_each(|piece| file.write_all(piece))
}
