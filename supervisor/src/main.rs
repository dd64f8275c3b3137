//! The hosting service; it does not exist yet and says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!(
        "sf-supervisor is not available yet: this build contains only sf-mcp, the server for one company. \
         Run `sf-mcp demo` to see what that one does."
    );
    ExitCode::FAILURE
}
