//! Who looks at a page, and whether it is theirs to see. The session says who; the path only chooses among what is theirs.

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use url::form_urlencoded::byte_serialize;

use crate::{
    app::App,
    browser::Browser,
    error::Problem,
    pages::{self, Frame, Instead},
    params::Params,
    sign_in,
    store::{Member, Tenant},
    web,
};

/// The operators' panel asks for another sign-in when it was not used for so long, in ms.
const IDLE: i64 = 30 * 60_000;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub browser: Browser,
    /// In lower case.
    pub email: String,
}

/// Somebody who may use the operators' panel.
#[derive(Clone, Debug)]
pub struct Operator {
    pub visitor: Visitor,
    /// When they signed in, in Unix ms.
    pub since: i64,
}

impl Visitor {
    /// The frame of a page for this person.
    pub fn frame(&self, app: &App, title: impl Into<String>) -> Frame {
        Frame::new(app, &self.browser, title)
    }
}

/// Who is signed in; others are sent to sign in and come back afterwards.
pub async fn signed_in(app: &App, headers: &HeaderMap) -> Result<Visitor, Instead> {
    let browser = Browser::of(app, headers).await?;
    if let Some(email) = browser.email.clone() {
        return Ok(Visitor { browser, email });
    }
    let asked = web::address();
    let location = match sign_in::safe(&asked) {
        Some(next) => {
            let next: String = byte_serialize(next.as_bytes()).collect();
            format!("/sign-in?next={next}")
        }
        None => "/sign-in".to_owned(),
    };
    Err(pages::see_other(&location, Some(browser)).into())
}

/// A person of that company. To others the company is not there.
pub async fn member(
    app: &App,
    headers: &HeaderMap,
    tenant_id: &str,
) -> Result<(Visitor, Tenant, Member), Instead> {
    let visitor = signed_in(app, headers).await?;
    let known = app.store.memberships(&visitor.email).await?;
    let member = known
        .into_iter()
        .find(|member| member.tenant_id == tenant_id);
    let tenant = app.store.tenant(tenant_id).await?;
    let (Some(member), Some(tenant)) = (member, tenant) else {
        return Err(pages::not_found().into());
    };
    if tenant.suspended_at.is_some() {
        let frame = visitor.frame(app, "Access is suspended").narrow();
        let text = format!(
            "The operator of this service has suspended the access of {}. Nothing is lost; ask the operator to resume it.",
            tenant.company
        );
        return Err(pages::says(StatusCode::FORBIDDEN, frame, &text, None).into());
    }
    Ok((visitor, tenant, member))
}

/// As `member`, and only for owners.
pub async fn owner(
    app: &App,
    headers: &HeaderMap,
    tenant_id: &str,
) -> Result<(Visitor, Tenant, Member), Instead> {
    let (visitor, tenant, member) = member(app, headers, tenant_id).await?;
    if member.is_owner() {
        return Ok((visitor, tenant, member));
    }
    let frame = visitor.frame(app, "Only an owner may do that").narrow();
    let text = format!("Ask the person who signed {} up.", tenant.company);
    let back = format!("/app/{}", tenant.id);
    let next = Some((&*back, "Back to the overview"));
    Err(pages::says(StatusCode::FORBIDDEN, frame, &text, next).into())
}

/// An operator of this service. To others there is nothing here. The panel's sessions end when nobody uses them.
pub async fn operator(app: &App, headers: &HeaderMap) -> Result<Operator, Instead> {
    let visitor = signed_in(app, headers).await?;
    if !app.config.operators.contains(&visitor.email) {
        return Err(pages::not_found().into());
    }
    if let Some(since) = visitor.browser.operates(app, IDLE).await? {
        return Ok(Operator { visitor, since });
    }
    let asked = web::address();
    let next = sign_in::safe(&asked).unwrap_or("/admin");
    Err(sign_in_again(app, visitor, next).await?.into())
}

/// Ends the session, and leads back to `next` after another sign-in.
pub async fn sign_in_again(app: &App, visitor: Visitor, next: &str) -> Result<Response, Problem> {
    let browser = visitor.browser.sign_out(app).await?;
    let next: String = byte_serialize(next.as_bytes()).collect();
    let location = format!("/sign-in?next={next}");
    Ok(pages::see_other(&location, Some(browser)))
}

/// The fields of a form that one of our pages gave to this browser for this very path. Ask it before anything else of a
/// POST; who sent it is asked of the functions above.
pub async fn form(
    app: &App,
    headers: &HeaderMap,
    uri: &Uri,
    body: &Bytes,
) -> Result<Params, Instead> {
    let form = Params::parse(body);
    Browser::posted(app, headers, &form).await?;
    if form.get("request") != Some(uri.path()) {
        let detail =
            "This form belongs to another page. Go back, load that page again and try once more.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign_form", detail).into());
    }
    Ok(form)
}
