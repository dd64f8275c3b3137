//! Mails to people: sent in the background over SMTP, or written to a folder.
//!
//! An answer must take the same time whether or not an address is known, so nothing here is waited for. What cannot be
//! sent at once is tried again with growing delays for as long as the code in it is good.

mod folder;
mod letters;
mod smtp;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lettre::message::Mailbox;
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{folder::Folder, letters::Written, smtp::Smtp};
use crate::{
    config::{Config, Mail},
    email::Email,
};

pub use self::letters::{Kind, Letter};

/// Mails that wait; more are dropped, and counted.
const WAITING: usize = 2_000;
/// Conversations with the mail server at once.
const AT_ONCE: usize = 8;
/// The longest one try may take.
const TRY: Duration = Duration::from_mins(1);
/// The pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// What is on its way when the service stops may take so long.
const GRACE: Duration = Duration::from_secs(20);

/// Why mails cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "SF_SUPERVISOR_MAIL_FROM is `{0}`, but it must be like `Service Fusion MCP <mcp@example.com>`"
    )]
    Sender(String),
    #[error("SF_SUPERVISOR_SMTP_URL cannot be used: {0}")]
    Url(&'static str),
    #[error("the mail server's certificates cannot be read from {path}: {problem}")]
    Certificates { path: String, problem: String },
    #[error("the connection to the mail server cannot be prepared: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    #[error("the mail folder {path} cannot be made: {source}")]
    Folder {
        path: String,
        source: std::io::Error,
    },
}

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Passing(String),
    #[error("{0}")]
    Final(String),
}

/// Where mails are handed in.
#[derive(Debug)]
pub struct Mailer {
    queue: mpsc::Sender<Letter>,
    stopping: CancellationToken,
    closing: CancellationToken,
    waiting: Arc<AtomicUsize>,
    working: Mutex<Option<JoinHandle<()>>>,
}

impl Mailer {
    /// Prepares the way out and starts working; the mail server is not asked yet.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let from: Mailbox = config
            .mail_from
            .parse()
            .map_err(|_| Error::Sender(config.mail_from.clone()))?;
        let way = match &config.mail {
            Mail::Smtp { url, ca_file } => Way::Smtp(Smtp::new(url, ca_file.as_deref())?),
            Mail::Folder(path) => Way::Folder(Folder::new(path, config.dev)?),
        };
        let post = Arc::new(Post {
            way,
            from,
            public_url: config.public_url.clone(),
            places: Semaphore::new(AT_ONCE),
            stopping: CancellationToken::new(),
            waiting: Arc::default(),
        });
        let waiting = Arc::clone(&post.waiting);
        let (queue, letters) = mpsc::channel(WAITING);
        let stopping = post.stopping.clone();
        let closing = CancellationToken::new();
        let working = tokio::spawn(work(post, letters, closing.clone()));
        let working = Mutex::new(Some(working));
        Ok(Self {
            queue,
            stopping,
            closing,
            waiting,
            working,
        })
    }

    /// Hands a letter in and returns at once.
    pub fn send(&self, letter: Letter) {
        let to = letter.to.clone();
        if self.queue.try_send(letter).is_err() {
            tracing::error!(%to, "too many mails wait, one is dropped");
            count("dropped");
        }
    }

    /// Letters that are handed in and neither sent nor given up yet.
    pub fn waiting(&self) -> usize {
        let queued = WAITING.saturating_sub(self.queue.capacity());
        queued + self.waiting.load(Ordering::Relaxed)
    }

    /// From now on each letter has one more try; letters of the last requests are still taken.
    pub fn hurry(&self) {
        self.stopping.cancel();
    }

    /// Takes no letter any more, and gives what is under way a last chance to arrive.
    pub async fn close(&self) {
        self.hurry();
        self.closing.cancel();
        let Some(mut working) = self.working.lock().await.take() else {
            return;
        };
        if tokio::time::timeout(GRACE, &mut working).await.is_err() {
            tracing::warn!("some mails were not sent in time");
            working.abort();
        }
    }
}

#[derive(Debug)]
enum Way {
    Smtp(Smtp),
    Folder(Folder),
}

#[derive(Debug)]
struct Post {
    way: Way,
    from: Mailbox,
    public_url: String,
    places: Semaphore,
    stopping: CancellationToken,
    /// Letters that were taken from the queue and are not at their end yet.
    waiting: Arc<AtomicUsize>,
}

async fn work(post: Arc<Post>, mut waiting: mpsc::Receiver<Letter>, closing: CancellationToken) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            letter = waiting.recv() => match letter {
                Some(letter) => { under_way.spawn(delivered(post.clone(), letter)); }
                None => break,
            },
            Some(_) = under_way.join_next() => {}
            // Closed, it still yields what waits, and then ends the loop.
            () = closing.cancelled(), if !waiting.is_closed() => waiting.close(),
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn delivered(post: Arc<Post>, letter: Letter) {
    let waiting = metrics::gauge!("sf_supervisor_mails_waiting");
    post.waiting.fetch_add(1, Ordering::Relaxed);
    waiting.increment(1);
    deliver(Arc::clone(&post), letter).await;
    post.waiting.fetch_sub(1, Ordering::Relaxed);
    waiting.decrement(1);
}

/// Tries until it is sent, refused for good, or no longer worth sending.
async fn deliver(post: Arc<Post>, letter: Letter) {
    let to = &letter.to;
    let mail = match letter.write(&post.from, &post.public_url) {
        Ok(mail) => mail,
        Err(problem) => {
            tracing::error!(%to, %problem, "a mail cannot be written");
            return count("failed");
        }
    };
    let until = Instant::now() + letter.good_for;
    let mut pause = FIRST_PAUSE;
    loop {
        let last = post.stopping.is_cancelled();
        let problem = match post.attempt(to, &mail).await {
            Ok(()) => {
                tracing::info!(%to, kind = letter.kind.name(), "a mail was sent");
                return count("sent");
            }
            Err(Failure::Final(problem)) => {
                tracing::error!(%to, problem, "a mail was refused for good");
                return count("failed");
            }
            Err(Failure::Passing(problem)) => problem,
        };
        if last || Instant::now() + pause >= until {
            tracing::error!(%to, problem, "a mail could not be sent in time");
            return count("failed");
        }
        tracing::warn!(%to, problem, "a mail could not be sent, it will be tried again");
        count("retried");
        tokio::select! {
            () = tokio::time::sleep(with_jitter(pause)) => {}
            () = post.stopping.cancelled() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Post {
    async fn attempt(&self, to: &Email, mail: &Written) -> Result<(), Failure> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(Failure::Final("the service stops".to_owned()));
        };
        let sending = async {
            match &self.way {
                Way::Smtp(smtp) => smtp.send(&mail.message).await,
                Way::Folder(folder) => folder.write(to, mail).await,
            }
        };
        tokio::time::timeout(TRY, sending)
            .await
            .unwrap_or_else(|_| Err(Failure::Passing("the mail server is too slow".to_owned())))
    }
}

/// Up to a quarter more, so that mails which failed together are not tried again together.
fn with_jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    pause + pause / 4 * u32::from(byte[0]) / 255
}

fn count(outcome: &'static str) {
    metrics::counter!("sf_supervisor_mails_total", "outcome" => outcome).increment(1);
}
