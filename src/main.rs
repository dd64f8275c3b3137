//! Parses the command line, runs the command, prints an error, sets the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    sf_mcp::cli::run()
}
