//! What an AI client says of itself: the first line is the address of its document, then comes the document. The same
//! text is read as a registration too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sf_fuzz::{deceives, head_and_body};
use sf_supervisor::oauth::fuzzing::{
    Described, document, document_address, may_be_named, registration,
};
use url::Host;

fuzz_target!(|input: &[u8]| {
    let (head, body) = head_and_body(input);
    let id = String::from_utf8_lossy(head.first().copied().unwrap_or_default());
    if let Some(url) = document_address(&id) {
        assert_eq!(url.as_str(), id);
        assert!(id.starts_with("https://") && url.port_or_known_default() == Some(443));
        assert!(url.username().is_empty() && url.password().is_none());
        assert!(url.path() != "/" && url.fragment().is_none());
        let Some(Host::Domain(name)) = url.host() else {
            panic!("{id} has no name");
        };
        assert!(name.contains('.') && name.parse::<std::net::IpAddr>().is_err());
    }
    if let Some(described) = document(body, &id) {
        // A document is about itself.
        let whole: serde_json::Value =
            serde_json::from_str(&String::from_utf8_lossy(body)).unwrap_or_default();
        assert!(whole.is_null() || whole["client_id"] == *id);
        can_be_shown(&described);
    }
    if let Some(described) = registration(body) {
        can_be_shown(&described);
    }
});

/// Nothing that a person is shown deceives, and nobody is sent anywhere but to a host that can be named.
fn can_be_shown(described: &Described) {
    let Described {
        name,
        redirect_uris,
    } = described;
    assert!((1..=120).contains(&name.chars().count()) && name.trim() == name);
    assert!(!name.chars().any(deceives), "{name:?}");
    assert!((1..=20).contains(&redirect_uris.len()));
    assert!(redirect_uris.iter().all(|uri| may_be_named(uri)));
}
