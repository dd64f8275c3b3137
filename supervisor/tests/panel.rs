//! The operators' panel: who gets in and for how long, what it finds, what it changes, and what it never shows.

use reqwest::Response;
use secrecy::ExposeSecret;
use serde_json::json;
use sf_supervisor::store::{
    Change, Entry, Origin, Sort, State, Store, Traces, UsageEvent, UsageSource, Wanted,
};

use crate::{
    pages::{activate, get, header, post, signed_in},
    support::{Database, Service, usage::Company},
};

const OPERATOR: &str = "operator@example.com";
const OWNER: &str = "owner@example.com";
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

async fn service() -> Service {
    Service::with(|config| config.operators = vec![OPERATOR.to_owned()]).await
}

async fn text(answer: Response) -> String {
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

async fn called(store: &Store, tenant_id: &str, at: i64, calls: &[(&'static str, i64)]) {
    let events: Vec<UsageEvent> = calls
        .iter()
        .enumerate()
        .map(|(number, (status, duration_ms))| UsageEvent {
            id: format!("{at}-{number}"),
            at: at + i64::try_from(number).unwrap(),
            tool: "get_dispatch_board",
            endpoint: "GET /v1/jobs".to_owned(),
            status,
            duration_ms: *duration_ms,
            bytes: 1,
            client: "claude-ai/1.2".to_owned(),
            era: "".into(),
        })
        .collect();
    let source = UsageSource {
        tenant_id,
        token_id: None,
        member_id: None,
        origin: Origin::Hosted,
    };
    store.add_usage(source, &events, at).await.unwrap();
}

/// Companies with different names, states, tiers and figures; `NOW` is noon of a day.
const NOW: i64 = 1_800_000_000_000 - 1_800_000_000_000 % DAY + DAY / 2;

async fn companies(store: &Store) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, name) in [
        "Acme 100% Heating",
        "bolt plumbing",
        "Çelik Air",
        "Dry_Ducts",
    ]
    .into_iter()
    .enumerate()
    {
        let created = NOW - 10 * DAY + i64::try_from(number).unwrap();
        let owner = format!("owner{number}@example.com");
        let member = store.add_tenant(name, &owner, "free", created).await;
        ids.push(member.unwrap().tenant_id);
    }
    let tier = Change::Tier {
        tier: "pro",
        limits: None,
    };
    store
        .change_tenant(&ids[1], tier, "test", NOW)
        .await
        .unwrap();
    let why = Change::Suspend { why: "unpaid" };
    store
        .change_tenant(&ids[2], why, "test", NOW)
        .await
        .unwrap();
    store.touch_tenant(&ids[3], NOW).await.unwrap();
    called(store, &ids[1], NOW, &[("ok", 10), ("error", 20)]).await;
    called(store, &ids[0], NOW, &[("ok", 10)]).await;
    // Yesterday's do not count today.
    called(store, &ids[0], NOW - DAY, &[("ok", 1); 5]).await;
    ids
}

#[tokio::test]
async fn companies_are_found_by_words_state_and_tier() {
    let database = Database::new().await;
    let store = Store::open(&database.url).await.unwrap();
    let ids = companies(&store).await;
    let found = async |wanted: Wanted<'_>| {
        let wanted = Wanted {
            sort: Sort::Company,
            ..wanted
        };
        let list = store.companies(wanted, NOW - DAY / 2, (0, 50)).await;
        let list = list.unwrap();
        assert_eq!(
            store.count_companies(wanted).await.unwrap(),
            i64::try_from(list.len()).unwrap()
        );
        let numbers = list.iter().map(|one| {
            let same = |id: &String| *id == one.tenant.id;
            ids.iter().position(same).unwrap()
        });
        numbers.collect::<Vec<_>>()
    };
    let words = async |text| {
        let wanted = Wanted {
            text,
            ..Wanted::default()
        };
        found(wanted).await
    };

    assert_eq!(words("").await.len(), 4);
    assert_eq!(words(" HEATING ").await, [0]);
    assert_eq!(words("Çelik").await, [2]);
    assert_eq!(words("owner3@").await, [3]);
    assert_eq!(words(&ids[1]).await, [1]);
    // Signs of LIKE are letters like any other.
    assert_eq!(words("100%").await, [0]);
    assert_eq!(words("%").await, [0]);
    assert_eq!(words("_").await.len(), 4, "ids have one");
    assert_eq!(words("y_d").await, [3]);
    assert_eq!(words("!").await, Vec::<usize>::new());
    assert_eq!(words("' OR 1=1 --").await, Vec::<usize>::new());
    let in_state = async |state| {
        let wanted = Wanted {
            state: Some(state),
            ..Wanted::default()
        };
        found(wanted).await
    };
    assert_eq!(in_state(State::Suspended).await, [2]);
    assert_eq!(in_state(State::New).await, [0, 1, 3]);
    assert_eq!(in_state(State::Active).await, Vec::<usize>::new());
    let pro = Wanted {
        tier: "pro",
        ..Wanted::default()
    };
    assert_eq!(found(pro).await, [1]);
    store.close().await;
}

#[tokio::test]
async fn companies_are_in_order_and_pages_do_not_overlap() {
    let database = Database::new().await;
    let store = Store::open(&database.url).await.unwrap();
    let ids = companies(&store).await;
    let sorted = async |sort, is_reversed| {
        let wanted = Wanted {
            sort,
            is_reversed,
            ..Wanted::default()
        };
        let list = store.companies(wanted, NOW - DAY / 2, (0, 50)).await;
        let list = list.unwrap();
        let first = &list[0];
        let number = ids.iter().position(|id| *id == first.tenant.id).unwrap();
        (number, first.calls_today)
    };

    assert_eq!(sorted(Sort::Company, false).await.0, 0);
    assert_eq!(sorted(Sort::Seen, false).await.0, 3);
    assert_eq!(sorted(Sort::Calls, false).await, (1, 2));
    assert_eq!(sorted(Sort::Created, false).await.0, 3);
    assert_eq!(sorted(Sort::Created, true).await.0, 0);
    let wanted = Wanted::default();
    let mut seen = Vec::new();
    for offset in 0..4 {
        let page = store.companies(wanted, NOW - DAY / 2, (offset, 1)).await;
        seen.push(page.unwrap()[0].tenant.id.clone());
    }
    seen.sort();
    let mut all = ids.clone();
    all.sort();
    assert_eq!(seen, all);
    store.close().await;
}

#[tokio::test]
async fn the_fleet_and_the_newest_calls_are_told() {
    let database = Database::new().await;
    let store = Store::open(&database.url).await.unwrap();
    let ids = companies(&store).await;

    let groups = store.groups().await.unwrap();
    let told: Vec<_> = groups
        .iter()
        .map(|group| (group.state.word(), group.tier.as_str(), group.companies))
        .collect();
    assert_eq!(
        told,
        [
            ("new", "free", 2),
            ("new", "pro", 1),
            ("suspended", "free", 1)
        ]
    );
    let busiest = store.busiest(NOW - 7 * DAY, 1).await.unwrap();
    assert_eq!(busiest.len(), 1);
    assert_eq!(
        (busiest[0].0.calls, busiest[0].1.as_str()),
        (6, "Acme 100% Heating")
    );
    let failed = store.failed_calls(&ids[1], NOW - DAY, 20).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].status.as_str(), failed[0].duration_ms),
        ("error", 20)
    );
    let durations = store.durations(&ids[0], NOW - DAY / 2).await.unwrap();
    assert_eq!(durations, [(NOW, 10)]);
    assert!(store.size().await.unwrap() > 10_000);
    let (open, used) = store.connections();
    assert!(open > 0 && used <= open);
    assert!(store.lost_connections(10).await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn the_audit_log_is_searched() {
    let database = Database::new().await;
    let store = Store::open(&database.url).await.unwrap();
    let ids = companies(&store).await;
    let entry = Entry {
        at: NOW + 1,
        actor: "Ann_b@example.com".to_owned(),
        action: "tenant.note".to_owned(),
        tenant_id: Some("ten_gone".to_owned()),
        before: None,
        after: Some("x".to_owned()),
    };
    store.note(&entry).await.unwrap();
    let found = async |which: Traces<'_>| store.traces(which, (0, 50)).await.unwrap();

    let all = found(Traces::default()).await;
    assert_eq!(all[0].0, entry);
    assert_eq!(all[0].1, None, "the company is gone");
    for which in [
        Traces {
            actor: "ann_B@",
            ..Traces::default()
        },
        Traces {
            tenant_id: "ten_gone",
            ..Traces::default()
        },
        Traces {
            action: "tenant.note",
            actor: "ann",
            ..Traces::default()
        },
    ] {
        let found = found(which).await;
        assert_eq!(found.len(), 1, "{which:?}");
    }
    let suspended = Traces {
        action: "tenant.suspend",
        ..Traces::default()
    };
    let suspended = found(suspended).await;
    assert_eq!(suspended.len(), 1);
    assert_eq!(suspended[0].0.tenant_id.as_deref(), Some(&*ids[2]));
    assert_eq!(suspended[0].1.as_deref(), Some("Çelik Air"));
    let second = store.traces(Traces::default(), (1, 1)).await.unwrap();
    assert_eq!(second[0], all[1]);
    store.close().await;
}

#[tokio::test]
async fn the_panel_is_there_for_operators_alone() {
    let service = service().await;
    let company = Company::new(&service, "Acme Heating", OWNER).await;
    let tenant = format!("/admin/tenants/{}", company.tenant_id);
    let pages = [
        "/admin".to_owned(),
        "/admin/fleet".to_owned(),
        "/admin/audit".to_owned(),
        "/admin/usage.csv".to_owned(),
        tenant.clone(),
        format!("{tenant}/limits"),
        format!("{tenant}/suspend"),
        format!("{tenant}/delete"),
        format!("{tenant}/devices/{}", company.device_id),
    ];
    let (operator, owner) = (
        signed_in(&service, OPERATOR).await,
        signed_in(&service, OWNER).await,
    );
    let nothing = get(&service, &owner, "/admin/nothing").await;
    let nothing = nothing.text().await.unwrap();

    for path in &pages {
        assert_eq!(get(&service, &operator, path).await.status(), 200, "{path}");
        let stranger = get(&service, "", path).await;
        assert_eq!(stranger.status(), 303, "{path}");
        assert!(
            header(stranger.headers(), "location").starts_with("/sign-in"),
            "{path}"
        );
        let refused = get(&service, &owner, path).await;
        assert_eq!(refused.status(), 404, "{path}");
        assert_eq!(refused.text().await.unwrap(), nothing, "{path}");
    }
    for act in ["note", "resume", "limits", "suspend", "delete"] {
        let path = format!("{tenant}/{act}");
        let fields = [("confirm", "Acme Heating"), ("why", "x"), ("tier", "pro")];
        let refused = post(&service, &owner, &path, &fields).await;
        assert_eq!(refused.status(), 404, "{path}");
        let stranger = post(&service, "sf_session=sfs_x", &path, &fields).await;
        assert!(matches!(stranger.status().as_u16(), 303 | 403), "{path}");
    }
    let tenant = service.app.store.tenant(&company.tenant_id).await.unwrap();
    let tenant = tenant.unwrap();
    assert_eq!((tenant.tier.as_str(), tenant.suspended_at), ("free", None));
    assert_eq!(
        get(&service, &operator, "/admin/tenants/ten_x")
            .await
            .status(),
        404
    );
    service.stop().await;
}

#[tokio::test]
async fn a_session_that_is_left_alone_ends() {
    let service = service().await;
    let cookie = signed_in(&service, OPERATOR).await;
    let clock = &service.around.clock;

    for _ in 0..2 {
        clock.advance(29 * MINUTE);
        assert_eq!(get(&service, &cookie, "/admin").await.status(), 200);
    }
    clock.advance(31 * MINUTE);
    let path = "/admin?q=acme";
    let ended = get(&service, &cookie, path).await;
    assert_eq!(ended.status(), 303);
    assert_eq!(
        header(ended.headers(), "location"),
        "/sign-in?next=%2Fadmin%3Fq%3Dacme"
    );
    assert!(header(ended.headers(), "set-cookie").starts_with("sf_session="));
    assert_eq!(
        get(&service, &cookie, "/app").await.status(),
        303,
        "it is over everywhere"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_form_of_another_page_changes_nothing() {
    let service = service().await;
    let company = Company::new(&service, "Acme Heating", OWNER).await;
    let cookie = signed_in(&service, OPERATOR).await;
    let path = format!("/admin/tenants/{}/suspend", company.tenant_id);
    let (_, session) = cookie.split_once('=').unwrap();
    let hash = sf_supervisor::tokens::hash(session);
    let token = service.app.master.form_token(&hash, &path);

    for (origin, request, form_token) in [
        ("https://evil.example", &*path, &*token),
        (&*service.url, "/admin", &*token),
        (&*service.url, &*path, "x"),
    ] {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("request", request)
            .append_pair("form_token", form_token)
            .append_pair("why", "x")
            .finish();
        let answer = service
            .http
            .post(format!("{}{path}", service.url))
            .header("cookie", &cookie)
            .header("origin", origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        assert_eq!(
            answer.send().await.unwrap().status(),
            403,
            "{origin} {request}"
        );
    }
    let tenant = service.app.store.tenant(&company.tenant_id).await.unwrap();
    assert_eq!(tenant.unwrap().suspended_at, None);
    service.stop().await;
}

#[tokio::test]
async fn what_an_operator_does_holds_and_is_in_the_log() {
    let service = service().await;
    let company = Company::new(&service, "Acme Heating", OWNER).await;
    let cookie = signed_in(&service, OPERATOR).await;
    let path = format!("/admin/tenants/{}", company.tenant_id);
    let act = async |name: &str, fields: &[(&str, &str)]| {
        post(&service, &cookie, &format!("{path}/{name}"), fields).await
    };
    let usage = async || {
        let asking = service.get("/api/usage").bearer_auth(&company.bearer);
        asking.send().await.unwrap().status().as_u16()
    };

    let asked = get(
        &service,
        &cookie,
        &format!("{path}/limits?tier=pro&per_day=7"),
    )
    .await;
    let asked = text(asked).await;
    assert!(
        asked.contains("7 a day, 32 under way at once, some of them its own"),
        "{asked}"
    );
    let tenant = async || {
        service
            .app
            .store
            .tenant(&company.tenant_id)
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(tenant().await.tier, "free", "looking changes nothing");
    assert_eq!(act("limits", &[("tier", "gold")]).await.status(), 422);
    assert_eq!(
        act("limits", &[("tier", "pro"), ("burst", "-1")])
            .await
            .status(),
        422
    );
    assert_eq!(
        act("limits", &[("tier", "pro"), ("per_day", "7")])
            .await
            .status(),
        303
    );
    let now = tenant().await;
    assert_eq!(
        (now.tier.as_str(), now.limits.as_deref()),
        ("pro", Some(r#"{"per_day":7}"#))
    );

    assert_eq!(act("suspend", &[("why", " ")]).await.status(), 422);
    assert_eq!(usage().await, 200);
    let suspended = act("suspend", &[("why", "unpaid")]).await;
    assert_eq!(
        header(suspended.headers(), "location"),
        format!("{path}?done=suspended")
    );
    assert_eq!(usage().await, 403);
    assert_eq!(act("resume", &[]).await.status(), 303);
    assert_eq!(usage().await, 200);
    assert_eq!(
        act("note", &[("note", "rings at noon")]).await.status(),
        303
    );
    let export = service.get("/api/export").bearer_auth(&company.bearer);
    let export = text(export.send().await.unwrap()).await;
    assert!(export.contains("tenant.tier"), "{export}");
    assert!(!export.contains("rings at noon"), "notes are for operators");
    let revoked = act(&format!("devices/{}", company.device_id), &[]).await;
    assert_eq!(revoked.status(), 303);
    let again = act(&format!("devices/{}", company.device_id), &[]).await;
    assert_eq!(again.status(), 404);

    let log = format!("/admin/audit?company={}", company.tenant_id);
    let log = text(get(&service, &cookie, &log).await).await;
    for words in [
        "set tier and limits",
        "suspended",
        "resumed",
        "changed the note",
        "revoked a device",
        "why: unpaid",
        "tier: pro",
        OPERATOR,
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    service.stop().await;
}

#[tokio::test]
async fn deleting_needs_a_new_code_and_the_name() {
    let service = service().await;
    let company = Company::new(&service, "Acme Heating", OWNER).await;
    let cookie = signed_in(&service, OPERATOR).await;
    let path = format!("/admin/tenants/{}/delete", company.tenant_id);
    let delete = async |cookie: &str, name: &str| {
        let fields = [("confirm", name)];
        post(&service, cookie, &path, &fields)
            .await
            .status()
            .as_u16()
    };

    assert_eq!(delete(&cookie, "acme").await, 422);
    service.around.clock.advance(11 * MINUTE);
    assert_eq!(
        delete(&cookie, "Acme Heating").await,
        422,
        "the code is too old"
    );
    let page = text(get(&service, &cookie, &path).await).await;
    assert!(page.contains("Sign in again"), "{page}");
    let again = post(&service, &cookie, "/admin/again", &[("next", &path)]).await;
    assert!(header(again.headers(), "location").starts_with("/sign-in?next=%2Fadmin%2Ftenants"));
    assert_eq!(
        delete(&cookie, "Acme Heating").await,
        303,
        "that session is over"
    );
    let tenant = async || service.app.store.tenant(&company.tenant_id).await.unwrap();
    assert!(tenant().await.is_some());
    let cookie = signed_in(&service, OPERATOR).await;
    assert_eq!(delete(&cookie, "Acme Heating").await, 303);
    assert!(tenant().await.is_none());
    let log = text(get(&service, &cookie, "/admin/audit").await).await;
    assert!(log.contains("deleted the company"), "{log}");
    service.stop().await;
}

#[tokio::test]
async fn usage_of_a_period_is_a_table_without_formulas() {
    let service = service().await;
    let company = Company::new(&service, "=1+1 \"Acme\"", OWNER).await;
    let cookie = signed_in(&service, OPERATOR).await;
    let store = &service.app.store;
    // 2027-01-15
    called(store, &company.tenant_id, NOW, &[("ok", 5), ("error", 7)]).await;

    let all = get(
        &service,
        &cookie,
        "/admin/usage.csv?from=2027-01-01&to=2027-01-31",
    )
    .await;
    let kind = header(all.headers(), "content-disposition").to_owned();
    assert_eq!(
        kind,
        "attachment; filename=\"usage-2027-01-01-to-2027-01-31.csv\""
    );
    let all = text(all).await;
    let id = &company.tenant_id;
    assert_eq!(
        all,
        format!(
            "tenant,company,calls,errors,duration_ms,bytes\r\n{id},\"'=1+1 \"\"Acme\"\"\",2,1,12,2\r\ntotal,,2,1,12,2\r\n"
        )
    );
    let one = format!("/admin/usage.csv?company={id}&from=2027-01-15&to=2027-01-15");
    let one = text(get(&service, &cookie, &one).await).await;
    assert_eq!(
        one,
        "day,calls,errors,duration_ms,bytes\r\n2027-01-15,2,1,12,2\r\ntotal,2,1,12,2\r\n"
    );
    for wrong in ["from=2027-02-01&to=2027-01-01", "from=x", "company=ten_x"] {
        let answer = get(&service, &cookie, &format!("/admin/usage.csv?{wrong}")).await;
        assert!(answer.status().is_client_error(), "{wrong}");
    }
    service.stop().await;
}

#[tokio::test]
async fn the_panel_never_shows_a_secret() {
    let service = service().await;
    let company = Company::new(&service, "Acme Heating", OWNER).await;
    let owner = service
        .app
        .store
        .memberships(OWNER)
        .await
        .unwrap()
        .remove(0);
    activate(&service, &owner).await;
    let cookie = signed_in(&service, OPERATOR).await;
    let token = service.app.broker.token(&company.tenant_id).await.unwrap();
    let account = service.app.vault.account(&company.tenant_id).await.unwrap();
    let secrets = [
        sf_mcp::sandbox::CLIENT_ID.to_owned(),
        sf_mcp::sandbox::CLIENT_SECRET.to_owned(),
        token.access_token.expose_secret().to_owned(),
        account.unwrap(),
        company.device.clone(),
        company.bearer.clone(),
        sf_supervisor::tokens::hash(&company.device),
    ];

    for path in [
        "/admin".to_owned(),
        "/admin/fleet".to_owned(),
        "/admin/audit".to_owned(),
        format!("/admin/tenants/{}", company.tenant_id),
    ] {
        let page = text(get(&service, &cookie, &path).await).await;
        for secret in &secrets {
            assert!(!page.contains(secret.as_str()), "{path} has {secret}");
        }
    }
    let page = format!("/admin/tenants/{}", company.tenant_id);
    let page = text(get(&service, &cookie, &page).await).await;
    assert!(
        page.contains("connected</span> with an OAuth Consumer"),
        "{page}"
    );
    service.stop().await;
}

#[tokio::test]
async fn what_people_write_is_text() {
    let service = service().await;
    let nasty = r#"<img src=x onerror=alert(1)>"'><script>alert(2)</script>"#;
    let company = Company::new(&service, nasty, OWNER).await;
    let cookie = signed_in(&service, OPERATOR).await;
    let path = format!("/admin/tenants/{}", company.tenant_id);
    for (act, field) in [("note", "note"), ("suspend", "why")] {
        let done = post(
            &service,
            &cookie,
            &format!("{path}/{act}"),
            &[(field, nasty)],
        )
        .await;
        assert_eq!(done.status(), 303);
    }
    for path in [
        "/admin".to_owned(),
        format!(
            "/admin?q={}",
            json!(nasty)
                .as_str()
                .unwrap()
                .replace(['#', '%', ' ', '"', '&'], "+")
        ),
        "/admin/audit".to_owned(),
        format!("{path}/suspend"),
        format!("{path}/delete"),
        path.clone(),
    ] {
        let page = text(get(&service, &cookie, &path).await).await;
        assert!(!page.contains("<img src=x"), "{path}");
        assert!(!page.contains("<script>alert"), "{path}");
    }
    service.stop().await;
}
