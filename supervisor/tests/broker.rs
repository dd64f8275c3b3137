//! Access tokens for devices: one renewal per tenant, whoever asks, whatever fails meanwhile.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sf_mcp::{auth::oauth, sandbox};
use sf_supervisor::{
    broker,
    store::NewToken,
    tokens,
    vault::{Kind, NewCredentials},
};

use crate::support::{Replica, Service, until};

const HOUR: i64 = 3_600_000;

/// A tenant with a device.
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) device: SecretString,
    device_id: String,
}

async fn tenant(service: &Service, name: &str) -> Tenant {
    let app = &service.app;
    let now = app.clock.now();
    let member = app
        .store
        .add_tenant(name, &format!("owner@{name}.example"), "free", now)
        .await
        .unwrap();
    let new = tokens::generate(tokens::Kind::Device).unwrap();
    let device_id = app
        .store
        .add_token(&NewToken {
            tenant_id: &member.tenant_id,
            member_id: Some(&member.id),
            kind: tokens::Kind::Device,
            name: "a machine",
            hash: &new.hash,
            client: None,
            form: None,
            scopes: "sf:read sf:write",
            created_at: now,
            expires_at: None,
        })
        .await
        .unwrap();
    Tenant {
        id: member.tenant_id,
        device: new.token,
        device_id,
    }
}

/// Connects the tenant as its activation would.
async fn connect(service: &Service, tenant: &Tenant, kind: Kind) {
    let (http, origin) = (&service.http, service.around.sandbox.origin());
    let (id, secret) = match kind {
        Kind::ClientCredentials => (sandbox::CLIENT_ID, sandbox::CLIENT_SECRET),
        Kind::AuthorizationCode => (sandbox::APP_CLIENT_ID, sandbox::APP_CLIENT_SECRET),
    };
    let secret = SecretString::from(secret.to_owned());
    let grant = match kind {
        Kind::ClientCredentials => oauth::client_credentials(http, &origin, id, &secret).await,
        Kind::AuthorizationCode => {
            let (code, back) = allowed(service).await;
            oauth::authorization_code(http, &origin, id, &secret, &code, &back).await
        }
    };
    let new = NewCredentials {
        kind,
        client_id: id.to_owned().into(),
        client_secret: secret,
        grant: grant.unwrap(),
        account: "Carol Jones".to_owned(),
    };
    service.app.vault.replace(&tenant.id, &new).await.unwrap();
}

/// What a person's consent in the browser brings.
async fn allowed(service: &Service) -> (SecretString, String) {
    let back = "http://127.0.0.1:9/callback".to_owned();
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", sandbox::APP_CLIENT_ID)
        .append_pair("redirect_uri", &back)
        .append_pair("state", "s")
        .append_pair("decision", "allow")
        .finish();
    let answer = browser
        .post(format!(
            "{}/oauth/authorize",
            service.around.sandbox.origin()
        ))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let location = url::Url::parse(&location).unwrap();
    let code = location.query_pairs().find(|(name, _)| name == "code");
    (code.unwrap().1.into_owned().into(), back)
}

pub(crate) async fn connected(service: &Service, kind: Kind) -> Tenant {
    let tenant = tenant(service, "acme").await;
    connect(service, &tenant, kind).await;
    tenant
}

/// The status and body of a device's request.
async fn ask(service: &Service, tenant: &Tenant, body: &Value) -> (u16, Value) {
    let answer = service
        .post("/api/token", body)
        .bearer_auth(tenant.device.expose_secret())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

async fn good(service: &Service, tenant: &Tenant) -> String {
    let (status, body) = ask(service, tenant, &json!({})).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

async fn refused(service: &Service, tenant: &Tenant) -> (u16, String) {
    let (status, body) = ask(service, tenant, &json!({})).await;
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

pub(crate) async fn faults(service: &Service, faults: &Value) {
    let answer = service
        .http
        .post(format!(
            "{}/sandbox/faults",
            service.around.sandbox.origin()
        ))
        .body(faults.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
}

/// A figure of the sandbox, such as `token_requests`.
pub(crate) async fn seen(service: &Service, figure: &str) -> u64 {
    let url = format!("{}/sandbox/state", service.around.sandbox.origin());
    let text = service.http.get(url).send().await.unwrap().text().await;
    let state: Value = serde_json::from_str(&text.unwrap()).unwrap();
    state[figure].as_u64().unwrap()
}

/// A fault that strikes a request for a token.
pub(crate) fn token_fault(kind: &Value) -> Value {
    let mut fault = json!({"match": {"path_contains": "/oauth/access_token"}});
    let members = kind.as_object().unwrap().clone();
    fault.as_object_mut().unwrap().extend(members);
    json!([fault])
}

#[tokio::test]
async fn a_device_gets_the_token_its_life_and_where_it_may_go() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::ClientCredentials).await;
    let (status, body) = ask(&service, &tenant, &json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(body["api_url"], service.around.sandbox.origin());
    let life = body["expires_in"].as_u64().unwrap();
    assert!((3590..=3600).contains(&life), "{life}");
    // From memory, and still the same.
    assert_eq!(body["access_token"], good(&service, &tenant).await);
    assert_eq!(seen(&service, "token_requests").await, 1);
    // The life that is told shrinks as time passes.
    service.around.clock.advance(HOUR / 4);
    let (_, body) = ask(&service, &tenant, &json!({})).await;
    assert!(body["expires_in"].as_u64().unwrap() <= 2700);
}

#[tokio::test]
async fn each_way_of_having_no_token_has_its_code() {
    let service = Service::start().await;
    let tenant = tenant(&service, "acme").await;
    assert_eq!(
        refused(&service, &tenant).await,
        (409, "reconnect_required".to_owned())
    );
    connect(&service, &tenant, Kind::ClientCredentials).await;
    good(&service, &tenant).await;

    let (app, now) = (&service.app, service.app.clock.now());
    service
        .around
        .database
        .run(&format!(
            "UPDATE tenants SET suspended_at = {now} WHERE id = '{}'",
            tenant.id
        ))
        .await;
    assert_eq!(
        refused(&service, &tenant).await,
        (403, "tenant_suspended".to_owned())
    );
    assert!(matches!(
        app.broker.token(&tenant.id).await,
        Err(broker::Error::Suspended)
    ));
    service
        .around
        .database
        .run("UPDATE tenants SET suspended_at = NULL")
        .await;
    good(&service, &tenant).await;

    assert!(
        app.store
            .revoke_token(&tenant.id, &tenant.device_id, now)
            .await
            .unwrap()
    );
    assert_eq!(
        refused(&service, &tenant).await,
        (401, "invalid_token".to_owned())
    );
}

#[tokio::test]
async fn a_token_that_runs_out_is_renewed_ahead_of_time() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    let old = good(&service, &tenant).await;
    service.around.clock.advance(HOUR - 5 * 60_000);
    assert_eq!(
        good(&service, &tenant).await,
        old,
        "the old token is still handed out"
    );
    let new = until("another token", async || {
        Some(good(&service, &tenant).await).filter(|token| *token != old)
    });
    new.await;
    assert_eq!(seen(&service, "refreshes").await, 1);
    assert_eq!(seen(&service, "refresh_reuse").await, 0);
}

async fn a_wave(kind: Kind) {
    let service = Service::start().await;
    let tenant = Arc::new(connected(&service, kind).await);
    let mut replicas = vec![Arc::new(service)];
    if replicas[0].around.database.is_postgres() {
        for _ in 0..2 {
            let replica = replicas[0].replica().await;
            replicas.push(Arc::new(replica));
        }
    }
    let before = seen(&replicas[0], "token_requests").await;
    let slow = token_fault(&json!({"kind": "latency", "ms": 300}));
    faults(&replicas[0], &slow).await;
    replicas[0].around.clock.advance(HOUR + 1);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..200 * replicas.len() {
        let (replica, tenant) = (
            Arc::clone(&replicas[caller % replicas.len()]),
            Arc::clone(&tenant),
        );
        callers.spawn(async move { good(&replica, &tenant).await });
    }
    let tokens = callers.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(seen(&replicas[0], "token_requests").await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_at_expiry_makes_one_request_for_a_token() {
    a_wave(Kind::ClientCredentials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_at_expiry_spends_one_refresh_token() {
    a_wave(Kind::AuthorizationCode).await;
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    let old = good(&service, &tenant).await;
    let rejected = json!({"rejected": broker::fingerprint(&old.clone().into())});
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let (status, body) = ask(&service, &tenant, &rejected).await;
        assert_eq!(status, 200, "{body}");
        tokens.push(body["access_token"].as_str().unwrap().to_owned());
    }
    assert!(
        tokens
            .iter()
            .all(|token| *token != old && *token == tokens[0])
    );
    assert_eq!(seen(&service, "refreshes").await, 1);
}

#[tokio::test]
async fn a_storm_of_refusals_ends_in_a_pause_not_in_endless_renewals() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::ClientCredentials).await;
    let mut token = good(&service, &tenant).await;
    let mut statuses = Vec::new();
    for _ in 0..9 {
        let rejected = json!({"rejected": broker::fingerprint(&token.clone().into())});
        let (status, body) = ask(&service, &tenant, &rejected).await;
        statuses.push(status);
        if let Some(new) = body["access_token"].as_str() {
            token = new.to_owned();
        }
    }
    assert!(
        statuses.contains(&503) && statuses[0] == 200,
        "{statuses:?}"
    );
    assert!(seen(&service, "token_requests").await <= 8);
    // Who does not complain is served.
    assert_eq!(good(&service, &tenant).await, token);
}

#[tokio::test]
async fn a_live_token_is_handed_out_while_service_fusion_is_down() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::ClientCredentials).await;
    let old = good(&service, &tenant).await;
    let down = token_fault(&json!({"kind": "status", "status": 503, "times": 1000}));
    faults(&service, &down).await;
    service.around.clock.advance(HOUR - 60_000);
    let (status, body) = ask(&service, &tenant, &json!({})).await;
    assert_eq!(
        (status, body["access_token"].as_str()),
        (200, Some(old.as_str()))
    );
    assert!(body["expires_in"].as_u64().unwrap() <= 60);

    service.around.clock.advance(120_000);
    let answer = service
        .post("/api/token", &json!({}))
        .bearer_auth(tenant.device.expose_secret());
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(refused(&service, &tenant).await.1, "upstream_unavailable");

    clear_faults(&service).await;
    until("a token again", async || {
        let (status, _) = ask(&service, &tenant, &json!({})).await;
        (status == 200).then_some(())
    })
    .await;
}

async fn clear_faults(service: &Service) {
    let url = format!("{}/sandbox/faults", service.around.sandbox.origin());
    service.http.delete(url).send().await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_client_credentials() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::ClientCredentials).await;
    for kind in ["drop_after", "truncate", "drop_before", "empty"] {
        faults(&service, &token_fault(&json!({"kind": kind}))).await;
        service.around.clock.advance(HOUR + 1);
        good(&service, &tenant).await;
    }
}

#[tokio::test]
async fn a_lost_answer_ends_a_login_of_the_browser_and_connecting_again_mends_it() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    faults(&service, &token_fault(&json!({"kind": "drop_after"}))).await;
    service.around.clock.advance(HOUR + 1);
    assert_eq!(
        refused(&service, &tenant).await,
        (409, "reconnect_required".to_owned())
    );
    let asked = seen(&service, "token_requests").await;
    assert_eq!(
        refused(&service, &tenant).await,
        (409, "reconnect_required".to_owned())
    );
    assert_eq!(
        seen(&service, "token_requests").await,
        asked,
        "it is not asked for again"
    );
    assert_eq!(seen(&service, "refresh_reuse").await, 0);

    connect(&service, &tenant, Kind::AuthorizationCode).await;
    good(&service, &tenant).await;
}

#[tokio::test]
async fn an_error_that_had_no_effect_leaves_the_login_as_it_was() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    faults(
        &service,
        &token_fault(&json!({"kind": "status", "status": 429})),
    )
    .await;
    service.around.clock.advance(HOUR + 1);
    assert_eq!(
        refused(&service, &tenant).await,
        (503, "upstream_unavailable".to_owned())
    );
    until("a token again", async || {
        let (status, _) = ask(&service, &tenant, &json!({})).await;
        (status == 200).then_some(())
    })
    .await;
}

/// Other replicas take it away too, at the next request.
#[tokio::test]
async fn what_one_replica_revokes_or_replaces_holds_at_all() {
    let service = Service::start().await;
    if !service.around.database.is_postgres() {
        return;
    }
    let tenant = connected(&service, Kind::ClientCredentials).await;
    let replica = service.replica().await;
    let old = good(&service, &tenant).await;
    assert_eq!(good(&replica, &tenant).await, old);

    connect(&service, &tenant, Kind::AuthorizationCode).await;
    let new = good(&service, &tenant).await;
    assert_ne!(new, old);
    assert_eq!(good(&replica, &tenant).await, new);

    let now = service.app.clock.now();
    let store = &service.app.store;
    assert!(
        store
            .revoke_token(&tenant.id, &tenant.device_id, now)
            .await
            .unwrap()
    );
    assert_eq!(refused(&replica, &tenant).await.0, 401);
}

/// The service runs out of turns for locks rather than PostgreSQL of connections.
#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_at_once_take_few_connections() {
    let service = Service::start().await;
    let mut tenants = Vec::new();
    for number in 0..60 {
        let tenant = tenant(&service, &format!("acme-{number}")).await;
        connect(&service, &tenant, Kind::ClientCredentials).await;
        tenants.push(Arc::new(tenant));
    }
    let slow = json!({"kind": "latency", "ms": 100, "times": 60});
    faults(&service, &token_fault(&slow)).await;
    service.around.clock.advance(HOUR + 1);
    let service = Arc::new(service);
    let mut callers = tokio::task::JoinSet::new();
    for tenant in &tenants {
        let (service, tenant) = (Arc::clone(&service), Arc::clone(tenant));
        callers.spawn(async move { good(&service, &tenant).await });
    }
    let mut most = 0;
    while !callers.is_empty() {
        most = most.max(service.around.database.connections().await);
        while let Some(ended) = callers.try_join_next() {
            ended.unwrap();
        }
    }
    // 16, and 8 more that hold locks. One for each company would be 60; closed ones are still counted for a moment.
    assert!(most < 40, "{most} connections");
    assert_eq!(seen(&service, "token_requests").await, 120);
}

#[tokio::test]
async fn a_renewal_that_was_cut_off_is_never_repeated() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    let long_ago = service.app.clock.now();
    service
        .around
        .database
        .run(&format!("UPDATE credentials SET intent_at = {long_ago}"))
        .await;
    service.around.clock.advance(HOUR + 1);
    assert_eq!(
        refused(&service, &tenant).await,
        (409, "reconnect_required".to_owned())
    );
    assert_eq!(seen(&service, "refreshes").await, 0);
}

#[tokio::test]
async fn revoked_credentials_must_be_replaced() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::ClientCredentials).await;
    let grant = oauth::Grant {
        access_token: "old".to_owned().into(),
        expires_in: Duration::from_mins(1),
        refresh_token: None,
    };
    let wrong = NewCredentials {
        kind: Kind::ClientCredentials,
        client_id: sandbox::CLIENT_ID.to_owned().into(),
        client_secret: "revoked".to_owned().into(),
        grant,
        account: String::new(),
    };
    service.app.vault.replace(&tenant.id, &wrong).await.unwrap();
    assert_eq!(
        good(&service, &tenant).await,
        "old",
        "another generation, another token"
    );
    service.around.clock.advance(60_001);
    assert_eq!(
        refused(&service, &tenant).await,
        (409, "reconnect_required".to_owned())
    );
    let head = service.app.vault.head(&tenant.id).await.unwrap().unwrap();
    assert!(head.ended.is_some_and(|why| why.contains("invalid_client")));
}

#[tokio::test]
async fn the_work_goes_on_when_the_caller_hangs_up() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    faults(
        &service,
        &token_fault(&json!({"kind": "latency", "ms": 300})),
    )
    .await;
    service.around.clock.advance(HOUR + 1);
    let impatient = service
        .post("/api/token", &json!({}))
        .bearer_auth(tenant.device.expose_secret())
        .timeout(Duration::from_millis(100))
        .send();
    assert!(impatient.await.unwrap_err().is_timeout());
    until("a renewed token", async || {
        let head = service.app.vault.head(&tenant.id).await.unwrap().unwrap();
        (head.generation == 2 && head.intent_at.is_none()).then_some(())
    })
    .await;
    good(&service, &tenant).await;
    assert_eq!(seen(&service, "refreshes").await, 1);
}

#[tokio::test]
async fn a_service_that_ends_waits_for_its_renewals() {
    let service = Service::start().await;
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    faults(
        &service,
        &token_fault(&json!({"kind": "latency", "ms": 300})),
    )
    .await;
    service.around.clock.advance(HOUR - 5 * 60_000);
    good(&service, &tenant).await;
    let around = Arc::clone(&service.around);
    service.stop().await;
    let service = Service::over(around, |_| {}).await;
    let head = service.app.vault.head(&tenant.id).await.unwrap().unwrap();
    assert_eq!((head.generation, head.intent_at), (2, None));
}

/// Connections are cut again and again while tokens run out and devices ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_costs_no_login() {
    let service = Service::start().await;
    if !service.around.database.is_postgres() {
        return;
    }
    let tenant = Arc::new(connected(&service, Kind::AuthorizationCode).await);
    let replica = Arc::new(service.replica().await);
    let service = Arc::new(service);
    for _ in 0..3 {
        faults(
            &service,
            &token_fault(&json!({"kind": "latency", "ms": 200})),
        )
        .await;
        service.around.clock.advance(HOUR + 1);
        let mut callers = tokio::task::JoinSet::new();
        for replica in [&service, &replica] {
            for _ in 0..20 {
                let (replica, tenant) = (Arc::clone(replica), Arc::clone(&tenant));
                callers.spawn(async move {
                    until("a token", async || {
                        let (status, body) = ask(&replica, &tenant, &json!({})).await;
                        assert!(status == 200 || status == 503, "{status} {body}");
                        (status == 200).then_some(())
                    })
                    .await;
                });
            }
        }
        until("a request for a token under way", async || {
            (seen(&service, "in_flight").await > 0).then_some(())
        })
        .await;
        service.around.database.cut().await;
        callers.join_all().await;
    }
    assert_eq!(seen(&service, "refreshes").await, 3);
    assert_eq!(seen(&service, "refresh_reuse").await, 0);
}

async fn status_at(http: reqwest::Client, url: String, device: SecretString) -> Option<u16> {
    let asked = http
        .post(format!("{url}/api/token"))
        .bearer_auth(device.expose_secret());
    asked
        .send()
        .await
        .ok()
        .map(|answer| answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_go_on_when_the_one_that_renews_is_killed() {
    let service = Service::start().await;
    if !service.around.database.is_postgres() {
        return;
    }
    let tenant = connected(&service, Kind::ClientCredentials).await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(&service.around).await);
    }
    let before = seen(&service, "token_requests").await;
    service
        .around
        .database
        .run("UPDATE credentials SET expires_at = 1")
        .await;
    faults(
        &service,
        &token_fault(&json!({"kind": "latency", "ms": 500})),
    )
    .await;
    let asked = |replica: &Replica| {
        status_at(
            service.http.clone(),
            replica.url.clone(),
            tenant.device.clone(),
        )
    };
    let mut first = tokio::task::JoinSet::new();
    first.spawn(asked(&replicas[0]));
    until("a request for a token under way", async || {
        (seen(&service, "in_flight").await > 0).then_some(())
    })
    .await;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..400 {
        callers.spawn(asked(&replicas[1 + caller % 2]));
    }
    replicas[0].kill();
    let statuses = callers.join_all().await;
    assert!(
        statuses.iter().all(|status| *status == Some(200)),
        "{statuses:?}"
    );
    let requests = seen(&service, "token_requests").await - before;
    assert!((1..=2).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_a_killed_replica_sent_is_not_sent_again() {
    let service = Service::start().await;
    if !service.around.database.is_postgres() {
        return;
    }
    let tenant = connected(&service, Kind::AuthorizationCode).await;
    let mut replica = Replica::start(&service.around).await;
    let database = &service.around.database;
    database.run("UPDATE credentials SET expires_at = 1").await;
    faults(
        &service,
        &token_fault(&json!({"kind": "latency", "ms": 500})),
    )
    .await;
    let mut first = tokio::task::JoinSet::new();
    first.spawn(status_at(
        service.http.clone(),
        replica.url.clone(),
        tenant.device.clone(),
    ));
    until("a request for a token under way", async || {
        (seen(&service, "in_flight").await > 0).then_some(())
    })
    .await;
    replica.kill();
    // So long ago that no process can be waiting for the answer any more.
    database.run("UPDATE credentials SET intent_at = 1").await;
    assert_eq!(
        refused(&service, &tenant).await,
        (409, "reconnect_required".to_owned())
    );
    assert_eq!(seen(&service, "refresh_reuse").await, 0);
}
