//! A person's browser, and the mails it takes to sign in.

use super::encoded;
use crate::support::Service;

/// What came back, and the page.
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) html: String,
    pub(super) headers: reqwest::header::HeaderMap,
}

impl Page {
    /// The value of a hidden field.
    pub(super) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        assert!(self.html.contains(&start), "no {name}: {}", self.html);
        let (_, rest) = self.html.split_once(&start).unwrap();
        let (value, _) = rest.split_once('"').unwrap();
        value
            .replace("&#38;", "&")
            .replace("&amp;", "&")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
    }

    /// The parameters with which the browser is sent back.
    pub(super) fn sent(&self) -> std::collections::HashMap<String, String> {
        assert!(self.location.is_some(), "{} {}", self.status, self.html);
        let location = self.location.as_deref().unwrap();
        let url = url::Url::parse(location).unwrap();
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let count = pairs.len();
        let map: std::collections::HashMap<_, _> = pairs.into_iter().collect();
        assert_eq!(map.len(), count, "{location}");
        map
    }
}

/// A person's browser: cookies, and forms that say where they come from.
#[derive(Clone)]
pub(super) struct Browser {
    http: reqwest::Client,
    url: String,
    pub(super) cookie: Option<String>,
    pub(super) origin: Option<String>,
}

impl Browser {
    pub(super) fn new(service: &Service) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            http: http.build().unwrap(),
            url: service.url.clone(),
            cookie: None,
            origin: Some(service.url.clone()),
        }
    }

    pub(super) async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Page {
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let answer = request.send().await.unwrap();
        if let Some(cookie) = answer.headers().get("set-cookie") {
            let text = cookie.to_str().unwrap();
            assert!(text.contains("; HttpOnly; SameSite=Lax"), "{text}");
            self.cookie = Some(text.split(';').next().unwrap().to_owned());
        }
        let headers = answer.headers().clone();
        Page {
            status: answer.status().as_u16(),
            location: headers
                .get("location")
                .map(|value| value.to_str().unwrap().to_owned()),
            html: answer.text().await.unwrap(),
            headers,
        }
    }

    pub(super) async fn open(&mut self, query: &str) -> Page {
        let request = self
            .http
            .get(format!("{}/oauth/authorize?{query}", self.url));
        self.send(request).await
    }

    pub(super) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        let mut request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(form));
        if let Some(origin) = &self.origin {
            request = request.header("origin", origin);
        }
        self.send(request).await
    }

    /// Sends a page's form with further fields.
    pub(super) async fn submit(&mut self, page: &Page, path: &str, more: &[(&str, &str)]) -> Page {
        let (request, token) = (page.field("request"), page.field("form_token"));
        let mut form = vec![
            ("request", request.as_str()),
            ("form_token", token.as_str()),
        ];
        form.extend_from_slice(more);
        self.post(path, &form).await
    }

    /// Signs in and returns the consent page.
    pub(super) async fn sign_in(&mut self, service: &Service, query: &str, email: &str) -> Page {
        let page = self.open(query).await;
        assert_eq!(page.status, 200, "{}", page.html);
        let before = service.mails_now(email).len();
        let page = self
            .submit(&page, "/oauth/sign-in", &[("email", email)])
            .await;
        assert_eq!(page.status, 200, "{}", page.html);
        assert!(page.html.contains("autocomplete=\"one-time-code\""));
        let mails = service.mails(email, before + 1).await;
        assert!(
            mails
                .last()
                .unwrap()
                .contains("a program that calls itself")
        );
        let code = digits(mails.last().unwrap());
        let planted = self.cookie.clone();
        let page = self
            .submit(&page, "/oauth/code", &[("email", email), ("otp", &code)])
            .await;
        assert_eq!(page.status, 303, "{}", page.html);
        assert_ne!(self.cookie, planted, "the session id changes");
        let location = page.location.unwrap();
        let (_, query) = location.split_once('?').unwrap();
        self.open(query).await
    }

    /// Allows what the consent page says and returns the code.
    pub(super) async fn allow(&mut self, page: &Page, write: bool) -> String {
        let tenant = page.field("tenant_id");
        let mut more = vec![("tenant_id", tenant.as_str()), ("decision", "allow")];
        if write {
            more.push(("write", "yes"));
        }
        let page = self.submit(page, "/oauth/consent", &more).await;
        page.sent()["code"].clone()
    }
}

/// The six digits of a mail.
pub(super) fn digits(mail: &str) -> String {
    mail.lines()
        .map(str::trim)
        .find(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()))
        .unwrap()
        .to_owned()
}
