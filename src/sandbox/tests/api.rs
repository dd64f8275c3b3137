//! Lists, single records, refusals and the rate limit.

use serde_json::Value;

use super::{Tested, options};
use crate::sandbox::Options;

fn ids(list: &Value) -> Vec<i64> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["id"].as_i64())
        .collect()
}

#[tokio::test]
async fn a_list_comes_in_an_envelope_with_equal_headers() {
    let tested = Tested::start(options()).await;

    let reply = tested
        .get("/v1/customers?per-page=50&page=2&sort=-id")
        .await;

    let list = reply.json();
    assert_eq!(list["_meta"]["perPage"], 50);
    assert_eq!(list["_meta"]["currentPage"], 2);
    assert_eq!(
        reply.number("x-pagination-total-count"),
        list["_meta"]["totalCount"].as_i64().unwrap()
    );
    assert_eq!(list["_expandable"][1], "contacts.phones");
    assert!(ids(&list).is_sorted_by(|left, right| left > right));
    assert_eq!(reply.number("x-rate-limit-limit"), 1_000_000);
}

#[tokio::test]
async fn a_page_too_far_is_the_last_one_again() {
    let tested = Tested::start(options()).await;

    let last = tested.get("/v1/estimates?per-page=40&page=3").await.json();
    let beyond = tested.get("/v1/estimates?per-page=40&page=4").await.json();

    assert_eq!(last, beyond);
    assert_eq!(last["items"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn filters_narrow_and_misspelt_ones_do_nothing() {
    let tested = Tested::start(options()).await;

    let twins = tested
        .get("/v1/customers?filters[name]=maria%20alvarez")
        .await
        .json();
    let all = tested
        .get("/v1/customers?filters[customer_name]=maria")
        .await
        .json();
    let jobs = tested.get("/v1/jobs?filters%5Bstatus%5D=On%20Site,%20On%20The%20Way&filters[start_date][gte]=2026-03-11&sort=-id&per-page=50").await.json();

    assert_eq!(twins["_meta"]["totalCount"], 2);
    assert_eq!(all["_meta"]["totalCount"], 141);
    assert!(jobs["_meta"]["totalCount"].as_i64().unwrap() >= 3);
    for job in jobs["items"].as_array().unwrap() {
        assert!(matches!(
            job["status"].as_str(),
            Some("On Site" | "On The Way")
        ));
    }
}

#[tokio::test]
async fn a_job_is_found_by_the_phone_of_its_customer() {
    let tested = Tested::start(options()).await;
    let job = tested
        .get(
            "/v1/jobs?filters[customer_name]=Elm Street Dental&sort=-id"
                .replace(' ', "%20")
                .as_str(),
        )
        .await
        .json();
    let id = &job["items"][0]["customer_id"];
    let customer = tested
        .get(&format!("/v1/customers/{id}?expand=contacts.phones"))
        .await
        .json();
    let phone = customer["contacts"][0]["phones"][0]["phone"]
        .as_str()
        .unwrap();

    let found = tested
        .get(&format!("/v1/jobs?filters[phone]={phone}&per-page=50"))
        .await
        .json();

    assert!(
        found["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|job| job["customer_id"] == *id)
    );
}

#[tokio::test]
async fn refusals_have_the_documented_bodies() {
    let tested = Tested::start(options()).await;

    assert_eq!(
        tested.get("/v1/jobs/1").await.json()["message"],
        "Item not found."
    );
    let unknown = tested.get("/v1/products").await;
    assert!(unknown.status == 404 && unknown.headers["content-type"].starts_with("text/html"));
    let method = tested.send("DELETE", "/v1/jobs", "", "").await.unwrap();
    assert_eq!(
        (method.status, method.headers["allow"].as_str()),
        (405, "POST, GET")
    );
    assert_eq!(tested.get("/v1/jobs?format=xml").await.status, 415);
    assert_eq!(
        tested
            .send("POST", "/v1/jobs", "Content-Type: text/plain\r\n", "x")
            .await
            .unwrap()
            .status,
        415
    );
    let nobody = tested
        .send("GET", "/v1/me", "Authorization: Bearer nobody\r\n", "")
        .await
        .unwrap();
    assert_eq!(
        (nobody.status, nobody.json()["code"].as_i64()),
        (401, Some(401))
    );
    let both = format!("Authorization: Bearer {}\r\n", tested.token);
    let both = tested
        .send(
            "GET",
            &format!("/v1/me?access_token={}", tested.token),
            &both,
            "",
        )
        .await
        .unwrap();
    assert_eq!(both.status, 400);
    assert_eq!(
        tested
            .get(&format!("/v1/me?access_token={}", tested.token))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn equipment_is_found_below_its_owner_only() {
    let tested = Tested::start(options()).await;
    let customers = tested
        .get("/v1/customers?filters[name]=Metroplex")
        .await
        .json();
    let owner = customers["items"][0]["id"].as_i64().unwrap();

    let units = tested
        .get(&format!(
            "/v1/customers/{owner}/equipment?expand=custom_fields"
        ))
        .await
        .json();
    let unit = units["items"][0]["id"].as_i64().unwrap();

    assert!(units["items"][0]["custom_fields"].is_array());
    assert_eq!(
        tested
            .get(&format!("/v1/customers/{owner}/equipment/{unit}"))
            .await
            .status,
        200
    );
    assert_eq!(
        tested
            .get(&format!("/v1/customers/{}/equipment/{unit}", owner + 3))
            .await
            .status,
        404
    );
    assert_eq!(
        tested.get("/v1/customers/1/equipment").await.json()["_meta"]["pageCount"],
        0
    );
}

#[tokio::test]
async fn beyond_the_budget_requests_answer_429() {
    let tested = Tested::start(Options {
        requests_per_window: 2,
        ..options()
    })
    .await;

    let first = tested.get("/v1/me").await;
    tested.get("/v1/me").await;
    let refused = tested.get("/v1/me").await;

    assert_eq!(
        (
            first.number("x-rate-limit-limit"),
            first.number("x-rate-limit-remaining")
        ),
        (2, 1)
    );
    assert_eq!(
        (refused.status, refused.number("x-rate-limit-remaining")),
        (429, 0)
    );
    assert!(refused.number("x-rate-limit-reset") > jiff::Timestamp::now().as_second());
    let state = tested.state().await;
    assert_eq!(
        (&state["too_many"], &state["by_operation"]["GET /me"]),
        (&1.into(), &2.into())
    );
}

#[tokio::test]
async fn the_log_tells_what_was_asked_without_secrets() {
    let tested = Tested::start(options()).await;
    tested.get("/v1/jobs?filters%5Bcity%5D=Dallas").await;

    let log = tested.get("/sandbox/log").await;

    let last = log.json().as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["path"], &last["query"], &last["status"]),
        (
            &"/v1/jobs".into(),
            &"filters[city]=Dallas".into(),
            &200.into()
        )
    );
    assert!(!log.body.contains(&tested.token));
}

#[tokio::test]
async fn garbage_is_answered_or_closed_and_the_server_lives_on() {
    let tested = Tested::start(options()).await;

    for garbage in [
        "\0\u{1}\u{2}",
        "GET",
        "/v1/%ff%fe?%zz=%",
        "/v1/jobs?page=99999999999999999999&per-page=-5&sort=,,-",
    ] {
        let _ = tested.send("GET", garbage, "", "").await;
    }
    let large = "x".repeat(1_100_000);
    let reply = tested
        .send(
            "POST",
            "/v1/jobs",
            "Content-Type: application/json\r\n",
            &large,
        )
        .await;

    assert!(reply.is_err() || reply.is_ok_and(|reply| reply.status == 413));
    assert_eq!(tested.get("/v1/me").await.status, 200);
}

#[tokio::test]
async fn without_control_there_are_no_control_routes() {
    let tested = Tested::start(Options {
        control: false,
        ..options()
    })
    .await;

    assert_eq!(tested.get("/sandbox/state").await.status, 404);
}
