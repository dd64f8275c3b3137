//! Which names this service answers to: a page whose own name is made to point here (DNS rebinding) gets nothing.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{app::App, error::Problem};

/// Load balancers ask for these by whatever address they know.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Refuses requests to another host than the public address, loopback and the address that is listened on.
pub async fn known(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if PROBES.contains(&request.uri().path()) || is_known(&app, &request) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected",
        "This service does not answer to that host name; use its public address.",
    )
    .into_response()
}

/// Every host that the request names must be ours, and it must name one.
fn is_known(app: &App, request: &Request) -> bool {
    let mut named = Vec::new();
    named.extend(request.uri().authority().map(Authority::as_str));
    for host in request.headers().get_all(header::HOST) {
        named.push(host.to_str().unwrap_or_default());
    }
    let public = url::Url::parse(&app.config.public_url).ok();
    let public = public.as_ref().and_then(url::Url::host_str);
    let listening = app.config.listen.ip();
    !named.is_empty()
        && named
            .into_iter()
            .all(|host| is_ours(host, public.unwrap_or_default(), listening))
}

/// Ports do not matter: a proxy may listen on another one.
pub fn is_ours(named: &str, public: &str, listening: IpAddr) -> bool {
    let Ok(authority) = named.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let port = named.strip_prefix(host).map(|rest| rest.strip_prefix(':'));
    let is_whole = named == host || matches!(port, Some(Some(port)) if port.parse::<u16>().is_ok());
    if host.is_empty() || !is_whole {
        return false;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.eq_ignore_ascii_case(public) || host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(inner) => inner.parse().map(IpAddr::V6).ok(),
        None => host.parse().map(IpAddr::V4).ok(),
    };
    let address = address.map(|ip| ip.to_canonical());
    address.is_some_and(|ip| ip.is_loopback() || ip == listening.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_answers_to_its_own_names() {
        let listening = "192.0.2.7".parse().unwrap();
        for (named, ours) in [
            ("mcp.example.com", true),
            ("MCP.example.com:8443", true),
            ("mcp.example.com.", true),
            ("localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("192.0.2.7:8080", true),
            ("192.0.2.8:8080", false),
            ("evil.example", false),
            ("mcp.example.com.evil.example", false),
            ("localhost.evil.example", false),
            ("mcp.example.com@evil.example", false),
            ("evil.example@mcp.example.com", false),
            ("mcp.example.com/x", false),
            ("mcp.example.com:x", false),
            ("mcp.example.com:80:80", false),
            ("::1", false),
            ("[[::1]]", false),
            ("[127.0.0.1]", false),
            ("[::1]7:80", false),
            ("[::ffff:127.0.0.1]:8080", true),
            ("", false),
        ] {
            assert_eq!(
                is_ours(named, "mcp.example.com", listening),
                ours,
                "{named}"
            );
        }
    }
}
