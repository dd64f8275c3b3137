//! Client ID Metadata Documents: a client's id is the https address of what it says of itself.
//!
//! The address is a stranger's, so it is resolved once, must be public, and is connected to as it was resolved. The
//! documents of known vendors are built in: their hosts do not always answer data centres, and nothing is fetched for
//! them unless they ask for an address that the copy does not have.

use std::{net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use reqwest::header;
use serde::Deserialize;
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::{client::Client, public_address::is_public, redirect};
use crate::{
    app::App,
    error::Problem,
    limits::{self, Limit},
    store::OauthClient,
    text::is_unseen,
    tokens,
};

/// Bytes of a document.
const LONGEST: usize = 64 * 1024;
const LONGEST_ID: usize = 1_000;
/// Redirect addresses of one client.
pub(super) const MOST_URIS: usize = 20;
/// Characters of a name.
pub(super) const LONGEST_NAME: usize = 120;
/// Name resolution and all.
const TIME: Duration = Duration::from_secs(5);
/// Seconds for which a copy is good, whatever its host says.
const SHORTEST_LIFE: i64 = 5 * 60;
const LONGEST_LIFE: i64 = 24 * 60 * 60;
const MINUTE: i64 = 60_000;
/// What failed is not asked again at once.
const PER_DOCUMENT: Limit = limit("documents/one", 3);
const PER_NETWORK: Limit = limit("documents/source", 10);
const IN_TOTAL: Limit = limit("documents/total", 120);
static AT_ONCE: Semaphore = Semaphore::const_new(4);

const fn limit(name: &'static str, most: i64) -> Limit {
    Limit {
        name,
        most,
        window: MINUTE,
    }
}

/// What is read of a document.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    client_id: String,
    pub(super) client_name: String,
    pub(super) redirect_uris: Vec<String>,
    token_endpoint_auth_method: Option<String>,
}

/// The address of a document, if an id is one: https on its usual port, a name and a path, written as usual.
pub(super) fn url(id: &str) -> Option<Url> {
    let url = Url::parse(id).ok()?;
    let usual = id.len() <= LONGEST_ID
        && url.as_str() == id
        && url.scheme() == "https"
        && matches!(url.host(), Some(Host::Domain(name)) if name.contains('.') && !name.ends_with('.'))
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.path() != "/";
    usual.then_some(url)
}

/// The client of a document, from the built-in copies, the kept ones, or its host.
pub(super) async fn find(
    app: &App,
    id: &str,
    redirect_uri: &str,
    network: &str,
) -> Result<Client, Problem> {
    let url = url(id).ok_or_else(|| {
        refused("Its `client_id` must be an https address with a name and a path, or an id from registration.")
    })?;
    let built_in = built_in(id);
    let knows = |client: &&Client| redirect::matches(&client.redirect_uris, redirect_uri);
    if let Some(client) = built_in.as_ref().filter(knows) {
        return Ok(client.clone());
    }
    let now = app.clock.now();
    let kept = app.store.oauth_client(id).await?;
    if let Some(kept) = kept.filter(|kept| kept.expires_at.is_some_and(|until| until > now)) {
        return Ok(kept.into());
    }
    match fetched(app, &url, network).await {
        Ok(client) => Ok(client),
        // Its redirect address is none of the copy's, and the person is told so.
        Err(problem) => built_in.ok_or(problem),
    }
}

async fn fetched(app: &App, url: &Url, network: &str) -> Result<Client, Problem> {
    let now = app.clock.now();
    let document = tokens::hash(url.as_str());
    for (limit, whom) in [
        (PER_NETWORK, network),
        (PER_DOCUMENT, document.as_str()),
        (IN_TOTAL, ""),
    ] {
        if let Some(reached) = limits::take(&app.store, limit, whom, now).await? {
            return Err(Problem::too_many(reached.seconds));
        }
    }
    let reading = async {
        let _place = AT_ONCE.acquire().await.map_err(|_| "the service stops")?;
        read(&connected(url).await?, url).await
    };
    let read = tokio::time::timeout(TIME, reading).await;
    let (document, life) = read.unwrap_or(Err("it took too long")).map_err(|why| {
        tracing::info!(
            host = url.host_str(),
            why,
            "a client's document cannot be used"
        );
        refused(&format!("Its description at {url} cannot be used: {why}."))
    })?;
    let client = OauthClient {
        id: url.as_str().to_owned(),
        name: document.client_name,
        redirect_uris: document.redirect_uris,
        auth_method: "none".to_owned(),
        secret_hash: None,
        fingerprint: None,
        created_at: now,
        expires_at: Some(now + life * 1000),
    };
    app.store.keep_document(&client).await?;
    Ok(client.into())
}

fn refused(detail: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid_client",
        format!("The program that sent you here did not say properly who it is. {detail}"),
    )
}

/// A client that reaches the document's host at the address it was resolved to and nothing else.
async fn connected(url: &Url) -> Result<reqwest::Client, &'static str> {
    let host = url.host_str().ok_or("its address has no host")?;
    let found = tokio::net::lookup_host((host, 443)).await;
    let found: Vec<SocketAddr> = found.map_err(|_| "its host is not known")?.collect();
    if !found.iter().all(|address| is_public(address.ip())) {
        return Err("its host is not a public one");
    }
    let address = found.first().ok_or("its host is not known")?;
    reqwest::Client::builder()
        .https_only(true)
        .no_proxy()
        .gzip(false)
        .redirect(reqwest::redirect::Policy::none())
        .resolve(host, *address)
        .timeout(TIME)
        .user_agent(concat!("sf-supervisor/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| "no connection can be prepared")
}

/// The document and the seconds for which it may be kept.
async fn read(http: &reqwest::Client, url: &Url) -> Result<(Document, i64), &'static str> {
    let asked = http
        .get(url.clone())
        .header(header::ACCEPT, "application/json");
    let mut answer = asked.send().await.map_err(|_| "its host does not answer")?;
    if answer.status() != StatusCode::OK {
        return Err("its host answers with another status than 200");
    }
    let said = |name| {
        let value = answer.headers().get(name);
        let text = value.and_then(|value| value.to_str().ok());
        text.unwrap_or_default().to_ascii_lowercase()
    };
    let kind = said(header::CONTENT_TYPE);
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !is_json {
        return Err("it is not JSON");
    }
    let life = life(&said(header::CACHE_CONTROL));
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|_| "it was cut off")? {
        if body.len() + part.len() > LONGEST {
            return Err("it is longer than 64 kB");
        }
        body.extend_from_slice(&part);
    }
    understood(&body, url.as_str()).map(|document| (document, life))
}

/// What the document at that address says, as far as it counts.
pub(super) fn understood(body: &[u8], id: &str) -> Result<Document, &'static str> {
    let mut document: Document = serde_json::from_slice(body)
        .map_err(|_| "it lacks client_id, client_name or redirect_uris")?;
    if document.client_id != id {
        return Err("it is another client's");
    }
    let method = document.token_endpoint_auth_method.as_deref();
    if method.is_some_and(|method| method.starts_with("client_secret")) {
        return Err("a client with a document has no secret");
    }
    document.client_name = name(&document.client_name)
        .ok_or("its client_name is empty, too long, or has unusual characters")?;
    document
        .redirect_uris
        .retain(|uri| redirect::acceptable(uri));
    document.redirect_uris.truncate(MOST_URIS);
    if document.redirect_uris.is_empty() {
        return Err("none of its redirect_uris is https or on this machine");
    }
    Ok(document)
}

/// A name that can be shown: nothing invisible, nothing that turns the direction of writing.
pub(super) fn name(text: &str) -> Option<String> {
    let name = text.trim();
    let usual = (1..=LONGEST_NAME).contains(&name.chars().count());
    (usual && !name.chars().any(is_unseen)).then(|| name.to_owned())
}

fn life(cache_control: &str) -> i64 {
    let said = cache_control
        .split(',')
        .filter_map(|part| part.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.trim_matches('"').parse::<i64>().ok());
    said.unwrap_or(SHORTEST_LIFE)
        .clamp(SHORTEST_LIFE, LONGEST_LIFE)
}

/// What known vendors say, as of November 2026.
fn built_in(id: &str) -> Option<Client> {
    const CHATGPT: &str = "https://chatgpt.com/oauth/";
    let client = |name: &str, uris: &[&str]| Client {
        id: id.to_owned(),
        name: name.to_owned(),
        redirect_uris: uris.iter().map(|&uri| uri.to_owned()).collect(),
        host: Some(redirect::host(id)),
    };
    Some(match id {
        "https://claude.ai/oauth/mcp-oauth-client-metadata" => client(
            "Claude",
            &[
                "https://claude.ai/api/mcp/auth_callback",
                "https://claude.com/api/mcp/auth_callback",
            ],
        ),
        "https://claude.ai/oauth/claude-code-client-metadata" => client(
            "Claude Code",
            &["http://localhost/callback", "http://127.0.0.1/callback"],
        ),
        "https://vscode.dev/oauth/client-metadata.json" => client(
            "Visual Studio Code",
            &[
                "https://vscode.dev/redirect",
                "https://insiders.vscode.dev/redirect",
                "http://127.0.0.1/",
                "http://127.0.0.1:33418/",
            ],
        ),
        _ => {
            let rest = id.strip_prefix(CHATGPT)?;
            let name = rest.strip_suffix("/client.json")?;
            let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if name.is_empty() || !name.bytes().all(usual) {
                return None;
            }
            let own = format!("https://chatgpt.com/connector/oauth/{name}");
            client(
                "ChatGPT",
                &[
                    &own,
                    "https://chatgpt.com/connector_platform_oauth_redirect",
                ],
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn an_id_is_a_plain_https_address() {
        for (id, good) in [
            ("https://client.example/oauth/client.json", true),
            ("https://client.example/x?v=1", true),
            ("https://client.example/", false),
            ("https://client.example", false),
            ("http://client.example/x", false),
            ("https://client.example:8443/x", false),
            ("https://client.example:443/x", false),
            ("https://user@client.example/x", false),
            ("https://client.example/x#y", false),
            ("https://127.0.0.1/x", false),
            ("https://[::1]/x", false),
            ("https://2130706433/x", false),
            ("https://0x7f.1/x", false),
            ("https://localhost/x", false),
            ("https://intranet/x", false),
            ("https://client.example./x", false),
            ("https://client.example/a/../x", false),
            ("https://CLIENT.example/x", false),
            ("https:\\\\client.example/x", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(url(id).is_some(), good, "{id}");
        }
    }

    #[test]
    fn known_vendors_need_no_fetching() {
        for (id, uri) in [
            (
                "https://claude.ai/oauth/mcp-oauth-client-metadata",
                "https://claude.com/api/mcp/auth_callback",
            ),
            (
                "https://claude.ai/oauth/claude-code-client-metadata",
                "http://localhost:41234/callback",
            ),
            (
                "https://vscode.dev/oauth/client-metadata.json",
                "http://127.0.0.1:50001/",
            ),
            (
                "https://chatgpt.com/oauth/abc_1/client.json",
                "https://chatgpt.com/connector/oauth/abc_1",
            ),
        ] {
            let client = built_in(id).unwrap();
            assert!(redirect::matches(&client.redirect_uris, uri), "{uri}");
            assert!(url(id).is_some());
        }
        let other = built_in("https://chatgpt.com/oauth/abc/client.json").unwrap();
        assert!(!redirect::matches(
            &other.redirect_uris,
            "https://chatgpt.com/connector/oauth/xyz"
        ));
        for id in [
            "https://chatgpt.com/oauth//client.json",
            "https://chatgpt.com/oauth/a/b/client.json",
            "https://claude.ai.evil.example/oauth/mcp-oauth-client-metadata",
        ] {
            assert!(built_in(id).is_none(), "{id}");
        }
    }

    #[test]
    fn copies_live_five_minutes_to_a_day() {
        for (text, seconds) in [
            ("", 300),
            ("no-store", 300),
            ("public, max-age=3600", 3600),
            ("max-age=1", 300),
            ("max-age=99999999", 86_400),
            ("max-age=-1", 300),
        ] {
            assert_eq!(life(text), seconds, "{text}");
        }
    }

    #[tokio::test]
    async fn hosts_that_are_not_public_are_not_reached() {
        let url = Url::parse("https://localhost/x").unwrap();
        assert_eq!(
            connected(&url).await.unwrap_err(),
            "its host is not a public one"
        );
    }

    /// What one answer of a document's host leads to.
    async fn told(answer: String) -> Result<(), &'static str> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/client", listener.local_addr().unwrap());
        let answer = answer.replace("SELF", &url);
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8_lossy(&request[..read]).to_ascii_lowercase()
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let read = read(&http, &Url::parse(&url).unwrap()).await;
        let request = serving.await.unwrap();
        assert!(!request.contains("cookie") && !request.contains("authorization"));
        read.map(|_| ())
    }

    fn said(kind: &str, body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn a_document_is_json_about_itself() {
        let document = |id: &str, name: &str, uris: &[&str]| {
            json!({"client_id": id, "client_name": name, "redirect_uris": uris, "x": 1}).to_string()
        };
        let good = document("SELF", "Good", &["https://client.example/cb"]);
        assert_eq!(
            told(said("application/json; charset=utf-8", &good)).await,
            Ok(())
        );
        let long = format!("{}{good}", " ".repeat(LONGEST));
        for answer in [
            said("text/html", &good),
            said("application/json", &long),
            said("application/json", "{"),
            said("application/json", &document("https://client.example/x", "Other", &["https://c.example/cb"])),
            said("application/json", &document("SELF", "", &["https://client.example/cb"])),
            said("application/json", &document("SELF", "Turn\u{202e}ed", &["https://client.example/cb"])),
            said("application/json", &document("SELF", "No uri", &[])),
            said("application/json", &document("SELF", "Bad uri", &["http://client.example/cb"])),
            said("application/json", &good.replace("\"x\":1", "\"token_endpoint_auth_method\":\"client_secret_post\"")),
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        ] {
            assert!(told(answer.clone()).await.is_err(), "{}", &answer[..answer.len().min(300)]);
        }
    }
}
