//! What the mails say. The templates are in `templates/mail`.

use std::time::Duration;

use askama::Template;
use lettre::{
    Message,
    message::{
        Mailbox, MultiPart,
        header::{Header, HeaderName, HeaderValue},
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::{email::Email, ids};

/// One mail to one person.
#[derive(Debug)]
pub struct Letter {
    pub to: Email,
    pub kind: Kind,
    /// After that it is not worth sending.
    pub good_for: Duration,
}

/// Why somebody gets a mail. A company's name is somebody's own words: it goes to that company's owner alone, in the
/// body. What a stranger calls a company that is signing up stands in no mail.
#[derive(Debug)]
pub enum Kind {
    /// A new address signs a company up.
    SignUp { code: SecretString },
    /// The address owns a company already; the code leads to it.
    Known { company: String, code: SecretString },
    /// Somebody of a company signs in, on a machine or, for an AI client that calls itself so, in a browser.
    SignIn {
        code: SecretString,
        client: Option<String>,
    },
    /// An owner of a company lets the address in.
    Invited { company: String },
    /// A sign-in with an address that nobody has signed up with.
    NoAccount,
}

/// Why a letter cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Template(#[from] askama::Error),
    #[error("{0}")]
    Message(#[from] lettre::error::Error),
    #[error("the system gives no random numbers")]
    NoRandom(#[from] getrandom::Error),
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::SignUp { .. } => "sign_up",
            Self::Known { .. } => "known",
            Self::SignIn { .. } => "sign_in",
            Self::Invited { .. } => "invited",
            Self::NoAccount => "no_account",
        }
    }

    /// Never with a code: mail servers log subjects.
    fn subject(&self) -> &'static str {
        match self {
            Self::SignUp { .. } => "Your sign-up code",
            Self::Known { .. } => "Your code to reconnect Service Fusion",
            Self::SignIn { .. } => "Your sign-in code",
            Self::Invited { .. } => "You are invited to Service Fusion for AI assistants",
            Self::NoAccount => "You are not signed up here yet",
        }
    }
}

/// What both forms of a mail show.
macro_rules! form {
    ($name:ident, $path:literal) => {
        #[derive(Template)]
        #[template(path = $path)]
        struct $name<'a> {
            kind: &'a str,
            code: &'a str,
            company: &'a str,
            client: &'a str,
            url: &'a str,
        }
    };
}
form!(Text, "mail/letter.txt");
form!(Html, "mail/letter.html");

impl Letter {
    /// The finished mail and its plain text. Its id stays the same however often it is sent.
    pub(super) fn write(&self, from: &Mailbox, public_url: &str) -> Result<Written, Error> {
        let (code, company) = match &self.kind {
            Kind::Known { company, code } => (code.expose_secret(), company.as_str()),
            Kind::SignUp { code } | Kind::SignIn { code, .. } => (code.expose_secret(), ""),
            Kind::Invited { company } => ("", company.as_str()),
            Kind::NoAccount => ("", ""),
        };
        let client = match &self.kind {
            Kind::SignIn { client, .. } => client.as_deref().unwrap_or_default(),
            _ => "",
        };
        let (kind, url) = (self.kind.name(), public_url);
        let text = Text {
            kind,
            code,
            company,
            client,
            url,
        };
        let html = Html {
            kind,
            code,
            company,
            client,
            url,
        };
        let (text, html) = (text.render()?, html.render()?);
        let id = format!("<{}@{}>", ids::new("mail")?, from.email.domain());
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, self.to.address().clone()))
            .subject(self.kind.subject())
            .message_id(Some(id))
            .header(AutoSubmitted)
            .multipart(MultiPart::alternative_plain_html(text.clone(), html))?;
        Ok(Written { message, text })
    }
}

/// A letter that can be sent, and what a person reads of it.
pub(super) struct Written {
    pub(super) message: Message,
    pub(super) text: String,
}

/// Tells other programs not to answer (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(kind: Kind) -> String {
        let letter = Letter {
            to: Email::parse("anna@example.com").unwrap(),
            kind,
            good_for: Duration::from_mins(10),
        };
        let from = "Service Fusion MCP <mcp@example.com>".parse().unwrap();
        let written = letter.write(&from, "https://mcp.example.com").unwrap();
        String::from_utf8(written.message.formatted())
            .unwrap()
            .replace("\r\n", "\n")
    }

    /// Without what differs each time.
    fn steady(mail: &str) -> String {
        let boundary = mail
            .split_once("boundary=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map_or("", |(boundary, _)| boundary);
        let mail = mail.replace(boundary, "BOUNDARY");
        mail.lines()
            .map(|line| match line.split_once(": ") {
                Some((name @ ("Date" | "Message-ID"), _)) => format!("{name}: …"),
                _ => line.to_owned(),
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn mails_read_well() {
        let code = || SecretString::from("042137");
        let company = || "Comfort Air & Sons".to_owned();
        for kind in [
            Kind::SignUp { code: code() },
            Kind::Known {
                company: company(),
                code: code(),
            },
            Kind::SignIn {
                code: code(),
                client: Some("Claude".to_owned()),
            },
            Kind::Invited { company: company() },
            Kind::NoAccount,
        ] {
            insta::assert_snapshot!(kind.name(), steady(&mail(kind)));
        }
    }

    #[test]
    fn a_company_name_is_text_and_stays_out_of_the_headers() {
        let company = "<b>x</b>\" Bcc: bert@example.com".to_owned();
        let code = SecretString::from("042137");
        let mail = mail(Kind::Known { company, code });
        let (headers, body) = mail.split_once("\n\n").unwrap();
        assert!(!headers.contains("bert"), "{headers}");
        assert!(!headers.contains("042137"), "{headers}");
        let (_, html) = body.split_once("text/html").unwrap();
        assert!(!html.contains("<b>"), "{html}");
        assert!(headers.contains("Auto-Submitted: auto-generated"));
        assert!(mail.contains("@example.com>"), "an id of our domain");
    }
}
