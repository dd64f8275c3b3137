//! The command line of the hosting service.

fn main() -> std::process::ExitCode {
    sf_supervisor::cli::run()
}
