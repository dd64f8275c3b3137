//! What people type into forms, and what proxies and browsers say of where a request comes from and goes to.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use sf_fuzz::deceives;
use sf_mcp::{origin, told_zone};
use sf_supervisor::{
    email::Email, hosts::Hosts, scopes, sign_in::safe, signup::register::company_name, time_zone,
    web,
};
use url::Url;

fuzz_target!(|text: &str| {
    if let Ok(email) = Email::parse(text) {
        let plain = email.as_str();
        assert!(plain.is_ascii() && plain.len() <= 254 && plain.matches('@').count() == 1);
        assert!(
            !plain.contains(|c: char| c.is_control() || " ,;:<>()[]\"\\".contains(c)),
            "{plain}"
        );
        assert_eq!(Email::parse(plain).as_ref(), Ok(&email));
        assert!(!email.mailbox().contains('+'));
        assert!(!email.to_string().contains(plain));
    }
    if let Ok(name) = company_name(text) {
        assert!(!name.chars().any(deceives), "{name:?}");
        assert_eq!(company_name(&name).ok(), Some(name));
    }
    if let Ok(zone) = time_zone::named(text) {
        assert!(jiff::tz::TimeZone::get(&zone).is_ok());
        assert_eq!(told_zone::plausible(&zone).as_ref(), Some(&zone));
        assert_eq!(time_zone::named(&zone).ok(), Some(zone));
    }
    if let Ok(origin) = origin::checked(text) {
        let url = Url::parse(&origin).unwrap();
        let is_loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        assert!(url.scheme() == "https" || is_loopback, "{origin}");
        // Paths are put behind it.
        let there = Url::parse(&format!("{origin}/v1/me")).unwrap();
        assert_eq!(
            (there.origin(), there.path()),
            (url.origin(), "/v1/me"),
            "{origin}"
        );
        assert_eq!(origin::checked(&origin), Ok(origin));
    }
    let listening = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    if Hosts::at("https://sf.example.com", listening).is_ours(text) {
        // A browser that sends this as `Host` has asked for one of ours.
        let url = Url::parse(&format!("http://{text}/")).expect("a host");
        let host = url
            .host_str()
            .unwrap_or_default()
            .trim_end_matches('.')
            .to_owned();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let is_address = address.is_some_and(|ip| {
            let ip = ip.to_canonical();
            ip.is_loopback() || ip == listening
        });
        assert!(
            is_address || ["sf.example.com", "localhost"].contains(&host.as_str()),
            "{text}"
        );
    }
    if let Some(next) = safe(text) {
        let here = Url::parse("https://sf.example.com/sign-in").unwrap();
        let there = here.join(next).unwrap();
        assert_eq!(there.origin(), here.origin(), "{next}");
        let first = there.path().split('/').nth(1);
        assert!(
            ["app", "admin", "sign-up"].contains(&first.unwrap_or_default()),
            "{next}"
        );
    }
    if let Some(address) = web::forwarded(text) {
        assert_eq!(web::forwarded(&address.to_string()), Some(address));
    }
    if let Some(set) = scopes::asked(Some(text)) {
        assert_eq!(scopes::asked(Some(set)), Some(set));
        assert!(!scopes::writes(set) || text.split(' ').any(|word| word == scopes::WRITE));
    }
});
