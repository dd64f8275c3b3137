//! Logs go to stderr, which clients keep or throw away, and while serving to files a day each; stdout belongs to
//! the protocol.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::OnceLock,
};

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::{
    EnvFilter,
    fmt::{MakeWriter, writer::MakeWriterExt},
};

use crate::paths;

/// Days whose files are kept.
const KEPT: usize = 7;

/// Starts logging to stderr, and to a file a day in `folder` where one is given.
///
/// `filter` is `error`, `warn`, `info`, `debug`, `trace`, or directives such as `sf_mcp=debug`.
/// A filter that cannot be read is reported and replaced by `warn`.
pub fn start(filter: &str, folder: Option<PathBuf>) {
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
        .with_writer(io::stderr.and(Files::new(folder)))
        .with_ansi(false)
        .finish();
    // A second start in one process (tests) keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The files of a folder. The first line makes them: most processes never log one.
struct Files {
    folder: Option<PathBuf>,
    today: OnceLock<Option<RollingFileAppender>>,
}

impl Files {
    fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            today: OnceLock::new(),
        }
    }

    /// A folder that cannot be written leaves stderr.
    fn open(&self) -> Option<RollingFileAppender> {
        let folder = self.folder.as_ref()?;
        paths::create_private_folder(folder).ok()?;
        RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("sf-mcp")
            .filename_suffix("log")
            .max_log_files(KEPT)
            .build(folder)
            .ok()
    }
}

impl<'a> MakeWriter<'a> for Files {
    type Writer = Box<dyn Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match self.today.get_or_init(|| self.open()) {
            Some(file) => Box::new(file.make_writer()),
            None => Box::new(io::sink()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_makes_the_folder_and_todays_file() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("state/logs");
        let files = Files::new(Some(folder.clone()));
        assert!(!folder.exists());

        files.make_writer().write_all(b"a line\n").unwrap();

        let entries = std::fs::read_dir(&folder).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1);
        let name = names[0].to_str().unwrap();
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d");
        assert_eq!(name, format!("sf-mcp.{today}.log"));
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(text, "a line\n");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_no_failure() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let files = Files::new(Some(file.join("logs")));
        files.make_writer().write_all(b"a line\n").unwrap();
    }
}
