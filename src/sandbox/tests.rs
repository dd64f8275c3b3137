//! The sandbox as its clients see it: over TCP.

mod api;
mod create;
mod data;
mod faults;
mod sign_in;

use std::collections::HashMap;
use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::sandbox::{CLIENT_ID, CLIENT_SECRET, Options, Sandbox};

struct Tested {
    sandbox: Sandbox,
    token: String,
}

struct Reply {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn number(&self, header: &str) -> i64 {
        self.headers[header].parse().unwrap()
    }
}

fn options() -> Options {
    Options {
        time_zone: jiff::tz::TimeZone::get("America/Chicago").unwrap(),
        now: Some("2026-03-11T20:30:00Z".parse().unwrap()),
        requests_per_window: 0,
        control: true,
        ..Options::default()
    }
}

impl Tested {
    async fn start(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        let mut tested = Self {
            sandbox,
            token: String::new(),
        };
        let body = json!({
            "grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
        });
        let reply = tested.post("/oauth/access_token", &body).await;
        tested.token = reply.json()["access_token"].as_str().unwrap().to_owned();
        tested
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", "").await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(
            "POST",
            path,
            "Content-Type: application/json\r\n",
            &body.to_string(),
        )
        .await
        .unwrap()
    }

    async fn fault(&self, faults: Value) {
        assert_eq!(self.post("/sandbox/faults", &faults).await.status, 204);
    }

    async fn state(&self) -> Value {
        self.get("/sandbox/state").await.json()
    }

    /// An error is a connection that closed before the whole answer was there.
    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Reply> {
        let host = self.sandbox.origin().replace("http://", "");
        let bearer = match (
            self.token.as_str(),
            headers.contains("Authorization:") || path.contains("access_token="),
        ) {
            ("", _) | (_, true) => String::new(),
            (token, false) => format!("Authorization: Bearer {token}\r\n"),
        };
        let mut stream = TcpStream::connect(&host).await?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{bearer}{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        parse(&String::from_utf8_lossy(&answer))
    }
}

fn parse(answer: &str) -> io::Result<Reply> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(body.len());
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Reply {
        status: status.unwrap_or_default(),
        headers,
        body: body.to_owned(),
    })
}
