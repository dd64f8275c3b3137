//! What is refused, and where the refusal is said.

use super::*;

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_registered() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let mut browser = Browser::new(&service);
    for change in [
        ("client_id", ""),
        ("client_id", "cli_unknown"),
        ("client_id", "https://127.0.0.1/client"),
        ("client_id", "https://localhost/client"),
        ("client_id", "http://client.example/client"),
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "http://127.0.0.1:3118/callback/../evil"),
        (
            "redirect_uri",
            "http://127.0.0.1:3118@evil.example/callback",
        ),
        ("redirect_uri", "http://localhost:3118/callback"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        let page = browser
            .open(&request(&service, &client_id, &[change]))
            .await;
        assert_eq!(page.status, 400, "{change:?}");
        assert!(
            page.location.is_none()
                && page.headers["content-type"]
                    .to_str()
                    .unwrap()
                    .starts_with("text/html")
        );
    }
    for name in ["client_id", "redirect_uri"] {
        let query = request(&service, &client_id, &[]);
        let page = browser.open(&format!("{query}&{name}=x")).await;
        assert_eq!(
            (page.status, page.location.is_none()),
            (400, true),
            "{name} twice"
        );
    }
    // Any port of the loopback address is good.
    let other_port = ("redirect_uri", "http://127.0.0.1:50001/callback");
    assert_eq!(
        browser
            .open(&request(&service, &client_id, &[other_port]))
            .await
            .status,
        200
    );
    service.stop().await;
}

#[tokio::test]
async fn a_client_is_told_what_is_wrong_with_its_request() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let mut browser = Browser::new(&service);
    for (change, error) in [
        (("response_type", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("resource", "https://other.example/mcp"), "invalid_target"),
        (("resource", "x"), "invalid_target"),
        (("scope", "sf:admin"), "invalid_scope"),
        (
            ("request_uri", "https://evil.example/"),
            "request_not_supported",
        ),
    ] {
        let page = browser
            .open(&request(&service, &client_id, &[change]))
            .await;
        assert_eq!(page.status, 303, "{change:?}");
        assert!(page.location.as_deref().unwrap().starts_with(REDIRECT));
        let sent = page.sent();
        assert_eq!(sent["error"], error, "{change:?}");
        assert_eq!(
            (sent["state"].as_str(), sent["iss"].as_str()),
            ("st&te=1", service.url.as_str())
        );
        assert!(!sent.contains_key("code"));
    }
    for name in ["scope", "state", "resource", "code_challenge", "x"] {
        let query = request(&service, &client_id, &[("x", "1")]);
        let page = browser.open(&format!("{query}&{name}=y")).await;
        assert_eq!(page.sent()["error"], "invalid_request", "{name} twice");
    }
    for good in [
        ("resource", ""),
        ("scope", ""),
        ("state", ""),
        ("resource", &format!("{}/mcp/", service.url)),
    ] {
        let page = browser.open(&request(&service, &client_id, &[good])).await;
        assert_eq!(page.status, 200, "{good:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_consent_counts_only_from_the_page_it_was_given_to() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let mut browser = Browser::new(&service);
    let query = request(&service, &client_id, &[]);
    let page = browser.sign_in(&service, &query, OWNER).await;
    let tenant = page.field("tenant_id");
    let (asked, token) = (page.field("request"), page.field("form_token"));
    let form = [
        ("request", asked.as_str()),
        ("form_token", &token),
        ("tenant_id", &tenant),
        ("decision", "allow"),
    ];

    for origin in [Some("https://evil.example"), Some("null"), None] {
        let mut foreign = browser.clone();
        foreign.origin = origin.map(str::to_owned);
        assert_eq!(
            foreign.post("/oauth/consent", &form).await.status,
            403,
            "{origin:?}"
        );
    }
    let mut without_cookie = browser.clone();
    without_cookie.cookie = None;
    assert_eq!(
        without_cookie.post("/oauth/consent", &form).await.status,
        403
    );
    // Another browser's form, another request's form, no token.
    let mut other = Browser::new(&service);
    let others = other.open(&query).await.field("form_token");
    let elsewhere = request(&service, &client_id, &[("state", "other")]);
    for (request, token) in [
        (asked.as_str(), others.as_str()),
        (&elsewhere, &token),
        (&asked, ""),
    ] {
        let mut form = form;
        form[0].1 = request;
        form[1].1 = token;
        assert_eq!(browser.post("/oauth/consent", &form).await.status, 403);
    }
    let twice = [&form[..], &[("decision", "deny")]].concat();
    let denied = browser.post("/oauth/consent", &twice).await;
    assert_eq!(
        denied.sent()["error"],
        "access_denied",
        "what comes twice is no consent"
    );
    let denied = browser
        .submit(&page, "/oauth/consent", &[("decision", "deny")])
        .await
        .sent();
    assert_eq!(
        (denied["error"].as_str(), denied["state"].as_str()),
        ("access_denied", "st&te=1")
    );

    // Signed out, the form leads to the sign-in.
    browser.submit(&page, "/oauth/sign-out", &[]).await;
    assert_eq!(browser.post("/oauth/consent", &form).await.status, 403);
    let page = browser.open(&query).await;
    assert!(page.html.contains("autocomplete=\"email\""));
    assert!(browser.post("/oauth/consent", &form).await.status == 403);
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_address_sees_what_a_known_one_sees() {
    let (service, _) = inhabited().await;
    let client_id = client(&service).await;
    let query = request(&service, &client_id, &[]);
    let mut seen = Vec::new();
    for email in [OWNER, "nobody@example.com"] {
        let mut browser = Browser::new(&service);
        let page = browser.open(&query).await;
        let page = browser
            .submit(&page, "/oauth/sign-in", &[("email", email)])
            .await;
        let token = page.field("form_token");
        seen.push((
            page.status,
            page.html.replace(email, "…").replace(&token, "…"),
        ));
        let wrong = browser
            .submit(&page, "/oauth/code", &[("email", email), ("otp", "000000")])
            .await;
        assert_eq!(wrong.status, 400);
        let token = wrong.field("form_token");
        seen.push((
            wrong.status,
            wrong.html.replace(email, "…").replace(&token, "…"),
        ));
    }
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[1], seen[3]);
    let mail = service.mails("nobody@example.com", 1).await.remove(0);
    assert!(!mail.contains("your code is"));
    // A browser that asks for too many mails is told so on the page.
    let mut browser = Browser::new(&service);
    let page = browser.open(&query).await;
    let mut last = 200;
    for _ in 0..4 {
        last = browser
            .submit(&page, "/oauth/sign-in", &[("email", OWNER)])
            .await
            .status;
    }
    assert_eq!(last, 429);
    service.stop().await;
}

#[tokio::test]
async fn registrations_are_taken_whole_or_not_at_all() {
    let (service, _) = inhabited().await;
    for uris in [
        json!(["https://claude.ai/api/mcp/auth_callback"]),
        json!(["http://localhost:3118/callback"]),
        json!([
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback"
        ]),
        json!([
            "https://vscode.dev/redirect",
            "https://insiders.vscode.dev/redirect",
            "http://127.0.0.1/",
            "http://127.0.0.1:33418/"
        ]),
        json!(["https://chatgpt.com/connector_platform_oauth_redirect"]),
    ] {
        let said = json!({"redirect_uris": uris, "client_name": "Known", "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"], "token_endpoint_auth_method": "none", "application_type": "native", "unknown": {"x": 1}});
        let (status, answer) = register(&service, &said).await;
        assert_eq!(status, 201, "{answer}");
        assert_eq!(answer["redirect_uris"], uris);
        assert_eq!(answer["application_type"], "native");
        assert_eq!(answer["token_endpoint_auth_method"], "none");
        assert!(answer.get("unknown").is_none() && answer.get("client_secret").is_none());
        let (_, again) = register(&service, &said).await;
        assert_eq!(
            again["client_id"], answer["client_id"],
            "equal registrations are one"
        );
    }
    let good = "https://client.example/cb";
    for (said, error) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (json!({"redirect_uris": good}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": [good, "http://evil.example/cb"]}),
            "invalid_redirect_uri",
        ),
        (json!({"redirect_uris": [good, 1]}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": ["javascript:alert(1)"]}),
            "invalid_redirect_uri",
        ),
        (
            json!({"redirect_uris": ["https://client.example/cb#x"]}),
            "invalid_redirect_uri",
        ),
        (
            json!({"redirect_uris": ["https://a@client.example/cb"]}),
            "invalid_redirect_uri",
        ),
        (
            json!({"redirect_uris": vec![good; 21]}),
            "invalid_redirect_uri",
        ),
        (
            json!({"redirect_uris": [good], "client_name": "x\u{202e}y"}),
            "invalid_client_metadata",
        ),
        (
            json!({"redirect_uris": [good], "grant_types": ["client_credentials"]}),
            "invalid_client_metadata",
        ),
        (
            json!({"redirect_uris": [good], "response_types": ["token"]}),
            "invalid_client_metadata",
        ),
        (json!([1]), "invalid_client_metadata"),
    ] {
        let (status, answer) = register(&service, &said).await;
        assert_eq!((status, text(&answer, "error")), (400, error), "{said}");
    }
    let long = json!({"redirect_uris": [good], "client_name": "x".repeat(9_000)});
    let answer = service.post("/oauth/register", &long).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    service.stop().await;
}

#[tokio::test]
async fn unused_registrations_lapse_and_used_ones_stay() {
    let (service, _) = inhabited().await;
    let used = client(&service).await;
    connected(&service, &used, OWNER, false).await;
    let said = json!({"client_name": "Unused", "redirect_uris": [REDIRECT]});
    let unused = register(&service, &said).await.1["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let store = &service.app.store;
    store
        .forget_oauth(service.app.clock.now() + 86_400_001, 60_000)
        .await
        .unwrap();
    assert!(store.oauth_client(&used).await.unwrap().is_some());
    assert!(store.oauth_client(&unused).await.unwrap().is_none());
    service.stop().await;
}

#[tokio::test]
async fn the_token_endpoint_answers_as_clients_expect() {
    let (service, _) = inhabited().await;
    let id = client(&service).await;
    for (form, status, error) in [
        (vec![], 400, "invalid_request"),
        (vec![("client_id", id.as_str())], 400, "invalid_request"),
        (
            vec![("client_id", "cli_x"), ("grant_type", "refresh_token")],
            401,
            "invalid_client",
        ),
        (
            vec![("client_id", &id), ("grant_type", "password")],
            400,
            "unsupported_grant_type",
        ),
        (
            vec![("client_id", &id), ("grant_type", "client_credentials")],
            400,
            "unsupported_grant_type",
        ),
        (
            vec![("client_id", &id), ("grant_type", "refresh_token")],
            400,
            "invalid_request",
        ),
        (
            vec![
                ("client_id", &id),
                ("grant_type", "authorization_code"),
                ("code", "x"),
            ],
            400,
            "invalid_request",
        ),
        (
            vec![
                ("client_id", &id),
                ("grant_type", "refresh_token"),
                ("refresh_token", "x"),
            ],
            400,
            "invalid_grant",
        ),
        (
            vec![
                ("client_id", &id),
                ("client_id", &id),
                ("grant_type", "refresh_token"),
            ],
            400,
            "invalid_request",
        ),
        (
            vec![
                ("client_id", &id),
                ("grant_type", "refresh_token"),
                ("refresh_token", "x"),
                ("resource", "https://other.example/mcp"),
            ],
            400,
            "invalid_target",
        ),
        (
            vec![
                ("client_id", &id),
                ("grant_type", "authorization_code"),
                ("code", "x"),
                ("code_verifier", VERIFIER),
            ],
            400,
            "invalid_grant",
        ),
    ] {
        let (found, answer) = post_form(&service, "/oauth/token", &form).await;
        assert_eq!((found, text(&answer, "error")), (status, error), "{form:?}");
    }
    let answer = service
        .post("/oauth/token", &json!({"client_id": id}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    // A token in the address is none.
    let answer = service.get("/mcp?access_token=sfo_x").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    service.stop().await;
}

#[tokio::test]
async fn over_https_the_cookie_belongs_to_this_host_alone() {
    let service =
        Service::with(|config| config.public_url = "https://mcp.example.com".to_owned()).await;
    let client_id = client(&service).await;
    let query = request(&service, &client_id, &[]);
    let page = Browser::new(&service).open(&query).await;
    assert_eq!(page.status, 200, "{}", page.html);
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-sf_session=sfs_"), "{cookie}");
    assert!(cookie.contains("; Path=/;") && cookie.ends_with("; Secure"));
    assert!(!cookie.contains("Domain"));
    service.stop().await;
}
