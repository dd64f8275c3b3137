//! Which names this service answers to: a page whose own name is made to point here (DNS rebinding) gets nothing.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{header, uri::Authority},
};

use crate::config::Config;

/// Load balancers ask for these by whatever address they know.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// The public address, loopback and the address that is listened on.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// As clients name it: with the port, where it is not the usual one.
    authority: String,
    public: String,
    listening: IpAddr,
}

impl Hosts {
    pub fn of(config: &Config) -> Self {
        Self::at(&config.public_url, config.listen.ip())
    }

    pub fn at(public_url: &str, listening: IpAddr) -> Self {
        let url = url::Url::parse(public_url).ok();
        let public = url.as_ref().and_then(url::Url::host_str);
        Self {
            authority: (url.as_ref())
                .map(|url| url.authority().to_owned())
                .unwrap_or_default(),
            public: public.unwrap_or_default().to_owned(),
            listening: listening.to_canonical(),
        }
    }

    /// Whether every host that the request names is ours, and it names one; what asks whether we are well may name any.
    pub fn are_named_by(&self, request: &Request) -> bool {
        let headers = request.headers().get_all(header::HOST).iter();
        let mut named = (request.uri().authority().map(Authority::as_str).into_iter())
            .chain(headers.map(|host| host.to_str().unwrap_or_default()))
            .peekable();
        PROBES.contains(&request.uri().path())
            || (named.peek().is_some() && named.all(|host| self.is_ours(host)))
    }

    /// Ports do not matter: a proxy may listen on another one.
    pub fn is_ours(&self, named: &str) -> bool {
        if !named.is_empty() && named == self.authority {
            return true;
        }
        let Ok(authority) = named.parse::<Authority>() else {
            return false;
        };
        let host = authority.host();
        let port = named.strip_prefix(host).map(|rest| rest.strip_prefix(':'));
        let is_whole =
            named == host || matches!(port, Some(Some(port)) if port.parse::<u16>().is_ok());
        if host.is_empty() || !is_whole {
            return false;
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.eq_ignore_ascii_case(&self.public) || host.eq_ignore_ascii_case("localhost") {
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
        address.is_some_and(|ip| ip.is_loopback() || ip == self.listening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_answers_to_its_own_names() {
        let hosts = Hosts {
            authority: "mcp.example.com".to_owned(),
            public: "mcp.example.com".to_owned(),
            listening: "192.0.2.7".parse().unwrap(),
        };
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
            assert_eq!(hosts.is_ours(named), ours, "{named}");
        }
    }
}
