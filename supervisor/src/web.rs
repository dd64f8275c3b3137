//! What every handler needs of HTTP: the caller, its address, its JSON, and the request's id.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use serde::de::DeserializeOwned;

use crate::{
    app::App,
    error::Problem,
    ids,
    store::{Member, Tenant, Token},
    tokens::{self, Kind},
};

tokio::task_local! {
    static REQUEST_ID: String;
}

/// The id that ties an answer to the log; empty outside a request.
pub fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// Gives each request an id, logs its end, and counts it. The path is logged without its query.
pub async fn traced(request: Request, next: Next) -> Response {
    let id = ids::new("req").unwrap_or_default();
    let method = request.method().clone();
    let path = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let started = std::time::Instant::now();
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request)).await;
    let status = response.status().as_u16();
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(request_id = %id, %method, path, status, milliseconds = seconds * 1000.0, "request");
    metrics::counter!("sf_supervisor_requests_total", "path" => path.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("sf_supervisor_request_seconds", "path" => path).record(seconds);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// Where a request came from: the peer, or what a trusted proxy says.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub IpAddr);

impl Source {
    /// Who shares a limit: an address, or an IPv6 network of the size one customer gets.
    pub fn network(self) -> String {
        match self.0 {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

impl FromRequestParts<Arc<App>> for Source {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0.ip().to_canonical())
            .ok_or_else(Problem::internal)?;
        Ok(Self(app.source(peer, &parts.headers)))
    }
}

impl App {
    /// The nearest address that is no trusted proxy.
    fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = |address: &IpAddr| {
            let proxies = &self.config.trusted_proxies;
            proxies.iter().any(|network| network.contains(address))
        };
        if !trusted(&peer) {
            return peer;
        }
        let named = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|text| text.trim().parse::<IpAddr>().ok())
            .map(|address| address.to_canonical())
            .collect::<Vec<_>>();
        named
            .into_iter()
            .rev()
            .find(|address| !trusted(address))
            .unwrap_or(peer)
    }
}

/// The token of the Authorization header. A second one, or one elsewhere, does not count.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next()?, values.next());
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let usual = !token.is_empty() && token.len() <= 256;
    (second.is_none() && scheme.eq_ignore_ascii_case("bearer") && usual).then_some(token)
}

/// Who calls: the tenant comes from the token and from nothing else.
#[derive(Clone, Debug)]
pub struct Caller {
    pub tenant: Tenant,
    pub token: Token,
}

impl Caller {
    /// Finds the caller by the token, which must be of one of these kinds. A suspended tenant is refused.
    pub async fn with(app: &App, headers: &HeaderMap, kinds: &[Kind]) -> Result<Self, Problem> {
        let caller = Self::even_suspended(app, headers, kinds).await?;
        not_suspended(&caller.tenant)?;
        Ok(caller)
    }

    /// The holder of a token that was shown before; `None` when the token is no longer good.
    pub async fn of_token(app: &App, id: &str) -> Result<Option<Self>, Problem> {
        let Some(token) = app.store.live_token_with_id(id, app.clock.now()).await? else {
            return Ok(None);
        };
        let Some(tenant) = app.store.tenant(&token.tenant_id).await? else {
            return Ok(None);
        };
        not_suspended(&tenant)?;
        Ok(Some(Self { tenant, token }))
    }

    /// The person whose token it is, if that person is still in the company.
    pub async fn member(&self, app: &App) -> Result<Member, Problem> {
        let id = self.token.member_id.as_deref().unwrap_or_default();
        let member = app.store.member(&self.tenant.id, id).await?;
        member.ok_or_else(Problem::unauthorized)
    }

    /// As `member`, and refuses all but owners.
    pub async fn owner(&self, app: &App) -> Result<Member, Problem> {
        let member = self.member(app).await?;
        if member.is_owner() {
            return Ok(member);
        }
        Err(owner_required())
    }

    async fn even_suspended(
        app: &App,
        headers: &HeaderMap,
        kinds: &[Kind],
    ) -> Result<Self, Problem> {
        let text = bearer(headers).ok_or_else(Problem::unauthorized)?;
        let now = app.clock.now();
        let token = app
            .store
            .live_token(&tokens::hash(text), now)
            .await?
            .filter(|token| kinds.contains(&token.kind))
            .ok_or_else(Problem::unauthorized)?;
        if token.kind == Kind::Bearer && token.form.is_some() {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "mcp_only",
                "This token is good for /mcp alone; use the one that activation showed.",
            ));
        }
        let tenant = app
            .store
            .tenant(&token.tenant_id)
            .await?
            .ok_or_else(Problem::unauthorized)?;
        // Noted once a minute; most requests write nothing.
        let is_old = |at: Option<i64>| at.is_none_or(|at| at < now - 60_000);
        if is_old(token.last_used_at) {
            app.store.touch_token(&token.id, now).await?;
        }
        if is_old(tenant.seen_at) {
            app.store.touch_tenant(&tenant.id, now).await?;
        }
        Ok(Self { tenant, token })
    }
}

pub fn owner_required() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "owner_required",
        "Only an owner of the company may do that.",
    )
}

pub fn not_suspended(tenant: &Tenant) -> Result<(), Problem> {
    if tenant.suspended_at.is_none() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "tenant_suspended",
        "This company's access is suspended; ask the operator of this service.",
    ))
}

/// A JSON body; what is wrong with it is said as a problem.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_json = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "json_expected",
                "The body must be JSON, with Content-Type: application/json.",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The body is too large or was cut off.",
            )
        })?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|problem| Problem::invalid(format!("The body cannot be read: {problem}.")))
    }
}
