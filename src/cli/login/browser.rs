//! The browser's part of a login: a page of Service Fusion, and a redirect to this machine.

use std::{convert::Infallible, sync::Mutex, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::oneshot};

use crate::cli::{Exit, Failure};

/// How long a person may take to sign in.
const PATIENCE: Duration = Duration::from_mins(5);

/// What the redirect brought. The code lives for 60 s and works once.
pub(super) struct Allowed {
    pub(super) code: SecretString,
    /// To be repeated exactly when the code is exchanged.
    pub(super) redirect_uri: String,
}

/// The address on this machine to which Service Fusion sends the browser back.
pub(super) struct Redirect {
    listener: std::net::TcpListener,
    pub(super) address: String,
}

impl Redirect {
    /// Port 0 takes any free one.
    pub(super) fn on(port: u16) -> Result<Self, Failure> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("listening on port {port} of this machine for the browser's redirect; choose another one with --port")
        })?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self {
            listener,
            address: format!("http://127.0.0.1:{port}/callback"),
        })
    }
}

/// Sends the person to Service Fusion and waits for the redirect.
pub(super) async fn allow(
    origin: &str,
    client_id: &str,
    redirect: Redirect,
    open: bool,
) -> Result<Allowed, Failure> {
    let listener = TcpListener::from_std(redirect.listener)?;
    let redirect_uri = redirect.address;
    let state = random()?;
    let mut address = reqwest::Url::parse(&format!("{origin}/oauth/authorize"))?;
    address
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", &redirect_uri)
        .append_pair("state", &state);
    eprintln!("Sign in to Service Fusion in your browser and allow the access:\n\n  {address}\n");
    eprintln!(
        "Waiting for the browser; Ctrl+C stops. If the page says the app is not known, the id is not that of an OAuth App."
    );
    if open && webbrowser::open(address.as_str()).is_err() {
        eprintln!("No browser could be opened here; open the address above yourself.");
    }
    let code = tokio::time::timeout(PATIENCE, redirected(listener, &state)).await.map_err(|_| {
        Failure::new(Exit::Failed, "nobody signed in within five minutes; nothing was stored. Run `sf-mcp login --browser` again")
    })??;
    Ok(Allowed { code, redirect_uri })
}

fn random() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Failure::new(Exit::Failed, "the system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

type Outcome = Result<SecretString, Failure>;

/// Answers requests until one is the redirect with our state; others (a favicon, a probe) get a 404.
async fn redirected(listener: TcpListener, state: &str) -> Outcome {
    let (sender, mut receiver) = oneshot::channel::<Outcome>();
    let sender = Mutex::new(Some(sender));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            outcome = &mut receiver => return outcome.unwrap_or_else(|_| Err(Failure::new(Exit::Failed, "the sign-in was interrupted"))),
        };
        let service = service_fn(|request: Request<Incoming>| {
            let (page, outcome) = answer(&request, state);
            if let Some(outcome) = outcome
                && let Ok(mut sender) = sender.lock()
                && let Some(sender) = sender.take()
            {
                let _ = sender.send(outcome);
            }
            std::future::ready(Ok::<_, Infallible>(page))
        });
        // A connection that breaks is the browser's affair; the next one counts.
        let connection = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let _ = tokio::time::timeout(Duration::from_secs(10), connection).await;
    }
}

fn answer(request: &Request<Incoming>, state: &str) -> (Response<String>, Option<Outcome>) {
    if request.uri().path() != "/callback" {
        return (
            page(
                StatusCode::NOT_FOUND,
                "Not found",
                "This is sf-mcp waiting for a sign-in.",
            ),
            None,
        );
    }
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    };
    // A page that guesses our port must not be able to end or fake the sign-in.
    if value("state").as_deref() != Some(state) {
        return (
            page(
                StatusCode::BAD_REQUEST,
                "Not this sign-in",
                "This address belongs to another sign-in. Go back to the terminal.",
            ),
            None,
        );
    }
    match value("code").filter(|code| !code.is_empty()) {
        Some(code) => (
            page(
                StatusCode::OK,
                "Signed in",
                "sf-mcp has what it needs. You can close this window and go back to the terminal.",
            ),
            Some(Ok(code.into())),
        ),
        None => (
            page(
                StatusCode::OK,
                "Not signed in",
                "Service Fusion did not allow the access. Nothing was stored; go back to the terminal.",
            ),
            Some(Err(Failure::new(
                Exit::SignedOut,
                "the access was not allowed in the browser; nothing was stored",
            ))),
        ),
    }
}

/// A page of constants only: nothing from the request is shown.
fn page(status: StatusCode, title: &str, text: &str) -> Response<String> {
    let body = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title} - sf-mcp</title>\
         <style>body{{font:16px/1.5 system-ui;max-width:32rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}}</style>\
         <h1>{title}</h1><p>{text}</p>"
    );
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    response
}
