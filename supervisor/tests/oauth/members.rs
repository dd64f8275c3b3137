//! Colleagues, and what ends their access.

use secrecy::ExposeSecret;
use sf_supervisor::{
    store::{Change, NewToken},
    tokens::{self, Kind},
};

use super::*;

async fn bearer(service: &Service, member: &Member) -> String {
    let new = tokens::generate(Kind::Bearer).unwrap();
    let token = NewToken {
        tenant_id: &member.tenant_id,
        member_id: Some(&member.id),
        kind: Kind::Bearer,
        name: "test",
        hash: &new.hash,
        client: None,
        form: None,
        scopes: &member.scopes,
        created_at: service.app.clock.now(),
        expires_at: None,
    };
    service.app.store.add_token(&token).await.unwrap();
    new.token.expose_secret().to_owned()
}

async fn invite(service: &Service, token: &str, said: &Value) -> (u16, Value) {
    let answer = service
        .post("/api/members", said)
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

#[tokio::test]
async fn an_owner_invites_and_removes_a_colleague() {
    let (service, owner) = inhabited().await;
    let token = bearer(&service, &owner).await;
    let bert = "bert@example.com";
    let (status, invited) = invite(&service, &token, &json!({"email": "Bert@Example.com"})).await;
    assert_eq!(
        (status, text(&invited, "scopes")),
        (201, "sf:read"),
        "{invited}"
    );
    let mail = service.mails(bert, 1).await.remove(0);
    assert!(
        mail.contains("Acme Heating") && mail.contains("/mcp"),
        "{mail}"
    );
    assert_eq!(
        invite(&service, &token, &json!({"email": bert})).await.0,
        409
    );
    for bad in [
        json!({"email": "x"}),
        json!({"email": "a@example.com", "scopes": "sf:admin"}),
    ] {
        assert_eq!(invite(&service, &token, &bad).await.0, 400);
    }

    // Whoever may only read cannot allow more.
    let client_id = client(&service).await;
    let mut browser = Browser::new(&service);
    let query = request(&service, &client_id, &[("scope", "sf:write")]);
    let page = browser.sign_in(&service, &query, bert).await;
    assert!(!page.html.contains("name=\"write\""));
    let code = browser.allow(&page, true).await;
    let (_, tokens) = exchange(&service, &client_id, &code).await;
    assert_eq!(tokens["scope"], "sf:read");
    let access = text(&tokens, "access_token");
    assert_eq!(call(&service, access, "get_dispatch_board").await.0, 200);

    let id = text(&invited, "id");
    let member = service
        .app
        .store
        .member(&owner.tenant_id, id)
        .await
        .unwrap()
        .unwrap();
    let colleague = bearer(&service, &member).await;
    assert_eq!(
        invite(&service, &colleague, &json!({"email": "c@example.com"}))
            .await
            .0,
        403
    );
    let remove = async |token: &str, id: &str| {
        let url = format!("{}/api/members/{id}", service.url);
        let request = service.http.delete(url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(remove(&colleague, &owner.id).await, 403);
    assert_eq!(remove(&token, &owner.id).await, 409);
    let stranger = company(&service, "Cool Air", "other@example.com").await;
    assert_eq!(remove(&token, &stranger.id).await, 404);
    assert_eq!(remove(&token, id).await, 204);
    assert_eq!(remove(&token, id).await, 404);
    assert_eq!(call(&service, access, "get_dispatch_board").await.0, 401);
    assert_eq!(
        call(&service, &colleague, "get_dispatch_board").await.0,
        401
    );
    assert_eq!(
        refresh(&service, &client_id, text(&tokens, "refresh_token"))
            .await
            .0,
        400
    );

    // The signed-in browser finds no company any more, until there is another invitation.
    assert_eq!(browser.open(&query).await.status, 403);
    let (status, again) = invite(
        &service,
        &token,
        &json!({"email": bert, "scopes": "sf:write"}),
    )
    .await;
    assert_eq!((status, text(&again, "scopes")), (201, "sf:read sf:write"));
    assert_eq!(browser.open(&query).await.status, 200);
    assert_eq!(
        call(&service, access, "get_dispatch_board").await.0,
        401,
        "what was, stays ended"
    );
    let list = service
        .get("/api/members")
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    let list: Value = serde_json::from_str(&list.text().await.unwrap()).unwrap();
    assert_eq!(list["members"].as_array().unwrap().len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_suspended_company_is_refused_at_the_next_request() {
    let (service, owner) = inhabited().await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, false).await;
    let access = text(&tokens, "access_token");
    assert_eq!(call(&service, access, "get_dispatch_board").await.0, 200);
    let (store, now) = (&service.app.store, service.app.clock.now());
    let suspend = Change::Suspend { why: "unpaid" };
    store
        .change_tenant(&owner.tenant_id, suspend, "cli", now)
        .await
        .unwrap();
    assert_eq!(call(&service, access, "get_dispatch_board").await.0, 403);
    assert_eq!(
        refresh(&service, &client_id, text(&tokens, "refresh_token"))
            .await
            .0,
        400
    );
    service.stop().await;
}

#[tokio::test]
async fn people_see_and_end_the_clients_they_connected() {
    let (service, owner) = inhabited().await;
    let token = bearer(&service, &owner).await;
    let bert = "bert@example.com";
    let (_, invited) = invite(&service, &token, &json!({"email": bert})).await;
    let member = text(&invited, "id");
    let member = service
        .app
        .store
        .member(&owner.tenant_id, member)
        .await
        .unwrap()
        .unwrap();
    let colleague = bearer(&service, &member).await;
    service.mails(bert, 1).await;
    let client_id = client(&service).await;
    let owners = connected(&service, &client_id, OWNER, false).await;
    let berts = connected(&service, &client_id, bert, false).await;

    let list = service
        .get("/api/connections")
        .bearer_auth(&colleague)
        .send()
        .await
        .unwrap();
    let list: Value = serde_json::from_str(&list.text().await.unwrap()).unwrap();
    let id_of = |member: &str| {
        let all = list["connections"].as_array().unwrap();
        let found = all
            .iter()
            .find(|connection| connection["member_id"] == member);
        text(found.unwrap(), "id").to_owned()
    };
    let (owners_id, berts_id) = (id_of(&owner.id), id_of(&member.id));
    let end = async |token: &str, id: &str| {
        let url = format!("{}/api/connections/{id}", service.url);
        let request = service.http.delete(url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let stranger = company(&service, "Cool Air", "other@example.com").await;
    let stranger = bearer(&service, &stranger).await;
    assert_eq!(end(&stranger, &berts_id).await, 404);
    assert_eq!(end(&colleague, &owners_id).await, 403);
    assert_eq!(end(&colleague, &berts_id).await, 204);
    assert_eq!(end(&token, &berts_id).await, 404);
    assert_eq!(
        call(&service, text(&berts, "access_token"), "get_dispatch_board")
            .await
            .0,
        401
    );
    assert_eq!(
        call(
            &service,
            text(&owners, "access_token"),
            "get_dispatch_board"
        )
        .await
        .0,
        200
    );
    service.stop().await;
}
