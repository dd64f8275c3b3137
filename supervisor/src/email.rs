//! An e-mail address as it is kept and written to.

use std::fmt;

use lettre::Address;

/// Characters of an address (RFC 5321, 4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;
/// Characters before the `@` (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;

/// One mailbox in lower case. `Debug` and `Display` show it shortened: logs are read by many.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(Address);

/// The text is no single mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the e-mail address must be one address such as `name@example.com`")]
pub struct NotOne;

impl Email {
    /// Reads one address. Quoted names, comments, lists and addresses of bare hosts' numbers are refused: they are
    /// valid somewhere, and useful to nobody but those who play with mail servers.
    pub fn parse(text: &str) -> Result<Self, NotOne> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(NotOne)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        let domain_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let usual = text.len() <= LONGEST
            && local.len() <= LONGEST_LOCAL
            && local.chars().all(plain)
            && domain.chars().all(domain_plain)
            && domain.chars().any(|c| c.is_ascii_alphabetic());
        if !usual {
            return Err(NotOne);
        }
        text.to_ascii_lowercase()
            .parse()
            .map(Self)
            .map_err(|_| NotOne)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// For the envelope and the `To` header.
    pub fn address(&self) -> &Address {
        &self.0
    }

    /// The mailbox without a `+tag`: many tags are still one person's post.
    pub fn mailbox(&self) -> String {
        let (local, domain) = (self.0.user(), self.0.domain());
        let local = local.split_once('+').map_or(local, |(local, _)| local);
        format!("{local}@{domain}")
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.user().chars().next().unwrap_or('?');
        write!(f, "{first}…@{}", self.0.domain())
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_mailbox_in_lower_case() {
        let email = Email::parse("  Anna.Smith+SF@Example.COM ").unwrap();
        assert_eq!(email.as_str(), "anna.smith+sf@example.com");
        assert_eq!(email.mailbox(), "anna.smith@example.com");
        assert_eq!(email.to_string(), "a…@example.com");
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "anna",
            "@example.com",
            "anna@",
            "anna@example.com, bert@example.com",
            "anna@example.com\r\nBcc: bert@example.com",
            "Anna <anna@example.com>",
            "\"an na\"@example.com",
            "anna@[127.0.0.1]",
            "anna@127.0.0.1",
            "anna@exa\0mple.com",
            "anna@b@example.com",
            "<anna@example.com>",
            "änna@example.com",
            "anna@-example..com",
            &long,
        ] {
            assert_eq!(Email::parse(text), Err(NotOne), "{text:?}");
        }
    }
}
