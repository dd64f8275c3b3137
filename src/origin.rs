//! The origin of a service: https anywhere, plain http on this machine alone.

const NO_ADDRESS: &str = "it must be an address such as `https://api.servicefusion.com`";

/// The same for a hosting service's, with an example of such a one.
pub fn checked_service(url: &str) -> Result<String, &'static str> {
    checked(url).map_err(|accepted| match accepted {
        NO_ADDRESS => "it must be an address such as `https://mcp.example.com`",
        other => other,
    })
}

/// The origin as it is usually written, without a trailing slash, or what would be accepted instead.
pub fn checked(url: &str) -> Result<String, &'static str> {
    let parsed = reqwest::Url::parse(url.trim_end_matches('/')).map_err(|_| NO_ADDRESS)?;
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
    Ok(parsed.origin().ascii_serialization())
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
        for unusual in [
            "https://api.servicefusion.com",
            "HTTPS://API.ServiceFusion.com:443/",
            "https:api.servicefusion.com",
            " https://api.servicefusion.com\0\0",
        ] {
            let origin = checked(unusual).unwrap();
            assert_eq!(origin, "https://api.servicefusion.com", "{unusual:?}");
        }
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

    #[test]
    fn an_example_is_of_the_service_that_was_asked_for() {
        let said = checked_service("127.0.0.1:8080").unwrap_err();
        assert!(said.contains("https://mcp.example.com"), "{said}");
    }
}
