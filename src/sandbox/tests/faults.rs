//! Faults: what goes wrong, and what was done all the same.

use serde_json::json;

use super::{Tested, options};

#[tokio::test]
async fn a_dropped_answer_leaves_the_record() {
    let tested = Tested::start(options()).await;
    tested.fault(json!([{"match": {"method": "POST", "path_contains": "/customers"}, "kind": "drop_after"}])).await;

    let lost = tested
        .send(
            "POST",
            "/v1/customers",
            "Content-Type: application/json\r\n",
            r#"{"customer_name": "Lost Answer"}"#,
        )
        .await;

    assert!(lost.is_err());
    let found = tested
        .get("/v1/customers?filters[name]=Lost%20Answer")
        .await
        .json();
    assert_eq!(found["_meta"]["totalCount"], 1);
}

#[tokio::test]
async fn a_request_dropped_before_handling_leaves_nothing() {
    let tested = Tested::start(options()).await;
    tested
        .fault(json!([{"match": {"method": "POST"}, "kind": "drop_before"}]))
        .await;

    let lost = tested
        .send(
            "POST",
            "/v1/customers",
            "Content-Type: application/json\r\n",
            r#"{"customer_name": "Never Heard"}"#,
        )
        .await;

    assert!(lost.is_err());
    assert_eq!(tested.state().await["created"]["customers"], 0);
}

#[tokio::test]
async fn bodies_break_in_the_way_asked_for() {
    let tested = Tested::start(options()).await;
    let kinds = ["truncate", "malformed", "empty", "html"]
        .map(|kind| json!({"kind": kind, "match": {"path_contains": "/me"}}));
    tested.fault(json!(kinds)).await;

    assert!(tested.send("GET", "/v1/me", "", "").await.is_err());
    let malformed = tested.get("/v1/me").await;
    assert!(
        malformed.status == 200
            && serde_json::from_str::<serde_json::Value>(&malformed.body).is_err()
    );
    let empty = tested.get("/v1/me").await;
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    assert!(tested.get("/v1/me").await.headers["content-type"].starts_with("text/html"));
    assert!(tested.get("/v1/me").await.json()["id"].is_i64());
}

#[tokio::test]
async fn a_status_comes_with_its_headers() {
    let tested = Tested::start(options()).await;
    tested
        .fault(json!([{"kind": "status", "status": 503, "html": true, "retry_after": 7}]))
        .await;

    let reply = tested.get("/v1/jobs").await;

    assert_eq!((reply.status, reply.number("retry-after")), (503, 7));
    assert!(reply.headers.contains_key("x-rate-limit-remaining"));
    assert_eq!(tested.get("/v1/jobs").await.status, 200);
}

#[tokio::test]
async fn expired_tokens_answer_401_until_renewed() {
    let tested = Tested::start(options()).await;
    tested.fault(json!([{"kind": "expire_tokens"}])).await;

    assert_eq!(tested.get("/v1/me").await.status, 401);
    assert_eq!(tested.get("/v1/me").await.status, 401);
}

#[tokio::test]
async fn a_hanging_request_counts_as_cancelled_when_its_client_leaves() {
    let tested = Tested::start(options()).await;
    tested
        .fault(json!([{"match": {"path_contains": "/techs"}, "kind": "hang"}]))
        .await;

    {
        let mut hanging = Box::pin(tested.send("GET", "/v1/techs", "", ""));
        loop {
            tokio::select! {
                _ = &mut hanging => panic!("a hanging request was answered"),
                state = tested.state() => if state["in_flight"] == 1 { break },
            }
        }
    }

    while tested.state().await["cancelled"] != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tested.state().await["in_flight"], 0);
}

#[tokio::test]
async fn faults_can_be_cleared_and_wrong_ones_are_refused() {
    let tested = Tested::start(options()).await;
    tested.fault(json!([{"kind": "hang", "times": 9}])).await;

    assert_eq!(
        tested
            .send("DELETE", "/sandbox/faults", "", "")
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(tested.get("/v1/me").await.status, 200);
    assert_eq!(
        tested
            .post("/sandbox/faults", &json!([{"kind": "gremlin"}]))
            .await
            .status,
        400
    );
}
