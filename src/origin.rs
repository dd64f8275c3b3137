//! The origin of a service: https anywhere, plain http on this machine alone.

/// `url` without a trailing slash, or what would be accepted instead.
pub fn checked(url: &str) -> Result<String, &'static str> {
    let trimmed = url.trim_end_matches('/');
    let parsed = reqwest::Url::parse(trimmed)
        .map_err(|_| "it must be an address such as `https://api.servicefusion.com`")?;
    let loopback = match parsed.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match parsed.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err("only https is allowed, and plain http on this machine (127.0.0.1)"),
    }
    let user = !parsed.username().is_empty() || parsed.password().is_some();
    let more = parsed.path() != "/" || parsed.query().is_some() || parsed.fragment().is_some();
    if user || more {
        return Err("it must be an origin alone: scheme, host and port, no path, no user");
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert_eq!(
            checked("http://127.0.0.1:8080/").unwrap(),
            "http://127.0.0.1:8080"
        );
        assert!(checked("http://[::1]:8080").is_ok());
        assert!(checked("https://api.servicefusion.com").is_ok());
        for refused in [
            "http://api.servicefusion.com",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "https://user@api.servicefusion.com",
            "https://:password@api.servicefusion.com",
            "https://api.servicefusion.com/v1",
            "https://api.servicefusion.com/#v1",
            "nonsense",
        ] {
            assert!(checked(refused).is_err(), "{refused}");
        }
    }
}
