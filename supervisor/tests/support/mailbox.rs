//! A mail server that keeps what it gets: plain, with STARTTLS, or with TLS from the first byte.

use std::{
    collections::VecDeque,
    io::Write,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::until;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    Starttls,
    Implicit,
}

/// One mail as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Caught {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) content: String,
    /// Whether the connection was protected by then.
    pub(crate) protected: bool,
}

impl Caught {
    /// The code in the plain part.
    pub(crate) fn code(&self) -> String {
        code_in(&self.content).unwrap()
    }
}

/// The first line of six digits.
pub(crate) fn code_in(mail: &str) -> Option<String> {
    mail.lines()
        .map(str::trim)
        .find(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
}

#[derive(Debug, Default)]
struct Kept {
    caught: Mutex<Vec<Caught>>,
    /// What the next mails are told instead of 250.
    refusals: Mutex<VecDeque<&'static str>>,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) port: u16,
    /// The certificate to trust.
    pub(crate) ca: tempfile::NamedTempFile,
    kept: Arc<Kept>,
    serving: JoinHandle<()>,
}

/// The one account, if the server asks for one.
pub(crate) const USER: &str = "mcp@example.com";
pub(crate) const PASSWORD: &str = "p@ss word/1";

impl Mailbox {
    pub(crate) async fn start(tls: Tls, asks_who: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut ca = tempfile::NamedTempFile::new().unwrap();
        ca.write_all(made.cert.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(made.cert)], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Kept::default());
        let serving = tokio::spawn(accept(listener, acceptor, tls, asks_who, Arc::clone(&kept)));
        Self {
            port,
            ca,
            kept,
            serving,
        }
    }

    /// The next mails are refused with these lines, one each.
    pub(crate) fn refuse(&self, lines: &[&'static str]) {
        self.kept.refusals.lock().unwrap().extend(lines);
    }

    pub(crate) fn refusals_left(&self) -> usize {
        self.kept.refusals.lock().unwrap().len()
    }

    pub(crate) fn all(&self) -> Vec<Caught> {
        self.kept.caught.lock().unwrap().clone()
    }

    /// Waits for so many mails.
    pub(crate) async fn mails(&self, count: usize) -> Vec<Caught> {
        until("mail", async || {
            let all = self.all();
            (all.len() >= count).then_some(all)
        })
        .await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    tls: Tls,
    asks_who: bool,
    kept: Arc<Kept>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
        tokio::spawn(async move { talk(stream, acceptor, tls, asks_who, &kept).await });
    }
}

/// A conversation that breaks off is the test's business.
async fn talk(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    tls: Tls,
    asks_who: bool,
    kept: &Kept,
) -> Option<()> {
    let mut talk = Talk {
        asks_who,
        offers_tls: tls == Tls::Starttls,
        protected: tls == Tls::Implicit,
    };
    if tls == Tls::Implicit {
        let stream = acceptor.accept(stream).await.ok()?;
        talk.hold(BufReader::new(stream), true, kept).await?;
        return Some(());
    }
    let stream = talk.hold(BufReader::new(stream), true, kept).await?;
    let stream = acceptor.accept(stream).await.ok()?;
    talk.offers_tls = false;
    talk.protected = true;
    talk.hold(BufReader::new(stream), false, kept).await?;
    Some(())
}

struct Talk {
    asks_who: bool,
    offers_tls: bool,
    protected: bool,
}

impl Talk {
    /// Returns the connection when the client starts TLS.
    async fn hold<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut stream: BufReader<S>,
        greets: bool,
        kept: &Kept,
    ) -> Option<S> {
        if greets {
            say(&mut stream, "220 mail.example.com").await?;
        }
        let mut known = !self.asks_who;
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let line = line(&mut stream).await?;
            let verb = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let mut said = "250-mail.example.com\r\n".to_owned();
                    if self.offers_tls {
                        said.push_str("250-STARTTLS\r\n");
                    }
                    if self.asks_who {
                        said.push_str("250-AUTH PLAIN\r\n");
                    }
                    say(&mut stream, &format!("{said}250 8BITMIME")).await?;
                }
                "STARTTLS" => {
                    say(&mut stream, "220 go on").await?;
                    return Some(stream.into_inner());
                }
                "AUTH" => {
                    let expected = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
                    known = line == format!("AUTH PLAIN {expected}");
                    let said = if known { "235 welcome" } else { "535 who?" };
                    say(&mut stream, said).await?;
                }
                "MAIL" if !known => say(&mut stream, "530 sign in first").await?,
                "MAIL" => {
                    from = address(&line);
                    say(&mut stream, "250 ok").await?;
                }
                "RCPT" => {
                    to.push(address(&line));
                    say(&mut stream, "250 ok").await?;
                }
                "DATA" => {
                    say(&mut stream, "354 go on").await?;
                    let content = content(&mut stream).await?;
                    let refusal = kept.refusals.lock().unwrap().pop_front();
                    if refusal.is_none() {
                        kept.caught.lock().unwrap().push(Caught {
                            from: std::mem::take(&mut from),
                            to: std::mem::take(&mut to),
                            content,
                            protected: self.protected,
                        });
                    }
                    to.clear();
                    say(&mut stream, refusal.unwrap_or("250 kept")).await?;
                }
                "QUIT" => {
                    say(&mut stream, "221 bye").await?;
                    return None;
                }
                _ => say(&mut stream, "250 ok").await?,
            }
        }
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), line: &str) -> Option<()> {
    stream
        .write_all(format!("{line}\r\n").as_bytes())
        .await
        .ok()?;
    stream.flush().await.ok()
}

async fn line(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

async fn content(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut content = String::new();
    loop {
        let line = line(stream).await?;
        if line == "." {
            return Some(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
        content.push('\n');
    }
}

fn address(line: &str) -> String {
    let (_, rest) = line.split_once('<').unwrap();
    rest.split_once('>').unwrap().0.to_owned()
}
