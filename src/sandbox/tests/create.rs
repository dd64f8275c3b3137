//! Creating records and what it leaves behind.

use serde_json::json;

use super::{Tested, options};

#[tokio::test]
async fn a_job_takes_its_defaults_from_the_customer_and_can_be_read_again() {
    let tested = Tested::start(options()).await;
    let body = json!({
        "customer_name": "Elm Street Dental", "description": "Chair 3 has no water", "category": "Service Call",
        "techs_assigned": [{"first_name": "Renee", "last_name": "Castillo"}],
        "services": [{"service": "Leak repair labor", "multiplier": "2"}],
    });

    let created = tested
        .post(
            "/v1/jobs?expand=techs_assigned,services,other_charges",
            &body,
        )
        .await;

    assert_eq!(created.status, 201, "{}", created.body);
    let job = created.json();
    assert_eq!(
        (&job["street_1"], &job["priority"]),
        (&json!("2210 Elm Street"), &json!("Normal"))
    );
    assert_eq!(
        (&job["duration"], &job["status"]),
        (&json!(3600), &json!("Unscheduled"))
    );
    assert_eq!(job["techs_assigned"][0]["id"], 1_472_305);
    assert_eq!(job["services"][0]["total"], 420);
    assert_eq!(job["total"], 432.5);
    assert_eq!(job["created_at"], "2026-03-11T15:30:00+00:00");
    let newest = tested.get("/v1/jobs?sort=-id&per-page=1").await.json();
    assert_eq!(
        (&newest["items"][0]["id"], &newest["items"][0]["number"]),
        (&job["id"], &job["number"])
    );
    assert_eq!(
        tested.get(&format!("/v1/jobs/{}", job["id"])).await.json()["description"],
        "Chair 3 has no water"
    );
    assert_eq!(tested.state().await["created"]["jobs"], 1);
}

#[tokio::test]
async fn a_customer_must_be_named_exactly_or_by_id() {
    let tested = Tested::start(options()).await;

    let missing = tested
        .post("/v1/jobs", &json!({"customer_name": "Elm Street Dentel"}))
        .await;
    assert_eq!(missing.status, 422);
    assert_eq!(
        missing.json(),
        json!([{"field": "customer_name", "message": "Customer Name can not be found."}])
    );
    let twins = tested
        .get("/v1/customers?filters[name]=Maria%20Alvarez")
        .await
        .json();
    let second = &twins["items"][1]["id"];
    let by_id = tested
        .post(
            "/v1/estimates",
            &json!({"customer_name": second.to_string()}),
        )
        .await
        .json();
    assert_eq!(by_id["customer_id"], *second);
    let numeric = tested
        .post("/v1/estimates", &json!({"customer_name": 1845}))
        .await
        .json();
    assert_eq!(numeric["customer_name"], "1845");
}

#[tokio::test]
async fn unknown_keys_and_references_are_refused_and_nothing_is_stored() {
    let tested = Tested::start(options()).await;
    let before = tested.get("/v1/jobs").await.json()["_meta"].clone();

    let key = tested
        .post(
            "/v1/jobs",
            &json!({"customer_name": "1845", "customer_id": 7}),
        )
        .await;
    assert_eq!(
        key.json(),
        json!([{"field": "customer_id", "message": "invalid field's name"}])
    );
    let reference = tested
        .post(
            "/v1/jobs",
            &json!({"customer_name": "1845", "status": "Schedulled"}),
        )
        .await;
    assert_eq!(
        (reference.status, &reference.json()[0]["field"]),
        (422, &json!("status"))
    );
    assert_eq!(
        tested.post("/v1/jobs", &json!(["no object"])).await.status,
        400
    );

    assert_eq!(tested.get("/v1/jobs").await.json()["_meta"], before);
}

#[tokio::test]
async fn an_unknown_contact_and_new_equipment_stay_with_the_customer() {
    let tested = Tested::start(options()).await;
    let body = json!({
        "customer_name": "Walk-In Customer", "contact_first_name": "Pat", "contact_last_name": "Lee",
        "equipment": [{"type": "Furnace", "make": "Trane"}],
    });

    let job = tested.post("/v1/jobs?expand=equipment", &body).await.json();

    let owner = &job["customer_id"];
    let customer = tested
        .get(&format!("/v1/customers/{owner}?expand=contacts"))
        .await
        .json();
    assert_eq!(customer["contacts"][0]["lname"], "Lee");
    let unit = &job["equipment"][0]["id"];
    assert_eq!(
        tested
            .get(&format!("/v1/customers/{owner}/equipment/{unit}"))
            .await
            .json()["make"],
        "Trane"
    );
}

#[tokio::test]
async fn a_new_customer_is_found_by_phone_and_email() {
    let tested = Tested::start(options()).await;
    let body = json!({
        "customer_name": "Nora Quill",
        "contacts": [{"fname": "Nora", "lname": "Quill", "phones": [{"phone": "940-555-0199"}],
            "emails": [{"email": "nora@example.org"}]}],
        "locations": [{"street_1": "5 Quill Ct", "city": "Denton", "postal_code": "76201"}],
    });

    let created = tested
        .post("/v1/customers?fields=id,account_number", &body)
        .await;

    assert_eq!(created.status, 201);
    for filter in [
        "filters[phone]=0199",
        "filters[email]=NORA@example.org",
        "filters[postal_code]=76201",
    ] {
        let found = tested
            .get(&format!("/v1/customers?{filter}&sort=-id"))
            .await
            .json();
        assert_eq!(found["items"][0]["id"], created.json()["id"], "{filter}");
    }
}

#[tokio::test]
async fn a_reset_brings_the_first_company_back() {
    let tested = Tested::start(options()).await;
    tested
        .post("/v1/customers", &json!({"customer_name": "Short Stay"}))
        .await;

    tested.post("/sandbox/reset", &json!({})).await;

    let found = tested
        .get("/v1/customers?filters[name]=Short%20Stay")
        .await
        .json();
    assert_eq!(found["_meta"]["totalCount"], 0);
    assert_eq!(tested.state().await["created"]["customers"], 0);
}
