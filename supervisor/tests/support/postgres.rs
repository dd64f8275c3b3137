//! A PostgreSQL server of a test's own, which may be restarted without disturbing others.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

pub(crate) struct Postgres {
    process: Child,
    orders: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl Postgres {
    /// `None` where the test run has no PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        std::env::var_os("SF_SUPERVISOR_TEST_POSTGRES")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/with-postgres");
        let mut process = Command::new(script)
            .arg("--orders")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut server = Self {
            process,
            orders,
            said,
            url: String::new(),
        };
        server.url = server.line();
        assert!(server.url.starts_with("postgres://"), "{}", server.url);
        Some(server)
    }

    /// `fast` rolls back what is under way; `immediate` is a crash, after which the server recovers from its log.
    pub(crate) fn restart(&mut self, mode: &str) {
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{mode}").unwrap();
        assert_eq!(self.line(), mode);
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At the end of its orders it removes all that it made.
        self.orders.take();
        let _ = self.process.wait();
    }
}
