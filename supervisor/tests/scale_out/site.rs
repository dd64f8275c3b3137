//! What nginx itself does: TLS, limits, and answers of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use super::{CLIENT, LEGACY, ScaledOut, is_possible, marked, told};
use crate::support::{
    nginx::{NAME, Nginx, Ports},
    until,
};

#[tokio::test]
async fn the_site_speaks_http_2_and_sends_browsers_to_tls() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(scaled.nginx.certificate.as_bytes());
    roots.add(certificate.unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let address = SocketAddr::from(([127, 0, 0, 1], scaled.nginx.ports.https));
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(NAME).unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get(format!("{}/readyz", scaled.url))
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let lasting = answer.headers()["strict-transport-security"].to_str();
    assert_eq!(lasting.unwrap(), "max-age=31536000");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "ready");

    // The name without TLS leads to the same address with it.
    let http = &scaled.http;
    let url = format!("{}/mcp?x=1", scaled.nginx.plain_url());
    let plain_port = url::Url::parse(&url).unwrap().port().unwrap();
    let stream = TcpStream::connect(("127.0.0.1", plain_port)).await.unwrap();
    drop(stream);
    let here = SocketAddr::from(([127, 0, 0, 1], plain_port));
    let plain = reqwest::Client::builder()
        .resolve(NAME, here)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let sent = told(plain.post(url)).await;
    assert_eq!(sent.status, 308);
    assert_eq!(sent.headers["location"], format!("https://{NAME}/mcp?x=1"));
    assert_eq!(
        told(http.get(format!("{}/metrics", scaled.url)))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn bodies_are_limited_as_the_service_limits_them() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    let token = &scaled.connected("owner@example.com", 1).await[0];
    let long = "x".repeat(70 * 1024);
    let form = json!({"company": long, "email": "owner@example.com"});
    let refused = told(scaled.post("/api/register", &form)).await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.body["code"], "too_large", "{}", refused.text);
    let id = refused.headers["x-request-id"].to_str().unwrap();
    assert_eq!(refused.body["request_id"], id);

    // As much as that is fine at /mcp, and reaches the program: it says itself that the name is too long.
    let told_by_child = scaled.call(token, &marked(LEGACY, 1, &long)).await;
    assert_eq!(told_by_child.status, 200, "{}", told_by_child.text);
    assert_eq!(told_by_child.body["id"], 1);
    let longer = "x".repeat(4 * 1024 * 1024 + 1);
    let refused = scaled.call(token, &marked(LEGACY, 2, &longer)).await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.body["code"], "too_large", "{}", refused.text);
    let served = scaled.nginx.logged(&refused.headers).await;
    assert_eq!((served.status, served.to[0].as_str()), (413, "-"));
}

#[tokio::test]
async fn without_any_replica_clients_get_json_with_an_id() {
    if !is_possible() {
        return;
    }
    let mut scaled = ScaledOut::start().await;
    let token = &scaled.connected("owner@example.com", 1).await[0];
    for number in 0..3 {
        scaled.replicas[number].take().unwrap().kill();
    }
    let call = scaled.call(token, &marked(LEGACY, 1, "Elm")).await;
    assert_eq!(call.status, 502);
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(call.body["jsonrpc"], "2.0", "{}", call.text);
    assert_eq!(call.body["error"]["code"], -32603);
    assert_eq!(call.headers["retry-after"], "2");
    let page = told(scaled.http.get(format!("{}/api/usage", scaled.url))).await;
    assert_eq!(page.status, 502);
    assert_eq!(page.headers["content-type"], "application/problem+json");
    assert_eq!(page.body["code"], "unavailable", "{}", page.text);
    assert_eq!(page.body["status"], 502);
    let served = scaled.nginx.logged(&page.headers).await;
    assert_eq!(page.body["request_id"], served.id);
    assert_eq!(served.status, 502);
    assert!(page.headers.contains_key("strict-transport-security"));
}

/// Plays a replica that takes requests and dies before it answers; says how many it took.
async fn taker() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            if matches!(stream.read(&mut head).await, Ok(1..)) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (address, taken)
}

#[tokio::test]
async fn nothing_that_was_sent_is_sent_again() {
    if !is_possible() {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let takers = [taker().await, taker().await, taker().await];
    let addresses = takers.each_ref().map(|(address, _)| address.clone());
    let nginx = Nginx::start(Ports::free().await, &addresses).await;
    let taken = || -> usize {
        let each = takers.iter().map(|(_, taken)| taken.load(Ordering::SeqCst));
        each.sum()
    };
    let http = nginx.client(CLIENT);
    for (method, path) in [
        ("POST", "/mcp"),
        ("POST", "/api/register"),
        ("POST", "/oauth/token"),
        ("POST", "/api/usage"),
        ("GET", "/api/bundles/env"),
        ("GET", "/api/activate/callback?code=1"),
        ("GET", "/oauth/authorize"),
        ("DELETE", "/api/tenant"),
    ] {
        // Replicas that have just failed are left alone for a moment, and the request is not sent at all.
        let sent = until("a request that is sent", async || {
            let before = taken();
            let url = format!("{}{path}", nginx.ports.url());
            let request = http.request(method.parse().unwrap(), url).body("{}");
            assert_eq!(told(request).await.status, 502, "{method} {path}");
            Some(taken() - before).filter(|sent| *sent > 0)
        });
        assert_eq!(sent.await, 1, "{method} {path}");
    }
}
