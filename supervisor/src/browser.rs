//! A person's browser: its cookie, and whether a form it sends is one that this service gave to it.

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use crate::{
    app::App, email::Email, error::Problem, master_key::MasterKeys, params::Params, tokens,
};

/// How long a sign-in lasts.
const LIFE: i64 = 8 * 3_600_000;

/// A browser by its cookie; forms are bound to it before somebody has signed in, too.
#[derive(Clone, Debug)]
pub struct Browser {
    hash: String,
    /// Who has signed in.
    pub email: Option<String>,
    /// The cookie to set, if it is a new one.
    cookie: Option<HeaderValue>,
}

impl Browser {
    /// The browser of a request; one without a cookie gets a new one.
    pub async fn of(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = value(app, headers) else {
            return Self::fresh(app);
        };
        let hash = tokens::hash(value);
        let email = app.store.session(&hash, app.clock.now()).await?;
        Ok(Self {
            hash,
            email,
            cookie: None,
        })
    }

    /// The browser of a form: it must come from a page of ours that was given to this browser for this request. What
    /// the field `request` says is for the caller to judge: an OAuth request, or the form's own path.
    pub async fn posted(app: &App, headers: &HeaderMap, form: &Params) -> Result<Self, Problem> {
        let stale = || {
            Problem::new(
                axum::http::StatusCode::FORBIDDEN,
                "foreign_form",
                "This form is not from a page that this service gave your browser, or cookies are switched off. Go back to where you came from, load that page again and try once more.",
            )
        };
        if !is_own_page(app, headers) || value(app, headers).is_none() {
            return Err(stale());
        }
        let browser = Self::of(app, headers).await?;
        let expected = browser.form_token(app, form.get("request").unwrap_or_default());
        let given = form.get("form_token").unwrap_or_default();
        if bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
            Ok(browser)
        } else {
            Err(stale())
        }
    }

    /// What a form must carry that this browser sends about this request.
    pub fn form_token(&self, app: &App, request: &str) -> String {
        app.master.form_token(&self.hash, request)
    }

    /// Makes the tokens of a page's forms.
    pub fn forms(&self, app: &App) -> Forms {
        Forms {
            master: app.master.clone(),
            browser: self.hash.clone(),
        }
    }

    /// Somebody has signed in: the browser gets another cookie, so that one planted before is worth nothing.
    pub async fn sign_in(self, app: &App, email: &Email) -> Result<Self, Problem> {
        let fresh = Self::fresh(app)?;
        let now = app.clock.now();
        app.store
            .add_session(&fresh.hash, &self.hash, email.as_str(), now, now + LIFE)
            .await?;
        Ok(Self {
            email: Some(email.as_str().to_owned()),
            ..fresh
        })
    }

    /// An operator uses the panel: since when this browser is signed in, unless it was left alone there for so long (ms).
    pub async fn operates(&self, app: &App, idle: i64) -> Result<Option<i64>, Problem> {
        let now = app.clock.now();
        let since = app.store.operate_session(&self.hash, now, now - idle);
        Ok(since.await?)
    }

    pub async fn sign_out(self, app: &App) -> Result<Self, Problem> {
        app.store.end_session(&self.hash).await?;
        Self::fresh(app)
    }

    /// Sets the cookie, if it is a new one.
    pub fn remember(self, headers: &mut HeaderMap) {
        if let Some(cookie) = self.cookie {
            headers.insert(header::SET_COOKIE, cookie);
        }
    }

    fn fresh(app: &App) -> Result<Self, Problem> {
        let new = tokens::with_prefix("sfs_")?;
        let secure = if is_https(app) { "; Secure" } else { "" };
        let cookie = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
            name(app),
            new.token.expose_secret(),
            LIFE / 1000
        );
        let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| Problem::internal())?;
        cookie.set_sensitive(true);
        Ok(Self {
            hash: new.hash,
            email: None,
            cookie: Some(cookie),
        })
    }
}

/// The forms of one page for one browser.
#[derive(Clone, Debug)]
pub struct Forms {
    master: MasterKeys,
    browser: String,
}

impl Forms {
    /// What the form to that path carries beside the path itself.
    pub fn token(&self, path: &str) -> String {
        self.master.form_token(&self.browser, path)
    }
}

fn is_https(app: &App) -> bool {
    app.config.public_url.starts_with("https://")
}

/// Browsers take the prefix only over https, and then from this very host alone.
fn name(app: &App) -> &'static str {
    if is_https(app) {
        "__Host-sf_session"
    } else {
        "sf_session"
    }
}

/// The cookie; of two with one name none counts.
fn value<'a>(app: &App, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = name(app);
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value);
    let first = found.next().filter(|_| found.next().is_none())?;
    (first.len() == 47 && first.starts_with("sfs_")).then_some(first)
}

/// Browsers say where a form comes from; those that do not say so say at least that it is from here.
fn is_own_page(app: &App, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => origin.as_bytes() == app.config.public_url.as_bytes(),
        (None, None) => headers
            .get("sec-fetch-site")
            .is_some_and(|site| site.as_bytes() == b"same-origin"),
        _ => false,
    }
}
