//! Structured logs on stderr: JSON for machines, lines for a person with `--dev`.

use tracing_subscriber::EnvFilter;

/// Starts logging. A filter that cannot be read is reported and replaced by `info`.
pub fn start(filter: &str, for_a_person: bool) {
    // What queries and connections say at `info` is noise, and at `debug` holds values.
    let directives = format!("{filter},sqlx=warn,hyper=info,reqwest=info,lettre=info");
    let directives = EnvFilter::try_new(&directives).unwrap_or_else(|problem| {
        eprintln!(
            "sf-supervisor: the log filter `{filter}` cannot be read ({problem}); using `info`"
        );
        EnvFilter::new("info,sqlx=warn")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(directives)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // A second start in one process (tests) keeps the first.
    let _ = if for_a_person {
        tracing::subscriber::set_global_default(builder.finish())
    } else {
        tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
    };
}
