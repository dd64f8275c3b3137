//! What stands around a page's own content.

use super::{assets, nav::Link};
use crate::{
    app::App,
    browser::{Browser, Forms},
};

/// For `base.html`.
#[derive(Clone, Debug)]
pub struct Frame {
    pub title: String,
    /// Who is signed in.
    pub email: Option<String>,
    pub is_operator: bool,
    /// The company that the page is about, or empty.
    pub company: String,
    pub nav: Vec<Link>,
    pub notice: Option<Notice>,
    /// One column, for a form or a message.
    pub is_narrow: bool,
    forms: Option<Forms>,
}

/// One sentence about what has just happened.
#[derive(Clone, Debug)]
pub struct Notice {
    /// `ok`, `warn` or `bad`.
    pub kind: &'static str,
    pub text: String,
}

impl Notice {
    pub fn ok(text: impl Into<String>) -> Self {
        Self::of("ok", text)
    }

    pub fn warn(text: impl Into<String>) -> Self {
        Self::of("warn", text)
    }

    pub fn bad(text: impl Into<String>) -> Self {
        Self::of("bad", text)
    }

    fn of(kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

impl Frame {
    /// For whoever looks; it can have no forms.
    pub fn plain(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            email: None,
            is_operator: false,
            company: String::new(),
            nav: Vec::new(),
            notice: None,
            is_narrow: true,
            forms: None,
        }
    }

    /// For this browser, with forms, and its person if one is signed in.
    pub fn new(app: &App, browser: &Browser, title: impl Into<String>) -> Self {
        let email = browser.email.clone();
        let is_operator = email
            .as_ref()
            .is_some_and(|email| app.config.operators.contains(email));
        Self {
            email,
            is_operator,
            is_narrow: false,
            forms: Some(browser.forms(app)),
            ..Self::plain(title)
        }
    }

    #[must_use]
    pub fn narrow(mut self) -> Self {
        self.is_narrow = true;
        self
    }

    #[must_use]
    pub fn company(mut self, name: &str) -> Self {
        name.clone_into(&mut self.company);
        self
    }

    #[must_use]
    pub fn nav(mut self, nav: Vec<Link>) -> Self {
        self.nav = nav;
        self
    }

    #[must_use]
    pub fn notice(mut self, notice: Option<Notice>) -> Self {
        self.notice = notice;
        self
    }

    /// What the form to that path carries as `form_token`, beside the path itself as `request`.
    pub fn token(&self, path: &str) -> String {
        let forms = self.forms.as_ref();
        forms.map(|forms| forms.token(path)).unwrap_or_default()
    }

    pub fn style(&self) -> &'static str {
        assets::STYLE.path()
    }

    pub fn script(&self) -> &'static str {
        assets::SCRIPT.path()
    }

    pub fn icon(&self) -> &'static str {
        assets::ICON.path()
    }
}
