//! Parameters of a query or a form. None may come twice (RFC 6749, 3.1), and an empty one is none.

use axum::http::HeaderMap;

/// The parameters in their order.
#[derive(Clone, Debug)]
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn parse(text: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(text);
        Self(
            pairs
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// The parameter, unless it comes twice.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// A parameter that comes more than once.
    pub fn repeated(&self) -> Option<&str> {
        let mut names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
    }
}

/// Whether the body is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(axum::http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_nothing() {
        let params = Params::parse(b"a=1&b=2&a=3&c=&d=%20x");
        assert_eq!(params.get("a"), None);
        assert_eq!(params.get("b"), Some("2"));
        assert_eq!(params.get("c"), None);
        assert_eq!(params.get("d"), Some(" x"));
        assert_eq!(params.repeated(), Some("a"));
        assert_eq!(Params::parse(b"a=1&c=&c=").repeated(), None);
    }
}
