//! Where a person's browser is sent with a code: the first line is the address that a request names, the others are
//! those that its client named before.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sf_supervisor::oauth::fuzzing::{leads_back, may_be_named, shown_host};
use url::Url;

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n').map(str::to_owned);
    let asked = lines.next().unwrap_or_default();
    let registered: Vec<String> = lines.collect();
    if may_be_named(&asked) {
        goes_where_it_says(&asked);
        assert!(leads_back(std::slice::from_ref(&asked), &asked));
    }
    if !leads_back(&registered, &asked) {
        return;
    }
    assert!(may_be_named(&asked));
    let is_known = registered.contains(&asked);
    let is_same = |known: &String| {
        let (known, asked) = (without_port(known), without_port(&asked));
        known.is_some() && known == asked
    };
    assert!(
        is_known || registered.iter().any(is_same),
        "{asked} is none of {registered:?}"
    );
});

/// A browser that follows it from our pages comes to the host that its person was shown.
fn goes_where_it_says(uri: &str) {
    let here = Url::parse("https://sf.example.com/oauth/consent").unwrap();
    let there = here.join(uri).unwrap();
    assert_eq!(there, Url::parse(uri).unwrap());
    assert_eq!(there.host_str().unwrap_or_default(), shown_host(uri));
    assert!(
        there.username().is_empty() && there.password().is_none() && there.fragment().is_none()
    );
    match there.scheme() {
        "https" => assert!(there.domain().is_some()),
        "http" => assert!(["localhost", "127.0.0.1", "[::1]"].contains(&shown_host(uri).as_str())),
        _ => assert_eq!(uri, "cursor://anysphere.cursor-mcp/oauth/callback"),
    }
}

/// A loopback address without its port, the one part of it that is free.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let hosts = ["http://localhost", "http://127.0.0.1", "http://[::1]"];
    let (host, rest) = hosts
        .iter()
        .find_map(|host| Some((*host, uri.strip_prefix(host)?)))?;
    let rest = match rest.strip_prefix(':') {
        Some(port) => port.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}
