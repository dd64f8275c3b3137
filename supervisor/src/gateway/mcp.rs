//! One request to `/mcp`.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sf_mcp::{
    server::SCOPES,
    trace_context::{BAGGAGE, TRACEPARENT, TRACESTATE},
};
use tokio::time::Instant;

use crate::{
    admission::Judged,
    app::App,
    child::{Answer, Call, Said},
    error::Problem,
    gateway::{
        BODY,
        access::{self, Grant},
        asked::{self, Asked, Told},
        envelope::{Malformed, Message, Object, Writing},
        era::{self, CAPABILITIES_KEY, CLIENT_KEY, Era, Refusal, VERSION_KEY, code},
        legacy,
        meter::Exchanged,
        reply::{self, Exchange, Failure},
        span::Span,
        tier,
    },
    in_flight::Place,
    rate::{Standing, Verdict},
    web,
};

/// A call ends after this: clients give up after a minute.
const LIMIT: Duration = Duration::from_secs(55);
/// Keys under which the child is told things; a client's are removed.
const OURS: &str = "com.servicefusion-mcp/";
/// Bytes that a line mostly has more than the message it carries.
const ADDED: usize = 300;

/// Any verb; what a page may do is checked before the token, and the token before the message.
pub async fn answered(app: &Arc<App>, request: Request) -> Response {
    let origin = match access::origin(app, request.headers()) {
        Ok(origin) => origin,
        Err(problem) => return problem.into_response(),
    };
    if request.method() == Method::OPTIONS {
        return access::preflight(origin);
    }
    let was_sent = request.headers().contains_key(header::AUTHORIZATION);
    let mut response = exchanged(app, request)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    access::challenge(app, &mut response, was_sent);
    access::open_to(&mut response, origin);
    response
}

async fn exchanged(app: &Arc<App>, mut request: Request) -> Result<Response, Problem> {
    let grant = match access::grant(app, request.headers()).await {
        Ok(grant) => grant,
        Err(problem) => {
            Box::pin(web::taken_in(request)).await;
            return Err(problem);
        }
    };
    if request.method() != Method::POST {
        return Ok(post_only());
    }
    // Reading the body needs no headers.
    let headers = std::mem::take(request.headers_mut());
    expect_json(&headers)?;
    let body = body(request).await?;
    match begun(app, grant, headers, body).await? {
        Begun::Answered(response) => Ok(response),
        Begun::Sent(sent) => Ok(sent.answered().await),
    }
}

/// How far a request is once its message has been read.
enum Begun {
    Answered(Response),
    Sent(Box<Sent>),
}

/// A call that the child works on.
struct Sent {
    exchange: Exchange,
    call: Call,
    exchanged: Option<Exchanged>,
    standing: Option<Standing>,
}

/// Reads the message and does with it what can be done before the child is waited for. Headers and body end here: they may
/// be large, and the child may take long.
async fn begun(
    app: &Arc<App>,
    grant: Grant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Begun, Problem> {
    let message = match Message::parse(&body) {
        Ok(message) => message,
        Err(problem) => {
            let refused = reply::refused(&malformed(&problem), None);
            return Ok(Begun::Answered(refused));
        }
    };
    let era = match era::decide(&headers, &message) {
        Ok(era) => era,
        Err(refusal) => return Ok(Begun::Answered(reply::refused(&refusal, message.id))),
    };
    let trace = asked::trace(&message, &headers);
    let asked = Asked {
        grant,
        era,
        message: &message,
        trace,
    };
    judged(app, asked, &headers).await
}

/// The token once more, then the tier, and only then the child.
async fn judged(
    app: &Arc<App>,
    mut asked: Asked<'_>,
    headers: &HeaderMap,
) -> Result<Begun, Problem> {
    let message = asked.message;
    let counts = tier::counts(asked.era, &message.method, message.id.is_some());
    let (grant, judged) = access::admitted(app, asked.grant, counts).await?;
    asked.grant = grant;
    if let Some(refused) = access::too_weak(app, &asked.grant, message) {
        return Ok(Begun::Answered(refused));
    }
    let Some(Judged { standing, place }) = judged else {
        return Ok(serve(app, &asked, None).await);
    };
    let span = (app.traces.as_ref()).map(|traces| Span::begin(traces, &asked));
    if let Some(trace) = span.as_ref().and_then(Span::context) {
        asked.trace = Some(trace);
    }
    let exchanged = app.meter.begin(&asked, headers, place, span);
    if standing.verdict != Verdict::LetIn {
        exchanged.refused();
        let id = message.id.unwrap_or("null");
        let tenant = &asked.grant.tenant;
        let (name, _) = app.admission.tier_of(tenant);
        let refused = tier::refused(&standing, name, &tenant.company, id);
        return Ok(Begun::Answered(refused));
    }
    let mut begun = serve(app, &asked, Some(exchanged)).await;
    match &mut begun {
        Begun::Answered(response) => tier::tell(response.headers_mut(), &standing),
        Begun::Sent(sent) => sent.standing = Some(standing),
    }
    Ok(begun)
}

fn post_only() -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "post_only",
        "This address takes POST; there are no sessions and no streams to open.",
    );
    let mut response = problem.into_response();
    let post = HeaderValue::from_static("POST");
    response.headers_mut().insert(header::ALLOW, post);
    response
}

async fn body(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), BODY).collect();
    match tokio::time::timeout(web::BODY, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(problem)) if problem.is::<LengthLimitError>() => {
            Err(web::unread(StatusCode::PAYLOAD_TOO_LARGE))
        }
        _ => Err(web::unread(StatusCode::REQUEST_TIMEOUT)),
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "json_expected",
        "The body must be a JSON-RPC message, with Content-Type: application/json.",
    ))
}

fn malformed(problem: &Malformed) -> Refusal {
    let code = match problem {
        Malformed::Syntax(_) | Malformed::Depth => code::PARSE,
        Malformed::Batch | Malformed::Envelope(_) => code::INVALID_REQUEST,
    };
    Refusal::new(StatusCode::BAD_REQUEST, code, problem.to_string())
}

async fn serve(app: &Arc<App>, asked: &Asked<'_>, exchanged: Option<Exchanged>) -> Begun {
    let Asked { era, message, .. } = *asked;
    let Some(id) = message.id else {
        noticed(app, asked);
        return Begun::Answered(StatusCode::ACCEPTED.into_response());
    };
    let exchange = Exchange {
        id: id.to_owned(),
        progress: message
            .meta
            .as_ref()
            .and_then(|meta| meta.get("progressToken"))
            .map(str::to_owned),
        is_modern: matches!(era, Era::Modern(_)),
        deadline: Instant::now() + LIMIT,
        limit: LIMIT,
    };
    if !exchange.is_modern && message.method == "ping" {
        let nothing = Answer::Result(legacy::nothing().to_string().into());
        return Begun::Answered(exchange.json(&nothing).0);
    }
    match era {
        Era::Handshake(version) => {
            Begun::Answered(handshake(app, &exchange, &asked.grant, version).await)
        }
        Era::Modern(_) | Era::Legacy(_) => called(app, exchange, asked, exchanged).await,
    }
}

/// Without sessions little follows from a notification. A modern client cancels by closing its request.
fn noticed(app: &App, asked: &Asked<'_>) {
    let Asked { grant, message, .. } = asked;
    let is_cancel =
        message.method == "notifications/cancelled" && matches!(asked.era, Era::Legacy(_));
    if let Some(id) = message.params.get("requestId").filter(|_| is_cancel)
        && let Some(child) = app.children.living(&grant.tenant.id)
    {
        child.cancel(&caller(grant, id));
    }
}

/// Whose request it is: ids are unique to a client at best.
fn caller(grant: &Grant, id: &str) -> String {
    format!("{} {id}", grant.token.id)
}

async fn handshake(app: &App, exchange: &Exchange, grant: &Grant, version: &str) -> Response {
    let answer = match app
        .children
        .get(&grant.tenant.id, grant.tenant.setup())
        .await
    {
        Ok(child) => legacy::initialized(&child.discovery(), version).map_or_else(
            || exchange.failure(&Failure::Ended),
            |result| Answer::Result(result.into()),
        ),
        Err(problem) => exchange.failure(&Failure::NoChild(problem.to_string())),
    };
    exchange.json(&answer).0
}

/// Sends the request.
async fn called(
    app: &App,
    exchange: Exchange,
    asked: &Asked<'_>,
    exchanged: Option<Exchanged>,
) -> Begun {
    let place = exchanged.as_ref().and_then(Exchanged::place);
    let sending = sent(app, &exchange, asked, place);
    let failure = match tokio::time::timeout_at(exchange.deadline, sending).await {
        Ok(Ok(mut call)) => {
            if !exchange.is_modern {
                // In the older revisions a lost connection says nothing about the call.
                call.go_on_until(exchange.deadline);
            }
            return Begun::Sent(Box::new(Sent {
                exchange,
                call,
                exchanged,
                standing: None,
            }));
        }
        Ok(Err(failure)) => failure,
        Err(_) => Failure::NoChild("the company's connector is busy with other calls".to_owned()),
    };
    let failure = exchange.failure(&failure);
    Begun::Answered(answered_at_once(&exchange, &failure, exchanged))
}

impl Sent {
    /// Waits for the child's first word, which decides the form of the answer.
    async fn answered(self) -> Response {
        let Self {
            exchange,
            mut call,
            exchanged,
            standing,
        } = self;
        let mut response = match exchange.said(&mut call).await {
            Said::Answer(answer) => answered_at_once(&exchange, &answer, exchanged),
            Said::Note(note) => exchange.clone().stream(&note, call, move |ended| {
                if let Some(exchanged) = exchanged {
                    exchanged.ended(ended);
                }
            }),
        };
        if let Some(standing) = standing {
            tier::tell(response.headers_mut(), &standing);
        }
        response
    }
}

/// One JSON answer, counted.
fn answered_at_once(
    exchange: &Exchange,
    answer: &Answer,
    exchanged: Option<Exchanged>,
) -> Response {
    let (response, ended) = exchange.json(answer);
    if let Some(exchanged) = exchanged {
        exchanged.ended(ended);
    }
    response
}

/// Hands the request to the tenant's child. One that has just ended took nothing, so the next one may have it.
async fn sent(
    app: &App,
    exchange: &Exchange,
    asked: &Asked<'_>,
    place: Option<Arc<Place>>,
) -> Result<Call, Failure> {
    let grant = &asked.grant;
    let no_child = |problem: String| Failure::NoChild(problem);
    let mut again = true;
    loop {
        let child = (app.children)
            .get(&grant.tenant.id, grant.tenant.setup())
            .await;
        let child = child.map_err(|problem| no_child(problem.to_string()))?;
        let caller = (!exchange.is_modern).then(|| caller(grant, &exchange.id));
        match child
            .call(caller, place.clone(), |id| {
                line(id, asked.message, &asked.told())
            })
            .await
        {
            Ok(call) => return Ok(call),
            Err(_) if again => again = false,
            Err(problem) => return Err(no_child(problem.to_string())),
        }
    }
}

/// The message as the child gets it: a fresh envelope, our own id and progress token, what its sender may do, and of its
/// trace what is valid.
pub(super) fn line(id: u64, message: &Message<'_>, told: &Told<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(message.length + ADDED);
    let mut envelope = Writing::begin(&mut line);
    envelope.raw("jsonrpc", "\"2.0\"");
    envelope.raw("id", &id.to_string());
    envelope.text("method", &message.method);
    let mut params = envelope.object("params");
    for (name, raw) in message.params.members() {
        if name == "_meta" {
            meta(params.object(name), id, message, told);
        } else {
            params.raw(name, raw);
        }
    }
    if message.meta.is_none() {
        meta(params.object("_meta"), id, message, told);
    }
    params.end();
    envelope.end();
    line
}

/// What the client said beside the message, but for what it is not to say.
fn meta(mut meta: Writing<'_>, id: u64, message: &Message<'_>, told: &Told<'_>) {
    let said = message.meta.as_ref();
    for (name, raw) in said.into_iter().flat_map(Object::members) {
        match name {
            VERSION_KEY | TRACEPARENT | TRACESTATE | BAGGAGE => {}
            name if name.starts_with(OURS) => {}
            "progressToken" => meta.raw(name, &id.to_string()),
            _ => meta.raw(name, raw),
        }
    }
    meta.text(VERSION_KEY, told.version);
    for (name, unsaid) in [
        (CAPABILITIES_KEY, "{}"),
        (CLIENT_KEY, r#"{"name":"unknown","version":"0"}"#),
    ] {
        if said.is_none_or(|said| said.get(name).is_none()) {
            meta.raw(name, unsaid);
        }
    }
    meta.text(SCOPES, told.scopes);
    if let Some(trace) = told.trace {
        meta.text(TRACEPARENT, &trace.traceparent());
        if let Some(state) = trace.tracestate() {
            meta.text(TRACESTATE, state);
        }
    }
    meta.end();
}
