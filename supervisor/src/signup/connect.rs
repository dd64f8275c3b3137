//! Step three as a page: the credentials of Service Fusion, now or to replace those of before. Who is signed in as an
//! owner may do it; there is no other token in the page.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
    routing::get,
};
use sf_mcp::sandbox;

use super::{
    activate::{store, take_proof},
    browser::{self, PAGE, begun},
    confirm::activation,
    proof::Client,
};
use crate::{
    account::set_time_zone,
    app::App,
    error::Problem,
    pages::{
        Frame, Instead,
        nav::{self, Place},
        page, see_other,
    },
    params::Params,
    store::{Member, Tenant},
    time_zone,
    visitor::{self, Visitor},
    web::{Caller, to_the_end},
};

/// Which of the two forms was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// An OAuth Consumer's id and secret.
    Consumer,
    /// An OAuth App, which the person allows at Service Fusion.
    Browser,
}

#[derive(Template)]
#[template(path = "signup/connect.html")]
struct Connect<'a> {
    frame: Frame,
    path: &'a str,
    tenant: &'a Tenant,
    redirect_uri: &'a str,
    /// In `--dev`: the id and secret of the sandbox's consumer, and of its app.
    practice: Option<[(&'static str, &'static str); 2]>,
    typed: &'a Typed,
    way: Way,
    problem: &'a str,
}

/// What stays in the form when something is wrong with it; never the secret.
#[derive(Debug, Default)]
struct Typed {
    client_id: String,
    time_zone: String,
}

/// Where the person goes to allow it.
#[derive(Template)]
#[template(path = "signup/allow.html")]
struct Allow<'a> {
    frame: Frame,
    path: &'a str,
    is_new: bool,
    authorize_url: &'a str,
    host: &'a str,
}

/// For owners who are signed in.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/sign-up/connect", get(show_first).post(first))
        .route("/app/{tenant_id}/reconnect", get(show_again).post(again))
}

/// An owner, at one of the two addresses.
struct Visit {
    visitor: Visitor,
    tenant: Tenant,
    owner: Member,
    path: String,
}

impl Visit {
    async fn first(app: &App, headers: &HeaderMap) -> Result<Self, Instead> {
        let visitor = visitor::signed_in(app, headers).await?;
        let Some(tenant) = app.store.owned_tenant(&visitor.email).await? else {
            return Err(see_other("/", None).into());
        };
        let (visitor, tenant, owner) = visitor::owner(app, headers, &tenant.id).await?;
        let path = "/sign-up/connect".to_owned();
        Ok(Self {
            visitor,
            tenant,
            owner,
            path,
        })
    }

    async fn again(app: &App, headers: &HeaderMap, tenant_id: &str) -> Result<Self, Instead> {
        let (visitor, tenant, owner) = visitor::owner(app, headers, tenant_id).await?;
        let path = format!("/app/{tenant_id}/reconnect");
        Ok(Self {
            visitor,
            tenant,
            owner,
            path,
        })
    }

    fn is_new(&self) -> bool {
        self.tenant.activated_at.is_none()
    }

    fn frame(&self, app: &App, title: &str) -> Frame {
        let frame = self.visitor.frame(app, title);
        if self.is_new() {
            return frame.company(&self.tenant.company);
        }
        let nav = nav::company(&self.tenant.id, Place::Settings);
        frame.company(&self.tenant.company).nav(nav)
    }

    fn page(self, app: &App, typed: &Typed, way: Way, problem: Option<&Problem>) -> Response {
        let title = if self.is_new() {
            "Connect Service Fusion"
        } else {
            "Replace the connection"
        };
        let connect = Connect {
            frame: self.frame(app, title),
            path: &self.path,
            tenant: &self.tenant,
            redirect_uri: &browser::redirect_uri(app),
            practice: practice(app),
            typed,
            way,
            problem: &problem.map(worded).unwrap_or_default(),
        };
        let status = problem.map_or(StatusCode::OK, |problem| problem.status);
        page(status, &connect, Some(self.visitor.browser))
    }
}

/// The form's words for what programs call otherwise.
fn worded(problem: &Problem) -> String {
    let detail = problem.detail.replace("`client_id`", "The client id");
    let detail = detail.replace("`client_secret`", "The client secret");
    detail.replace("`time_zone`", "The time zone")
}

/// What the sandbox takes; on no service but one that plays.
fn practice(app: &App) -> Option<[(&'static str, &'static str); 2]> {
    let plays = app.config.dev && app.config.api_url.starts_with("http://127.0.0.1:");
    plays.then_some([
        (sandbox::CLIENT_ID, sandbox::CLIENT_SECRET),
        (sandbox::APP_CLIENT_ID, sandbox::APP_CLIENT_SECRET),
    ])
}

async fn show_first(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let visit = Visit::first(&app, &headers).await?;
    Ok(visit.page(&app, &Typed::default(), Way::Consumer, None))
}

async fn show_again(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(tenant_id): Path<String>,
) -> Result<Response, Instead> {
    let visit = Visit::again(&app, &headers, &tenant_id).await?;
    Ok(visit.page(&app, &Typed::default(), Way::Consumer, None))
}

async fn first(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::first(&app, &headers).await?;
    Ok(sent(app, visit, &form).await)
}

async fn again(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Path(tenant_id): Path<String>,
    body: Bytes,
) -> Result<Response, Instead> {
    let form = visitor::form(&app, &headers, &uri, &body).await?;
    let visit = Visit::again(&app, &headers, &tenant_id).await?;
    Ok(sent(app, visit, &form).await)
}

/// One of the two forms; what is wrong with it is said on the page, which keeps the id and never the secret.
async fn sent(app: Arc<App>, visit: Visit, form: &Params) -> Response {
    let way = match form.get("way") {
        Some("browser") => Way::Browser,
        _ => Way::Consumer,
    };
    let typed = Typed {
        client_id: form.get("client_id").unwrap_or_default().to_owned(),
        time_zone: form.get("time_zone").unwrap_or_default().to_owned(),
    };
    let secret = form.get("client_secret").unwrap_or_default();
    let done = match read(&typed, secret) {
        Ok((client, zone)) => match way {
            Way::Consumer => by_consumer(&app, &visit, client, zone).await,
            Way::Browser => by_browser(&app, &visit, &client, &zone).await,
        },
        Err(problem) => Err(problem),
    };
    done.unwrap_or_else(|problem| visit.page(&app, &typed, way, Some(&problem)))
}

fn read(typed: &Typed, secret: &str) -> Result<(Client, String), Problem> {
    let client = Client::new(&typed.client_id, secret)?;
    Ok((client, time_zone::named(&typed.time_zone)?))
}

async fn by_consumer(
    app: &Arc<App>,
    visit: &Visit,
    client: Client,
    zone: String,
) -> Result<Response, Problem> {
    take_proof(app, &visit.owner.id).await?;
    let credentials = client.prove(app).await?;
    let (whole, tenant) = (app.clone(), visit.tenant.clone());
    let actor = visit.visitor.email.clone();
    to_the_end(async move {
        store(&whole, &tenant, &actor, &credentials, None).await?;
        set_time_zone(&whole, &tenant.id, &actor, &zone).await
    })
    .await?;
    let next = format!("/app/{}/install?done=connected", visit.tenant.id);
    Ok(see_other(&next, None))
}

/// A page with a link, because a form of ours must not lead to wherever Service Fusion sends the browser next.
async fn by_browser(
    app: &App,
    visit: &Visit,
    client: &Client,
    zone: &str,
) -> Result<Response, Problem> {
    take_proof(app, &visit.owner.id).await?;
    set_time_zone(app, &visit.tenant.id, &visit.visitor.email, zone).await?;
    let (_, id) = activation(app, &visit.owner, PAGE).await?;
    let caller = Caller::of_token(app, &id).await?;
    let caller = caller.ok_or_else(Problem::internal)?;
    let begun = begun(app, &caller, client).await?;
    let host = url::Url::parse(&app.config.api_url).ok();
    let host = host.as_ref().and_then(url::Url::host_str);
    let allow = Allow {
        frame: visit.frame(app, "Allow it at Service Fusion").narrow(),
        path: &visit.path,
        is_new: visit.is_new(),
        authorize_url: &begun.authorize_url,
        host: host.unwrap_or_default(),
    };
    Ok(page(StatusCode::OK, &allow, None))
}
