//! The pages on the way to a consent.

use askama::Template;

use crate::pages::Frame;

/// Who signs in, by address.
#[derive(Template)]
#[template(path = "oauth/sign_in.html")]
pub(super) struct SignIn<'a> {
    pub(super) frame: Frame,
    pub(super) client: &'a str,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
    pub(super) problem: &'a str,
}

/// The six digits.
#[derive(Template)]
#[template(path = "oauth/code.html")]
pub(super) struct Code<'a> {
    pub(super) frame: Frame,
    pub(super) client: &'a str,
    pub(super) email: &'a str,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
    pub(super) problem: &'a str,
}

/// A company that the person is in.
pub(super) struct Company {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) writes: bool,
}

/// What is allowed, and to whom.
#[derive(Template)]
#[template(path = "oauth/consent.html")]
pub(super) struct Consent<'a> {
    pub(super) frame: Frame,
    pub(super) client: &'a str,
    /// The host of the client's document, else empty: nothing proves who it is.
    pub(super) client_host: &'a str,
    pub(super) redirect_host: &'a str,
    pub(super) is_loopback: bool,
    pub(super) email: &'a str,
    pub(super) companies: &'a [Company],
    pub(super) offers_write: bool,
    pub(super) asks_write: bool,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
}

/// Something to read, for somebody who may be somebody else.
#[derive(Template)]
#[template(path = "oauth/message.html")]
pub(super) struct Message<'a> {
    pub(super) frame: Frame,
    pub(super) text: &'a str,
    pub(super) request: &'a str,
    pub(super) form_token: &'a str,
}
