//! The routes tests steer the sandbox with: faults, state, log, reset.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::sandbox::fault::Fault;
use crate::sandbox::payload::{self, Answer};
use crate::sandbox::server::{Received, Server};

pub(crate) fn answer(server: &Server, received: &Received) -> Answer {
    // A web page could reach this port under its own name; it cannot choose the Host header.
    if !is_loopback(received.header("host")) {
        return payload::json(
            StatusCode::FORBIDDEN,
            &json!({"error": "the Host header must name a loopback address"}),
        );
    }
    match (received.method(), received.path()) {
        ("POST", "/sandbox/faults") => add_faults(server, &received.body),
        ("DELETE", "/sandbox/faults") => {
            server.faults.clear();
            done()
        }
        ("GET", "/sandbox/state") => server.traffic.count(|counters| shown(counters)),
        ("GET", "/sandbox/log") => shown(&server.traffic.log()),
        ("POST", "/sandbox/reset") => {
            server.reset();
            done()
        }
        _ => payload::json(
            StatusCode::NOT_FOUND,
            &json!({"error": "the sandbox has no such control"}),
        ),
    }
}

fn add_faults(server: &Server, body: &[u8]) -> Answer {
    match serde_json::from_slice::<Vec<Fault>>(body) {
        Ok(faults) => {
            server.faults.add(faults);
            done()
        }
        Err(error) => payload::json(
            StatusCode::BAD_REQUEST,
            &json!({"error": error.to_string()}),
        ),
    }
}

fn done() -> Answer {
    payload::json_bytes(StatusCode::NO_CONTENT, Vec::new())
}

fn shown(state: &impl Serialize) -> Answer {
    payload::json(
        StatusCode::OK,
        &serde_json::to_value(state).unwrap_or_default(),
    )
}

fn is_loopback(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    name == "localhost"
        || name == "[::1]"
        || name
            .parse()
            .is_ok_and(|ip: std::net::Ipv4Addr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_may_steer() {
        for host in ["127.0.0.1:8080", "localhost", "localhost:1", "[::1]:9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example:80",
            "127.0.0.1.evil.example",
            "localhost.evil.example:1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
