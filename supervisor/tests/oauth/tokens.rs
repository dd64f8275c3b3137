//! Tokens: single use, rotation, grace, theft, the end of a connection.

use super::*;

#[tokio::test]
async fn a_code_is_good_once_and_a_replay_ends_what_it_gave() {
    let (service, owner) = inhabited().await;
    let client_id = client(&service).await;
    let mut browser = Browser::new(&service);
    let query = request(&service, &client_id, &[]);
    let page = browser.sign_in(&service, &query, OWNER).await;
    let code = browser.allow(&page, false).await;
    let (status, tokens) = exchange(&service, &client_id, &code).await;
    assert_eq!(status, 200);
    let (status, answer) = exchange(&service, &client_id, &code).await;
    assert_eq!((status, text(&answer, "error")), (400, "invalid_grant"));
    let (status, ..) = call(&service, text(&tokens, "access_token"), "list_jobs").await;
    assert_eq!(status, 401, "the replay ended it");
    let entries = service
        .app
        .store
        .entries(Some(&owner.tenant_id), 10)
        .await
        .unwrap();
    assert!(entries.iter().any(|entry| entry.action == "oauth.revoke"));

    // Too late, with another verifier, by another client, for another address.
    let code = browser.allow(&page, false).await;
    service.around.clock.advance(61_000);
    assert_eq!(exchange(&service, &client_id, &code).await.0, 400);
    let other = json!({"client_name": "Other", "redirect_uris": [REDIRECT]});
    let other = register(&service, &other).await.1["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let wrong_verifier = "x".repeat(43);
    for change in [
        ("code_verifier", wrong_verifier.as_str()),
        ("client_id", &other),
        ("redirect_uri", "http://127.0.0.1:3119/callback"),
    ] {
        let code = browser.allow(&page, false).await;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", &client_id),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", REDIRECT),
        ];
        form.retain(|(name, _)| *name != change.0);
        form.push(change);
        let (status, answer) = post_form(&service, "/oauth/token", &form).await;
        assert_eq!(
            (status, text(&answer, "error")),
            (400, "invalid_grant"),
            "{change:?}"
        );
        assert_eq!(
            exchange(&service, &client_id, &code).await.0,
            400,
            "it is burnt"
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn refreshing_in_parallel_keeps_one_branch() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, false).await;
    let old = text(&tokens, "refresh_token");
    // On PostgreSQL half of them reach another replica.
    let replica = if service.around.database.is_postgres() {
        let around = std::sync::Arc::clone(&service.around);
        let url = service.url.clone();
        Some(Service::over(around, |config| config.public_url = url).await)
    } else {
        None
    };
    let either = |number: usize| match &replica {
        Some(replica) if number.is_multiple_of(2) => replica,
        _ => &service,
    };
    let all = (0..8).map(|number| refresh(either(number), &client_id, old));
    let all = futures_util::future::join_all(all).await;
    let mut successors: Vec<_> = all
        .iter()
        .map(|(status, answer)| {
            assert_eq!(*status, 200, "{answer}");
            text(answer, "refresh_token").to_owned()
        })
        .collect();
    successors.dedup();
    assert_eq!(successors.len(), 1, "one successor for all");
    assert_ne!(successors[0], old);
    for (_, answer) in &all {
        let (status, ..) = call(&service, text(answer, "access_token"), "get_dispatch_board").await;
        assert_eq!(status, 200);
    }
    assert_eq!(refresh(&service, &client_id, &successors[0]).await.0, 200);
    service.stop().await;
}

#[tokio::test]
async fn a_refresh_token_that_is_used_after_its_grace_ends_the_family() {
    let (service, owner) = inhabited().await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, false).await;
    let stolen = text(&tokens, "refresh_token");
    let (_, second) = refresh(&service, &client_id, stolen).await;
    service.around.clock.advance(59_000);
    let (status, again) = refresh(&service, &client_id, stolen).await;
    assert_eq!(status, 200, "{again}");
    assert_eq!(again["refresh_token"], second["refresh_token"]);
    service.around.clock.advance(2_000);
    let (status, answer) = refresh(&service, &client_id, stolen).await;
    assert_eq!((status, text(&answer, "error")), (400, "invalid_grant"));
    assert_eq!(
        refresh(&service, &client_id, text(&second, "refresh_token"))
            .await
            .0,
        400
    );
    assert_eq!(
        call(&service, text(&again, "access_token"), "list_jobs")
            .await
            .0,
        401
    );
    let entries = service
        .app
        .store
        .entries(Some(&owner.tenant_id), 10)
        .await
        .unwrap();
    let ended: Vec<_> = entries
        .iter()
        .filter(|entry| entry.action == "oauth.revoke")
        .collect();
    assert_eq!(ended.len(), 1);
    assert!(
        ended[0]
            .after
            .as_deref()
            .unwrap()
            .contains("former refresh token")
    );
    service.stop().await;
}

#[tokio::test]
async fn an_older_generation_ends_the_family_even_within_the_grace() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, false).await;
    let (_, second) = refresh(&service, &client_id, text(&tokens, "refresh_token")).await;
    let (_, third) = refresh(&service, &client_id, text(&second, "refresh_token")).await;
    assert_eq!(
        refresh(&service, &client_id, text(&tokens, "refresh_token"))
            .await
            .0,
        400
    );
    assert_eq!(
        refresh(&service, &client_id, text(&third, "refresh_token"))
            .await
            .0,
        400
    );
    service.stop().await;
}

#[tokio::test]
async fn connections_end_by_time() {
    const DAY: i64 = 86_400_000;
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let mut tokens = connected(&service, &client_id, OWNER, false).await;
    let access = text(&tokens, "access_token").to_owned();
    service.around.clock.advance(3_600_001);
    assert_eq!(call(&service, &access, "list_jobs").await.0, 401);
    for _ in 0..3 {
        service.around.clock.advance(29 * DAY);
        let (status, next) = refresh(&service, &client_id, text(&tokens, "refresh_token")).await;
        assert_eq!(status, 200, "{next}");
        tokens = next;
    }
    service.around.clock.advance(4 * DAY);
    let (status, _) = refresh(&service, &client_id, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 400, "ninety days");

    service.at_window_start();
    let tokens = connected(&service, &client_id, OWNER, false).await;
    service.around.clock.advance(31 * DAY);
    let (status, _) = refresh(&service, &client_id, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 400, "thirty idle days");
    let store = &service.app.store;
    store
        .forget_oauth(service.app.clock.now() + 100 * DAY, 0)
        .await
        .unwrap();
    service.stop().await;
}

#[tokio::test]
async fn whoever_may_only_read_is_told_how_to_get_more() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, false).await;
    let (status, challenge, answer) =
        call(&service, text(&tokens, "access_token"), "create_customer").await;
    assert_eq!(status, 403, "{answer}");
    for part in [
        "error=\"insufficient_scope\"",
        "scope=\"sf:read sf:write\"",
        "/.well-known/oauth-protected-resource/mcp\"",
    ] {
        assert!(challenge.contains(part), "{challenge}");
    }
    let more = connected(&service, &client_id, OWNER, true).await;
    assert_eq!(more["scope"], "sf:read sf:write");
    let (status, ..) = call(&service, text(&more, "access_token"), "create_customer").await;
    assert_eq!(status, 200);
    // A refresh may narrow, and never widen.
    for (token, scope, expected) in [
        (text(&more, "refresh_token"), "sf:read", 200),
        (text(&tokens, "refresh_token"), "sf:write", 400),
    ] {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &client_id),
            ("refresh_token", token),
            ("scope", scope),
        ];
        let (status, answer) = post_form(&service, "/oauth/token", &form).await;
        assert_eq!(status, expected, "{answer}");
        if expected == 200 {
            assert_eq!(answer["scope"], "sf:read");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_client_ends_its_connection() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    for kind in ["access_token", "refresh_token"] {
        let tokens = connected(&service, &client_id, OWNER, false).await;
        service.around.clock.advance(600_000);
        for (client, token) in [("cli_unknown", ""), (client_id.as_str(), "sfr_unknown")] {
            let expected = if token.is_empty() { 401 } else { 200 };
            let form = [("client_id", client), ("token", text(&tokens, kind))];
            let form = if token.is_empty() {
                form
            } else {
                [("client_id", client), ("token", token)]
            };
            assert_eq!(
                post_form(&service, "/oauth/revoke", &form).await.0,
                expected
            );
        }
        assert_eq!(
            call(
                &service,
                text(&tokens, "access_token"),
                "get_dispatch_board"
            )
            .await
            .0,
            200
        );
        let form = [
            ("client_id", client_id.as_str()),
            ("token", text(&tokens, kind)),
        ];
        assert_eq!(post_form(&service, "/oauth/revoke", &form).await.0, 200);
        assert_eq!(
            call(
                &service,
                text(&tokens, "access_token"),
                "get_dispatch_board"
            )
            .await
            .0,
            401
        );
        assert_eq!(
            refresh(&service, &client_id, text(&tokens, "refresh_token"))
                .await
                .0,
            400
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn a_client_that_insists_on_a_secret_must_show_it() {
    let (service, _) = inhabited().await;
    for method in ["client_secret_post", "client_secret_basic"] {
        service.around.clock.advance(600_000);
        let said = json!({"client_name": "Web", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": method});
        let (_, client) = register(&service, &said).await;
        let (id, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
        let mut browser = Browser::new(&service);
        let page = browser
            .sign_in(&service, &request(&service, id, &[]), OWNER)
            .await;
        let code = browser.allow(&page, false).await;
        let (status, answer) = exchange(&service, id, &code).await;
        assert_eq!(
            (status, text(&answer, "error")),
            (401, "invalid_client"),
            "the code is not burnt"
        );
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", REDIRECT),
        ];
        let post = |form: String| {
            let request = service.http.post(format!("{}/oauth/token", service.url));
            request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form)
        };
        let wrong = post(encoded(&form))
            .basic_auth(id, Some("sfx_wrong"))
            .send()
            .await
            .unwrap();
        assert_eq!(wrong.status(), 401);
        assert_eq!(wrong.headers()["www-authenticate"], "Basic");
        let answer = if method == "client_secret_basic" {
            post(encoded(&form)).basic_auth(id, Some(secret))
        } else {
            form.extend([("client_id", id), ("client_secret", secret)]);
            post(encoded(&form))
        };
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    service.stop().await;
}

#[tokio::test]
async fn the_grace_is_a_setting() {
    let service = Service::with(|config| config.refresh_grace = 1_800_000).await;
    service.at_window_start();
    company(&service, "Acme Heating", OWNER).await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, false).await;
    let first = text(&tokens, "refresh_token");
    let (_, second) = refresh(&service, &client_id, first).await;
    service.around.clock.advance(1_790_000);
    let (status, again) = refresh(&service, &client_id, first).await;
    assert_eq!(
        (status, &again["refresh_token"]),
        (200, &second["refresh_token"])
    );
    // A repeat has an end within the grace, too.
    for _ in 0..16 {
        refresh(&service, &client_id, first).await;
    }
    let (status, _) = refresh(&service, &client_id, text(&second, "refresh_token")).await;
    assert_eq!(status, 400, "somebody repeats too often");
    service.stop().await;
}

#[tokio::test]
async fn a_stored_login_is_refreshed_before_metadata_is_read() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, true).await;
    let resource = service.app.config.resource();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", client_id.as_str()),
        ("refresh_token", text(&tokens, "refresh_token")),
        ("resource", resource.as_str()),
    ];
    let (status, answer) = post_form(&service, "/token", &form).await;
    assert_eq!(status, 200, "{answer}");
    let (status, ..) = call(&service, text(&answer, "access_token"), "list_jobs").await;
    assert_eq!(status, 200);
    let (status, answer) = post_form(&service, "/token", &form[..1]).await;
    assert_eq!(
        (status, text(&answer, "error")),
        (400, "invalid_request"),
        "refused as at the other address"
    );
    service.stop().await;
}
