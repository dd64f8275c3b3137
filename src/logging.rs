//! Logs go to stderr; stdout belongs to the protocol.

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr.
///
/// `filter` is `error`, `warn`, `info`, `debug`, `trace`, or directives such as `sf_mcp=debug`.
/// A filter that cannot be read is reported and replaced by `warn`.
pub fn start(filter: &str) {
    // The protocol library warns of every answer that is an error, which clients show anyway; and at `debug` it
    // prints whole messages, customers' data included. Who wants those names it.
    let filter = match filter {
        "warn" => "warn,rmcp::service=error".to_owned(),
        named if named.contains("rmcp") => named.to_owned(),
        other => format!("{other},rmcp=info"),
    };
    let directives = EnvFilter::try_new(&filter).unwrap_or_else(|problem| {
        eprintln!("sf-mcp: the log filter `{filter}` cannot be read ({problem}); using `warn`");
        EnvFilter::new("warn")
    });
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(directives)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .finish();
    // A second start in one process (tests) keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
