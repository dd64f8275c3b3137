//! Where a browser may be sent back to: addresses that the client named before, character by character. Only the port
//! of a loopback address is free (RFC 8252, 7.3).

use url::{Host, Url};

/// Programs on people's machines that have an address of their own.
const PRIVATE: [&str; 1] = ["cursor://anysphere.cursor-mcp/oauth/callback"];
const LONGEST: usize = 2_000;

/// Whether a client may name this address at all.
pub(super) fn acceptable(uri: &str) -> bool {
    if PRIVATE.contains(&uri) {
        return true;
    }
    let usual = uri.len() <= LONGEST
        && uri.bytes().all(|byte| byte.is_ascii_graphic())
        && !uri.contains(['#', '\\', '*', '<', '>', '"', '\'', '`']);
    let Some(url) = usual.then(|| Url::parse(uri).ok()).flatten() else {
        return false;
    };
    let authority = authority(uri);
    // Without the slashes a browser on a page of ours would look for it there.
    let plain = url.username().is_empty()
        && url.password().is_none()
        && !authority.is_empty()
        && !authority.contains('@');
    plain
        && match url.scheme() {
            "https" => matches!(url.host(), Some(Host::Domain(_))),
            "http" => is_loopback(uri),
            _ => false,
        }
}

/// Whether an address that a request names is one of those that its client named.
pub(super) fn matches(registered: &[String], asked: &str) -> bool {
    acceptable(asked)
        && registered
            .iter()
            .any(|known| known == asked || same_but_port(known, asked))
}

/// Whether it is plain http on the person's own machine, and written as such: `HTTP` would be an address like `http`
/// with another spelling, and spellings are compared.
pub(super) fn is_loopback(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else {
        return false;
    };
    uri.starts_with("http://")
        && ["127.0.0.1", "[::1]", "localhost"].contains(&without_port(authority(uri)))
        && is_loopback_url(&url)
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_loopback_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn same_but_port(known: &str, asked: &str) -> bool {
    let parts = |uri| {
        let (authority, path) = split(uri);
        (without_port(authority), path)
    };
    is_loopback(known) && is_loopback(asked) && parts(known) == parts(asked)
}

/// What stands between `//` and the path, as it was written.
fn authority(uri: &str) -> &str {
    split(uri).0
}

/// The authority, and what comes after it.
fn split(uri: &str) -> (&str, &str) {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let rest = match uri.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => "",
    };
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// The host that a person is shown.
pub(super) fn host(uri: &str) -> String {
    Url::parse(uri)
        .ok()
        .and_then(|url| Some(url.host_str()?.to_owned()))
        .unwrap_or_default()
}

/// What a page's `form-action` must allow so that its form may lead there. Browsers apply it to every redirect that
/// follows, and clients send people on from their callback, so it names schemes.
pub(super) fn form_target(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if url.scheme() == "http" => "http: https:".to_owned(),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(uris: &[&str]) -> Vec<String> {
        uris.iter().map(|&uri| uri.to_owned()).collect()
    }

    #[test]
    fn what_known_clients_use_is_accepted() {
        for uris in [
            &[
                "https://claude.ai/api/mcp/auth_callback",
                "https://claude.com/api/mcp/auth_callback",
            ][..],
            &["http://localhost/callback", "http://127.0.0.1/callback"],
            &["http://localhost:3118/callback"],
            &[
                "https://chatgpt.com/connector/oauth/abc123",
                "https://chatgpt.com/connector_platform_oauth_redirect",
            ],
            &["http://127.0.0.1:49152/callback/x"],
            &[
                "cursor://anysphere.cursor-mcp/oauth/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "http://localhost:8787/callback",
            ],
            &[
                "https://vscode.dev/redirect",
                "https://insiders.vscode.dev/redirect",
                "http://127.0.0.1/",
                "http://127.0.0.1:33418/",
            ],
            &["http://[::1]/cb"],
        ] {
            let registered = set(uris);
            for uri in uris {
                assert!(acceptable(uri) && matches(&registered, uri), "{uri}");
            }
        }
    }

    #[test]
    fn what_nobody_may_name_is_refused() {
        for uri in [
            "",
            "callback",
            "https://",
            "https:example.com/cb",
            "https:/example.com/cb",
            "https:///example.com/cb",
            "https:/http://example.com/cb",
            "https:http://[::1]/cb",
            "http://example.com/cb",
            "http://127.0.0.1.example.com/cb",
            "http://localhost.example.com/cb",
            "HTTP://localhost/cb",
            "hTtp://[::1]/cb",
            "http://127.1/cb",
            "http://2130706433/cb",
            "http://0x7f.0.0.1/cb",
            "http://0.0.0.0/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "http://LOCALHOST@example.com/cb",
            "https://user@example.com/cb",
            "https://user:word@example.com/cb",
            "https://@example.com/cb",
            "https://example.com\\@evil.example/cb",
            "https://example.com/cb#part",
            "https://*.example.com/cb",
            "https://example.com/*",
            "https://10.0.0.1/cb",
            "https://exa mple.com/cb",
            "https://example.com/\ncb",
            "https://example.com/<script>",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "about:blank",
            "intent://x#Intent;end",
            "cursor://evil/oauth/callback",
            "cursor://anysphere.cursor-mcp/oauth/callback?x",
            "vscode://evil/x",
            "com.example.app:/cb",
        ] {
            assert!(!acceptable(uri), "{uri}");
        }
    }

    #[test]
    fn only_the_port_of_a_loopback_address_is_free() {
        let registered = set(&[
            "http://127.0.0.1/cb",
            "https://example.com/cb",
            "http://localhost:1/cb?a=1",
        ]);
        for (uri, good) in [
            ("http://127.0.0.1:5000/cb", true),
            ("http://localhost:2/cb?a=1", true),
            ("http://localhost:2/cb", false),
            ("HTTP://127.0.0.1:5000/cb", false),
            ("http://localhost:5000/cb", false),
            ("http://[::1]:5000/cb", false),
            ("https://127.0.0.1/cb", false),
            ("http://127.0.0.1:5000/cb/", false),
            ("http://127.0.0.1:5000/cb?x=1", false),
            ("http://127.0.0.1:5000/cb?", false),
            ("http://127.0.0.1:5000/x/../cb", false),
            ("http://127.0.0.1:5000/./cb", false),
            ("http://127.0.0.1:5000/cb#x", false),
            ("http://127.0.0.1:5000@example.com/cb", false),
            ("https://example.com/cb", true),
            ("https://example.com:443/cb", false),
            ("https://example.com:8443/cb", false),
            ("https://example.com/cb/", false),
            ("https://example.com/cb?x", false),
            ("https://example.com/CB", false),
            ("https://EXAMPLE.com/cb", false),
            ("https://example.com/x/../cb", false),
            ("https://example.com.evil.example/cb", false),
            ("https://evil.example/?https://example.com/cb", false),
        ] {
            assert_eq!(matches(&registered, uri), good, "{uri}");
        }
    }
}
