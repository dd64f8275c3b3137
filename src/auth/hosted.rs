//! The hosting service that started this process, over descriptor 2.
//!
//! The process has no credentials, no files and no environment. Its standard error is a socket to the service: log
//! lines go out on it, and so do requests for an access token, whose answers come in. Nobody else has that socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::auth::broker::{self, Answer, Lent};

/// Begins a line that asks; log lines never do.
pub const ASKS: char = '\u{1e}';
/// The service asks Service Fusion itself where it has no token left.
const PATIENCE: Duration = Duration::from_secs(50);

/// What was asked last: a late answer to something before must not be taken for its answer.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// The socket. Clones are one.
#[derive(Clone, Debug)]
pub struct Hosted(Arc<Mutex<BufReader<UnixStream>>>);

impl Hosted {
    /// Fails where standard error is no socket: the process was not started by a hosting service.
    pub fn new() -> io::Result<Self> {
        let socket = UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?);
        socket.peer_addr()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(Arc::new(Mutex::new(BufReader::new(socket)))))
    }

    /// Asks for a token other than the rejected one, if any. Blocks; one asks at a time.
    pub fn lend(&self, rejected: Option<&SecretString>) -> Result<Lent, broker::Error> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let host = "the hosting service";
        let mut asked = broker::asked(rejected);
        let number = ASKED.fetch_add(1, Ordering::Relaxed);
        asked["number"] = number.into();
        let said = exchange(&mut socket, &asked, number)
            .map_err(|problem| broker::unavailable(host, problem.to_string()))?;
        let status = said["status"].as_u64().and_then(|status| {
            let status = u16::try_from(status).ok()?;
            StatusCode::from_u16(status).ok()
        });
        let answer = Answer {
            status: status.unwrap_or(StatusCode::BAD_GATEWAY),
            body: said["body"].clone(),
        };
        broker::lent_by(host, &answer)
    }
}

fn exchange(socket: &mut BufReader<UnixStream>, asked: &Value, number: u64) -> io::Result<Value> {
    let line = format!("{ASKS}{asked}\n");
    socket.get_mut().write_all(line.as_bytes())?;
    loop {
        let mut answer = Zeroizing::new(String::new());
        if socket.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let said: Value = serde_json::from_str(&answer)?;
        if said["number"] == number {
            return Ok(said);
        }
    }
}
