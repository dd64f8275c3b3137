//! `/admin`: the operators' panel. It sees companies, figures and what was changed, and no credentials and no answers.
//!
//! Every page asks [`visitor::operator`] first. What it does is done by the same functions as `sf-supervisor admin`, in
//! the operator's name; what cannot be taken back asks again on a page of its own.

mod acts;
mod audit;
mod companies;
mod company;
mod confirm;
mod figures;
mod fleet;
mod limits;
mod replica;
mod usage;
mod words;

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
    routing::{get, post},
};

use crate::{
    app::App,
    pages::{self, Instead},
    params::Params,
    sign_in,
    store::Tenant,
    visitor::{self, Operator},
};

/// For operators alone; to everybody else there is nothing here.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin", get(companies::show))
        .route("/admin/fleet", get(fleet::show))
        .route("/admin/audit", get(audit::show))
        .route("/admin/usage.csv", get(usage::download))
        .route("/admin/again", post(again))
        .route("/admin/tenants/{id}", get(company::show))
        .route("/admin/tenants/{id}/note", post(acts::note))
        .route("/admin/tenants/{id}/resume", post(acts::resume))
        .route(
            "/admin/tenants/{id}/limits",
            get(limits::ask).post(limits::set),
        )
        .route(
            "/admin/tenants/{id}/suspend",
            get(confirm::ask_suspend).post(confirm::suspend),
        )
        .route(
            "/admin/tenants/{id}/delete",
            get(confirm::ask_delete).post(confirm::delete),
        )
        .route(
            "/admin/tenants/{id}/devices/{device}",
            get(confirm::ask_revoke).post(confirm::revoke),
        )
}

/// The operator and the company that a page is about.
async fn about(app: &App, headers: &HeaderMap, id: &str) -> Result<(Operator, Tenant), Instead> {
    let operator = visitor::operator(app, headers).await?;
    let tenant = app.store.tenant(id).await?;
    tenant
        .map(|tenant| (operator, tenant))
        .ok_or_else(|| pages::not_found().into())
}

/// The operator, and the fields of a form of this panel.
async fn posted(
    app: &App,
    headers: &HeaderMap,
    uri: &Uri,
    body: &Bytes,
) -> Result<(Operator, Params), Instead> {
    let operator = visitor::operator(app, headers).await?;
    let form = visitor::form(app, headers, uri, body).await?;
    Ok((operator, form))
}

/// Another sign-in, for what asks for a code that is not old.
async fn again(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let (operator, form) = posted(&app, &headers, &uri, &body).await?;
    let next = form.get("next").and_then(sign_in::safe);
    let next = next.unwrap_or("/admin");
    Ok(visitor::sign_in_again(&app, operator.visitor, next).await?)
}

fn path_of(id: &str) -> String {
    format!("/admin/tenants/{id}")
}
