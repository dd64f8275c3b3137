//! Companies and AI clients that join: each step is answered by whichever replica it meets.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sf_mcp::sandbox::{CLIENT_ID, CLIENT_SECRET};
use sha2::{Digest, Sha256};

use super::{LEGACY, MODERN, ScaledOut, Told, is_possible, marked, told};
use crate::support::{mailbox::code_in, until};

const REDIRECT: &str = "http://127.0.0.1:3118/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// The code in the newest of so many mails to the address.
async fn code(scaled: &ScaledOut, email: &str, mails: usize) -> String {
    let folder = scaled.around.mail();
    let mail = until("mail", async || {
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .ok()?
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "eml"))
            .collect();
        files.sort();
        let mut found = files.iter().filter_map(|path| {
            let mail = std::fs::read_to_string(path).ok()?.replace("\r\n", "\n");
            mail.contains(&format!("To: {email}\n")).then_some(mail)
        });
        found.nth(mails - 1)
    })
    .await;
    code_in(&mail).unwrap()
}

/// A company's token, after the three steps of a sign-up.
async fn signed_up(scaled: &ScaledOut, email: &str) -> String {
    let form = json!({"company": "Comfort Air", "email": email});
    let registered = told(scaled.post("/api/register", &form)).await;
    assert_eq!(registered.status, 202, "{}", registered.text);
    let otp = code(scaled, email, 1).await;
    let form = json!({"email": email, "otp": otp});
    let confirmed = told(scaled.post("/api/confirm", &form)).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let token = confirmed.body["activation_token"].as_str().unwrap();
    let form = json!({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET});
    let active = told(scaled.post("/api/activate", &form).bearer_auth(token)).await;
    assert_eq!(active.status, 201, "{}", active.text);
    assert_eq!(active.body["mcp_url"], format!("{}/mcp", scaled.url));
    active.body["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_company_signs_up_over_several_replicas() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    for round in 0_u64.. {
        assert!(round < 12, "every sign-up met one replica alone");
        let before = scaled.nginx.served().len();
        let token = signed_up(&scaled, &format!("owner{round}@example.com")).await;
        let told = scaled.call(&token, &marked(LEGACY, round, "Elm")).await;
        assert_eq!(told.status, 200, "{}", told.text);
        assert_eq!(told.body["id"], round);
        assert!(told.text.contains("Elm"), "{}", told.text);
        let met: HashSet<String> = scaled.nginx.served()[before..before + 3]
            .iter()
            .map(|served| served.to[0].clone())
            .collect();
        if met.len() > 1 {
            break;
        }
    }
}

/// A person's browser: one cookie, and forms that say where they come from.
struct Browser<'a> {
    scaled: &'a ScaledOut,
    cookie: Option<String>,
}

impl Browser<'_> {
    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Told {
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let page = told(request).await;
        if let Some(cookie) = page.headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("Secure"), "{cookie}");
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        }
        page
    }

    async fn open(&mut self, query: &str) -> Told {
        let url = format!("{}/oauth/authorize?{query}", self.scaled.url);
        self.send(self.scaled.http.get(url)).await
    }

    async fn submit(&mut self, page: &Told, path: &str, more: &[(&str, &str)]) -> Told {
        let (request, token) = (field(page, "request"), field(page, "form_token"));
        let mut form = vec![
            ("request", request.as_str()),
            ("form_token", token.as_str()),
        ];
        form.extend_from_slice(more);
        let request = form_of(self.scaled, path, &form).header("origin", &self.scaled.url);
        self.send(request).await
    }
}

fn form_of(scaled: &ScaledOut, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
    scaled
        .http
        .post(format!("{}{path}", scaled.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(form))
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// The value of a hidden field.
fn field(page: &Told, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.text.split_once(&start);
    assert!(rest.is_some(), "{}: no {name}: {}", page.status, page.text);
    let (value, _) = rest.unwrap().1.split_once('"').unwrap();
    value.replace("&#38;", "&").replace("&amp;", "&")
}

fn location(page: &Told) -> String {
    assert_eq!(page.status, 303, "{}", page.text);
    page.headers["location"].to_str().unwrap().to_owned()
}

/// The whole way of a client that is connected: its id and tokens.
async fn let_in(scaled: &ScaledOut, email: &str, mails: usize) -> (String, Value) {
    let said = json!({"client_name": "Test", "redirect_uris": [REDIRECT]});
    let client = told(scaled.post("/oauth/register", &said)).await;
    assert_eq!(client.status, 201, "{}", client.text);
    let client_id = client.body["client_id"].as_str().unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let query = encoded(&[
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", REDIRECT),
        ("state", "1"),
        ("scope", "sf:read sf:write"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("resource", &format!("{}/mcp", scaled.url)),
    ]);
    let mut browser = Browser {
        scaled,
        cookie: None,
    };
    let page = browser.open(&query).await;
    let email = [("email", email)];
    let page = browser.submit(&page, "/oauth/sign-in", &email).await;
    let otp = code(scaled, email[0].1, mails).await;
    let known = [email[0], ("otp", otp.as_str())];
    let page = browser.submit(&page, "/oauth/code", &known).await;
    let query = location(&page).split_once('?').unwrap().1.to_owned();
    let page = browser.open(&query).await;
    let tenant = field(&page, "tenant_id");
    let consent = [
        ("tenant_id", tenant.as_str()),
        ("decision", "allow"),
        ("write", "yes"),
    ];
    let page = browser.submit(&page, "/oauth/consent", &consent).await;
    let back = url::Url::parse(&location(&page)).unwrap();
    let (_, code) = back.query_pairs().find(|(name, _)| name == "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT),
    ];
    let tokens = told(form_of(scaled, "/oauth/token", &form)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    (client_id.to_owned(), tokens.body)
}

#[tokio::test]
async fn a_client_is_let_in_over_several_replicas_and_stays_in() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    let owner = scaled.company("owner@example.com").await;
    scaled.connect(&owner).await;
    let (client_id, mut tokens) = let_in(&scaled, "owner@example.com", 1).await;
    // Seven steps by now; each refresh is one more.
    for round in 0..8 {
        let token = tokens["access_token"].as_str().unwrap();
        let told_all = scaled.call(token, &marked(MODERN, round, "Oak")).await;
        assert_eq!(told_all.status, 200, "{}", told_all.text);
        assert_eq!(told_all.body["id"], round);
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id.as_str()),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ];
        let renewed = told(form_of(&scaled, "/oauth/token", &form)).await;
        assert_eq!(renewed.status, 200, "{}", renewed.text);
        tokens = renewed.body;
    }
    let met: HashSet<String> = scaled
        .nginx
        .served()
        .iter()
        .filter(|served| served.path.starts_with("/oauth/"))
        .map(|served| served.to[0].clone())
        .collect();
    assert!(met.len() > 1, "every step met one replica alone");
}
