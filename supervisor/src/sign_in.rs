//! Signing in to the pages by e-mail address and six digits, and out again.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    app::App,
    browser::Browser,
    email::Email,
    error::Problem,
    mailer::{Kind as Mail, Letter},
    one_time_codes::{self, Use},
    pages::{self, Frame, Instead, page, see_other},
    params::Params,
    visitor,
    web::Source,
};

/// What a person may come back to after a sign-in begins with one of these.
const PLACES: [&str; 3] = ["/app", "/admin", "/sign-up"];
/// Characters of such an address.
const LONGEST_NEXT: usize = 512;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    frame: Frame,
    email: &'a str,
    next: &'a str,
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "code.html")]
struct Code<'a> {
    frame: Frame,
    email: &'a str,
    next: &'a str,
    problem: &'a str,
}

/// For strangers; limits are those of the codes.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/sign-in", get(show).post(address))
        .route("/sign-in/code", get(begin_again).post(code))
        .route("/sign-out", post(sign_out))
}

/// The address, if a sign-in may lead there: a page of ours and never another host's.
pub fn safe(next: &str) -> Option<&str> {
    let usual = next.len() <= LONGEST_NEXT
        && next
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !next.contains("//");
    let known = PLACES.iter().any(|place| {
        let rest = next.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    });
    // `/app/../oauth` is none of these places.
    let path = next.split('?').next().unwrap_or_default();
    let is_step = |part: &str| {
        let part = part.to_ascii_lowercase().replace("%2e", ".");
        part == "." || part == ".."
    };
    (usual && known && !path.split('/').any(is_step)).then_some(next)
}

#[derive(Deserialize)]
struct Asked {
    next: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Instead> {
    let browser = Browser::of(&app, &headers).await?;
    let next = asked.next.as_deref().and_then(safe).unwrap_or_default();
    if let Some(email) = &browser.email {
        return Ok(see_other(destination(&app, email, next).await?, None));
    }
    Ok(address_page(&app, browser, StatusCode::OK, "", next, ""))
}

async fn begin_again() -> Response {
    see_other("/sign-in", None)
}

fn address_page(
    app: &App,
    browser: Browser,
    status: StatusCode,
    email: &str,
    next: &str,
    problem: &str,
) -> Response {
    let form = SignIn {
        frame: Frame::new(app, &browser, "Sign in").narrow(),
        email,
        next,
        problem,
    };
    page(status, &form, Some(browser))
}

/// An address was given: it gets a mail, and whether it is known is said in the mail alone.
async fn address(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let browser = Browser::of(&app, &headers).await?;
    let (typed, next) = (form.get("email").unwrap_or_default(), next(&form));
    let Ok(email) = Email::parse(typed) else {
        let problem = "Give one e-mail address, such as name@example.com.";
        return Ok(address_page(
            &app,
            browser,
            StatusCode::BAD_REQUEST,
            typed,
            next,
            problem,
        ));
    };
    match send(&app, source, &email).await {
        Ok(()) => Ok(code_page(&app, browser, &email, next, None)),
        Err(problem) => {
            let status = problem.status;
            Ok(address_page(
                &app,
                browser,
                status,
                typed,
                next,
                &problem.detail,
            ))
        }
    }
}

/// Nothing told apart: an unknown address gets a code too that nobody is told.
async fn send(app: &App, source: Source, email: &Email) -> Result<(), Problem> {
    let code = app.codes.create(email, &source.network(), None).await?;
    let known = app.store.memberships(email.as_str()).await?;
    let is_operator = app
        .config
        .operators
        .iter()
        .any(|known| known == email.as_str());
    let kind = if known.is_empty() && !is_operator {
        Mail::NoAccount
    } else {
        Mail::SignIn { code, client: None }
    };
    app.mailer.send(Letter {
        to: email.clone(),
        kind,
        good_for: one_time_codes::LIFE,
    });
    Ok(())
}

fn code_page(
    app: &App,
    browser: Browser,
    email: &Email,
    next: &str,
    problem: Option<&Problem>,
) -> Response {
    let form = Code {
        frame: Frame::new(app, &browser, "Look into your mail").narrow(),
        email: email.as_str(),
        next,
        problem: problem.map_or("", |problem| &problem.detail),
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    page(status, &form, Some(browser))
}

/// The digits were given.
async fn code(
    State(app): State<Arc<App>>,
    source: Source,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let browser = Browser::of(&app, &headers).await?;
    let next = next(&form);
    let Ok(email) = Email::parse(form.get("email").unwrap_or_default()) else {
        return Ok(address_page(
            &app,
            browser,
            StatusCode::BAD_REQUEST,
            "",
            next,
            "",
        ));
    };
    let otp = form.get("otp").unwrap_or_default();
    let network = source.network();
    if let Err(refused) = app.codes.check(&email, &network, otp, Use::Spend).await {
        let problem = Problem::from(refused);
        return Ok(code_page(&app, browser, &email, next, Some(&problem)));
    }
    let browser = browser.sign_in(&app, &email).await?;
    let location = destination(&app, email.as_str(), next).await?;
    Ok(see_other(location, Some(browser)))
}

/// Where the person wanted to go, else to what they have.
async fn destination<'a>(app: &App, email: &str, next: &'a str) -> Result<&'a str, Problem> {
    if !next.is_empty() {
        return Ok(next);
    }
    let operates = app.config.operators.iter().any(|known| known == email);
    if operates && app.store.memberships(email).await?.is_empty() {
        return Ok("/admin");
    }
    Ok("/app")
}

fn next(form: &Params) -> &str {
    form.get("next").and_then(safe).unwrap_or_default()
}

async fn sign_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    visitor::form(&app, &headers, &uri, &body).await?;
    let browser = Browser::of(&app, &headers).await?;
    let browser = browser.sign_out(&app).await?;
    Ok(pages::see_other("/", Some(browser)))
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn a_sign_in_leads_to_our_own_pages_alone() {
        for next in [
            "/app",
            "/app/ten_1/usage?days=7",
            "/admin",
            "/admin?q=a%20b",
            "/sign-up/connect",
        ] {
            assert_eq!(safe(next), Some(next));
        }
        for next in [
            "",
            "/",
            "//evil.example",
            "/app//evil.example",
            "/\\evil.example",
            "/app\\evil",
            "/app/../oauth/authorize",
            "/app/.%2E/oauth/authorize",
            "/app/..?x",
            "https://evil.example/app",
            "/application",
            "/api/export",
            "/app\r\nset-cookie: a=b",
            "javascript:alert(1)",
        ] {
            assert_eq!(safe(next), None, "{next}");
        }
    }
}
