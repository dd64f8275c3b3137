//! What every handler needs of HTTP: the caller, its address and its JSON.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::{
    app::App,
    error::Problem,
    store::{self, Member, Tenant, Token},
    tokens::{self, Kind},
};

/// All of a request's body must have arrived within this, however it trickles.
pub const BODY: Duration = Duration::from_secs(30);
/// Bytes that are read of a request that is refused anyway: any usual first message of a client.
const REFUSED_BODY: usize = 64 * 1024;

tokio::task_local! {
    static ASKED: Asked;
}

/// What may be known of a request wherever it is worked on.
#[derive(Debug)]
pub struct Asked {
    pub id: String,
    /// The path and query of a `GET`.
    pub address: String,
}

impl Asked {
    /// Work on the request.
    pub fn scope<T>(self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        ASKED.scope(self, work)
    }
}

/// The id that ties an answer to the log; empty outside a request.
pub fn request_id() -> String {
    ASKED.try_with(|asked| asked.id.clone()).unwrap_or_default()
}

/// The path and query that a browser may come back to after a sign-in; empty for a request that sends something.
pub fn address() -> String {
    ASKED
        .try_with(|asked| asked.address.clone())
        .unwrap_or_default()
}

/// Reads the body of a request that is refused for its headers, and forgets it. An answer before the end of a request
/// ends the connection: a client that still sends, or asks for the metadata next on the same connection, loses the
/// answer. Who waits to be asked for a body is not asked.
pub async fn taken_in(request: Request) {
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    let mut pieces = request.into_body().into_data_stream();
    let mut room = REFUSED_BODY;
    while let Some(Ok(piece)) = pieces.next().await {
        let Some(left) = room.checked_sub(piece.len()) else {
            return;
        };
        room = left;
    }
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
    /// The nearest address that is no trusted proxy; the peer when the proxies name none, or something else.
    fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = |address: &IpAddr| {
            let proxies = &self.config.trusted_proxies;
            proxies.iter().any(|network| network.contains(address))
        };
        if !trusted(&peer) {
            return peer;
        }
        for value in headers.get_all("x-forwarded-for").iter().rev() {
            let entries = value.to_str().unwrap_or_default();
            for entry in entries.rsplit(',') {
                match forwarded(entry) {
                    Some(address) if trusted(&address) => {}
                    Some(address) => return address,
                    // What stands left of it is nobody's word that counts.
                    None => return peer,
                }
            }
        }
        peer
    }
}

/// An entry of X-Forwarded-For: an address, perhaps with a port.
pub fn forwarded(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let alone = entry.parse().ok();
    let address = alone.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
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
        let caller = Self { tenant, token };
        if let Err(problem) = caller.touch(app, now).await {
            tracing::warn!(%problem, "the time of a request is not noted");
        }
        Ok(caller)
    }

    /// Noted once a minute; most requests write nothing.
    async fn touch(&self, app: &App, now: i64) -> Result<(), store::Error> {
        let is_old = |at: Option<i64>| at.is_none_or(|at| at < now - 60_000);
        if is_old(self.token.last_used_at) {
            app.store.touch_token(&self.token.id, now).await?;
        }
        if is_old(self.tenant.seen_at) {
            app.store.touch_tenant(&self.tenant.id, now).await?;
        }
        Ok(())
    }
}

/// Work of several steps is not left half done when the client hangs up.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or_else(|problem| {
        tracing::error!(%problem, "a request's work failed");
        Err(Problem::internal())
    })
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

/// Why a body could not be read.
pub fn unread(status: StatusCode) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(status, "too_large", "The body is too large.");
    }
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "incomplete",
        "The body was cut off, or did not arrive in time; send the request again.",
    )
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
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|problem| unread(problem.status()))?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|problem| Problem::invalid(format!("The body cannot be read: {problem}.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_entry_is_an_address_perhaps_with_a_port() {
        for (entry, read) in [
            (" 203.0.113.9 ", Some("203.0.113.9")),
            ("203.0.113.9:4711", Some("203.0.113.9")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("unknown", None),
            ("", None),
        ] {
            let address = forwarded(entry).map(|address| address.to_string());
            assert_eq!(address.as_deref(), read, "{entry}");
        }
    }
}
