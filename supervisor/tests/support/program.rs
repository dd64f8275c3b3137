//! The programs under test.

use std::path::PathBuf;

use sf_mcp::{config::Toolset, tools};

/// How many tools a token is offered that may create, or may only read.
pub(crate) fn offered(read_only: bool) -> usize {
    tools::catalog(&[Toolset::Core, Toolset::Dispatch], read_only).len()
}

/// The sf-mcp beside the supervisor; the test run builds both.
pub(crate) fn sf_mcp() -> PathBuf {
    let supervisor = PathBuf::from(env!("CARGO_BIN_EXE_sf-supervisor"));
    let name = format!("sf-mcp{}", std::env::consts::EXE_SUFFIX);
    let program = supervisor.with_file_name(name);
    assert!(
        program.exists(),
        "{} is missing: build it with `cargo build --workspace`",
        program.display()
    );
    program
}
