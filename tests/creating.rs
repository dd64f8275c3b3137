//! Making records: checked first, made exactly once, and an unknown outcome is called one.

use serde_json::{Value, json};

use crate::support::{Home, McpClient, Sandbox, Serve, rows};

fn dental(sandbox: &Sandbox) -> Value {
    sandbox.find("customers", "customer_name", &json!("Elm Street Dental"))["id"].clone()
}

fn new_job(sandbox: &Sandbox) -> Value {
    json!({"customer_id": dental(sandbox), "description": "Water heater pilot keeps going out"})
}

/// Jobs of that description which the sandbox really has.
fn jobs_like(sandbox: &Sandbox, description: &str) -> usize {
    sandbox
        .all("jobs", "")
        .iter()
        .filter(|job| job["description"] == description)
        .count()
}

fn posts(sandbox: &Sandbox, path: &str) -> usize {
    sandbox.count("POST", path)
}

#[test]
fn a_dry_run_sends_nothing_and_shows_what_would_be_sent() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let id = dental(&sandbox);

    let customer = client.call(
        "create_customer",
        &json!({"name": "Dry Run", "phone": "(214) 555-9876", "dry_run": true}),
    );
    let job = client.call(
        "create_job",
        &json!({
            "customer_id": id, "description": "No heat", "category": "service call", "technicians": ["KB"],
            "priority": "high", "date": "tomorrow", "start_time": "2 pm", "end_time": "16:00", "dry_run": true,
        }),
    );
    let estimate = client.call(
        "create_estimate",
        &json!({"customer_id": id, "description": "New furnace", "dry_run": true}),
    );

    assert_eq!(customer["would_send"]["path"], "/v1/customers");
    let phone = &customer["would_send"]["body"]["contacts"][0]["phones"][0]["phone"];
    assert_eq!(phone, "214-555-9876");
    let body = &job["would_send"]["body"];
    assert_eq!(job["customer"], "Elm Street Dental");
    assert_eq!(body["category"], "Service Call");
    assert_eq!(body["priority"], "High");
    assert_eq!(body["start_date"], "2026-11-19");
    assert_eq!(body["time_frame_promised_start"], "14:00");
    assert_eq!(body["time_frame_promised_end"], "16:00");
    assert_eq!(body["techs_assigned"][0]["id"], 1_472_306);
    assert_eq!(estimate["would_send"]["body"]["description"], "New furnace");
    let log = sandbox.log();
    let sent = log.iter().filter(|entry| {
        entry["method"] == "POST" && entry["path"].as_str().unwrap().starts_with("/v1/")
    });
    assert_eq!(sent.count(), 0);
}

#[test]
fn a_created_job_is_the_one_that_was_asked_for() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let id = dental(&sandbox);

    let made = client.call(
        "create_job",
        &json!({
            "customer_id": id, "description": "No heat", "category": "Service Call", "technicians": "Dana Whitfield",
            "date": "friday", "start_time": "8:30", "end_time": "10:30", "duration_minutes": 90,
        }),
    );
    let read = sandbox.get(&format!("jobs/{}?expand=techs_assigned", made["job_id"]));

    assert_eq!(made["created"], true);
    assert_eq!(read["customer_id"], id);
    assert_eq!(read["description"], "No heat");
    assert_eq!(read["start_date"], "2026-11-20");
    assert_eq!(read["techs_assigned"][0]["first_name"], "Dana");
    assert_eq!(made["time"], "08:30-10:30");
    assert_eq!(sandbox.state()["created"]["jobs"], 1);
}

#[test]
fn a_job_says_when_its_time_has_passed_or_a_technician_is_booked_then() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let plan = |date: &str, start: &str, technician: &str, dry_run: bool| {
        json!({
            "customer_id": dental(&sandbox), "description": format!("{date} {start}"), "technicians": technician,
            "date": date, "start_time": start, "duration_minutes": 90, "dry_run": dry_run,
        })
    };

    let first = client.call(
        "create_job",
        &plan("friday", "6 pm", "Dana Whitfield", false),
    );
    let inside = client.call(
        "create_job",
        &plan("friday", "7 pm", "Dana Whitfield", true),
    );
    let after = client.call(
        "create_job",
        &plan("friday", "7:30 pm", "Dana Whitfield", true),
    );
    let other = client.call(
        "create_job",
        &plan("friday", "7 pm", "Renee Castillo", true),
    );
    let passed = client.call(
        "create_job",
        &plan("yesterday", "6 pm", "Renee Castillo", true),
    );
    let again = client.call(
        "create_job",
        &plan("friday", "6 pm", "Dana Whitfield", false),
    );

    assert_eq!(first["technicians"], "Dana Whitfield");
    assert!(first["doubts"].is_null(), "{first}");
    let number = first["number"].as_str().unwrap();
    assert_eq!(
        inside["doubts"],
        json!([format!(
            "Dana Whitfield has job {number} from 18:00 to 19:30 then"
        )])
    );
    assert!(after["doubts"].is_null() && other["doubts"].is_null());
    assert_eq!(passed["doubts"], json!(["2026-11-17 has passed"]));
    assert!(again["repeated"].is_string() && again["doubts"].is_null());
}

#[test]
fn a_job_for_one_of_two_namesakes_is_filed_under_the_right_one() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let customers = sandbox.all("customers", "");
    let odd = customers.iter().filter(|customer| {
        let name = customer["customer_name"].as_str().unwrap_or_default();
        name == "Maria Alvarez" || name == "1845"
    });

    for customer in odd {
        let arguments = json!({"customer_id": customer["id"], "description": "for this one"});
        let made = client.call("create_job", &arguments);
        let read = sandbox.get(&format!("jobs/{}", made["job_id"]));

        assert_eq!(read["customer_id"], customer["id"]);
        assert!(made["warning"].is_null());
    }
}

#[test]
fn customers_that_are_much_alike_are_shown_instead_of_made() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (arguments, same) in [
        (
            json!({"name": "Somebody Else", "phone": "+1 (682) 555-0115"}),
            "phone",
        ),
        (
            json!({"name": "Somebody Else", "email": "james.nguyen@example.com"}),
            "e-mail",
        ),
        (json!({"name": "maria alvarez"}), "name"),
        (
            json!({"name": "Somebody Else", "street": "7933 Hulen St", "city": "Dallas"}),
            "street",
        ),
    ] {
        let answer = client.call("create_customer", &arguments);

        assert_eq!(answer["created"], false, "{arguments}: {answer}");
        let candidates = rows(&answer, "candidates");
        let names_field = |row: &&Value| {
            row["same"].as_array().unwrap().contains(&json!(same)) && row["customer_id"].is_i64()
        };
        assert!(
            candidates.iter().any(|row| names_field(&row)),
            "{arguments}: {answer}"
        );
    }
    assert_eq!(sandbox.state()["created"]["customers"], 0);
}

#[test]
fn a_similar_customer_is_made_when_the_caller_insists() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let arguments =
        json!({"name": "Maria Alvarez", "phone": "214-555-9000", "allow_duplicate": true});
    let made = client.call("create_customer", &arguments);
    let found = client.call("search_customers", &json!({"query": "214 555 9000"}));

    assert_eq!(made["created"], true);
    assert_eq!(
        rows(&found, "customers")[0]["customer_id"],
        made["customer_id"]
    );
    let all = client.call("search_customers", &json!({"name": "Maria Alvarez"}));
    assert_eq!(all["total"], 3);
}

#[test]
fn a_create_is_checked_before_anything_is_sent() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let id = dental(&sandbox);

    for (tool, arguments, argument) in [
        (
            "create_job",
            json!({"description": "whose?"}),
            "customer_id",
        ),
        (
            "create_job",
            json!({"customer_id": id, "category": "Plumming"}),
            "category",
        ),
        (
            "create_job",
            json!({"customer_id": id, "status": "Schedulled"}),
            "status",
        ),
        (
            "create_job",
            json!({"customer_id": id, "technicians": ["Nobody"]}),
            "technicians",
        ),
        (
            "create_job",
            json!({"customer_id": id, "priority": "urgent"}),
            "priority",
        ),
        (
            "create_job",
            json!({"customer_id": id, "date": "someday"}),
            "date",
        ),
        (
            "create_job",
            json!({"customer_id": id, "start_time": "9:00"}),
            "date",
        ),
        (
            "create_job",
            json!({"customer_id": id, "date": "today", "start_time": "11:00", "end_time": "10:00"}),
            "end_time",
        ),
        (
            "create_job",
            json!({"customer_id": id, "duration_minutes": 2}),
            "duration_minutes",
        ),
        (
            "create_job",
            json!({"customer_id": id, "city": "Plano"}),
            "street",
        ),
        ("create_customer", json!({"name": "   "}), "name"),
        (
            "create_customer",
            json!({"name": "A", "phone": "555-0142"}),
            "phone",
        ),
        (
            "create_customer",
            json!({"name": "A", "email": "not an address"}),
            "email",
        ),
        (
            "create_customer",
            json!({"name": "A", "city": "Dallas"}),
            "street",
        ),
        (
            "create_customer",
            json!({"name": "A", "source": "Gogle"}),
            "source",
        ),
        ("create_customer", json!({"name": "A".repeat(300)}), "name"),
    ] {
        let refused = client.refusal(tool, &arguments);

        assert_eq!(
            refused.code(),
            "invalid_argument",
            "{arguments}: {refused:?}"
        );
        assert_eq!(refused.argument(), argument, "{arguments}: {refused:?}");
    }
    for path in ["/v1/jobs", "/v1/customers", "/v1/estimates"] {
        assert_eq!(posts(&sandbox, path), 0, "{path}");
    }
}

#[test]
fn a_detail_without_what_it_belongs_to_is_refused_instead_of_dropped() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let id = dental(&sandbox);

    for (tool, arguments, argument) in [
        (
            "create_job",
            json!({"customer_id": id, "state": "Texas"}),
            "street",
        ),
        (
            "create_job",
            json!({"customer_id": id, "postal_code": "75201"}),
            "street",
        ),
        (
            "create_job",
            json!({"customer_id": id, "date": "today", "end_time": "10:00"}),
            "start_time",
        ),
        (
            "create_customer",
            json!({"name": "A", "state": "Texas"}),
            "street",
        ),
        (
            "create_customer",
            json!({"name": "A", "postal_code": "75201"}),
            "street",
        ),
        (
            "create_customer",
            json!({"name": "A", "gate_instructions": "Ring twice"}),
            "street",
        ),
        (
            "create_customer",
            json!({"name": "A", "phone_type": "Home"}),
            "phone",
        ),
    ] {
        let refused = client.refusal(tool, &arguments);

        assert_eq!(refused.code(), "invalid_argument", "{arguments}");
        assert_eq!(refused.argument(), argument, "{arguments}: {refused:?}");
    }
    for path in ["/v1/jobs", "/v1/customers"] {
        assert_eq!(posts(&sandbox, path), 0, "{path}");
    }
}

#[test]
fn an_estimate_is_checked_before_anything_is_sent() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let id = dental(&sandbox);

    for (tool, arguments, argument) in [
        (
            "create_estimate",
            json!({"customer_id": id, "rating": 9}),
            "rating",
        ),
        (
            "create_estimate",
            json!({"customer_id": id, "lines": [{"quantity": 2}]}),
            "lines[0].name",
        ),
        (
            "create_estimate",
            json!({"customer_id": id, "lines": [{"name": "x", "prize": 3}]}),
            "lines[0].prize",
        ),
    ] {
        let refused = client.refusal(tool, &arguments);

        assert_eq!(
            refused.code(),
            "invalid_argument",
            "{arguments}: {refused:?}"
        );
        assert_eq!(refused.argument(), argument, "{arguments}: {refused:?}");
    }
    for path in ["/v1/jobs", "/v1/customers", "/v1/estimates"] {
        assert_eq!(posts(&sandbox, path), 0, "{path}");
    }
}

#[test]
fn a_job_for_a_customer_who_does_not_exist_is_not_sent() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let nobody = client.refusal("create_job", &json!({"customer_id": 999_999_999}));

    assert_eq!(nobody.code(), "not_found");
    nobody.says("search_customers");
    assert_eq!(posts(&sandbox, "/v1/jobs"), 0);
}

#[test]
fn a_dropped_connection_after_a_create_is_an_unknown_outcome_and_never_a_second_record() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let arguments = new_job(&sandbox);
    let description = arguments["description"].as_str().unwrap();
    sandbox.fault("POST", "/v1/jobs", 1, &json!({"kind": "drop_after"}));

    let lost = client.refusal("create_job", &arguments);
    let again = client.refusal("create_job", &arguments);
    let elsewhere = McpClient::start(&sandbox, &home).refusal("create_job", &arguments);

    assert_eq!(jobs_like(&sandbox, description), 1);
    assert_eq!(posts(&sandbox, "/v1/jobs"), 1);
    let made = sandbox.find("jobs", "description", &json!(description));
    for refused in [lost, again, elsewhere] {
        assert_eq!(refused.code(), "unknown_outcome", "{refused:?}");
        assert_eq!(refused.fields["retryable"], false);
        assert_eq!(refused.fields["details"]["found"][0]["job_id"], made["id"]);
        refused.says(made["number"].as_str().unwrap());
    }
}

#[test]
fn the_same_holds_for_customers_and_estimates() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let customer = json!({"name": "Dropped Connection", "phone": "214-555-9111"});
    let estimate = json!({"customer_id": dental(&sandbox), "description": "A quote that got lost"});
    sandbox.fault("POST", "/v1/", 2, &json!({"kind": "drop_after"}));

    let lost_customer = client.refusal("create_customer", &customer);
    let lost_estimate = client.refusal("create_estimate", &estimate);
    let again_customer = client.refusal("create_customer", &customer);
    client.refusal("create_estimate", &estimate);

    for lost in [&lost_customer, &again_customer, &lost_estimate] {
        assert_eq!(lost.code(), "unknown_outcome", "{lost:?}");
        assert_eq!(rows(&lost.fields["details"], "found").len(), 1);
    }
    let created = &sandbox.state()["created"];
    assert_eq!(created["customers"], 1);
    assert_eq!(created["estimates"], 1);
}

#[test]
fn every_other_way_to_lose_the_answer_is_an_unknown_outcome_too() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let id = dental(&sandbox);

    for (index, fault) in [
        json!({"kind": "truncate"}),
        json!({"kind": "malformed"}),
        json!({"kind": "empty"}),
        json!({"kind": "html"}),
        json!({"kind": "drop_before"}),
        json!({"kind": "status", "status": 500}),
        json!({"kind": "status", "status": 502, "html": true}),
        json!({"kind": "status", "status": 504, "html": true}),
    ]
    .iter()
    .enumerate()
    {
        sandbox.fault("POST", "/v1/jobs", 1, fault);
        let arguments = json!({"customer_id": id, "description": format!("attempt {index}")});

        let refused = client.refusal("create_job", &arguments);

        assert_eq!(refused.code(), "unknown_outcome", "{fault}: {refused:?}");
        assert_eq!(posts(&sandbox, "/v1/jobs"), index + 1, "{fault}");
        assert!(jobs_like(&sandbox, &format!("attempt {index}")) <= 1);
    }
}

#[test]
fn the_same_create_within_ten_minutes_returns_the_first_record_and_says_so() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let job = new_job(&sandbox);
    let customer = json!({"name": "Once Only", "phone": "214-555-9222", "allow_duplicate": true});
    let estimate = json!({"customer_id": job["customer_id"], "description": "Quote for a filter"});

    for (tool, arguments, id) in [
        ("create_job", &job, "job_id"),
        ("create_customer", &customer, "customer_id"),
        ("create_estimate", &estimate, "estimate_id"),
    ] {
        let first = client.call(tool, arguments);
        let again = client.call(tool, arguments);
        let elsewhere = McpClient::start(&sandbox, &home).call(tool, arguments);

        assert!(first[id].is_i64() && first["repeated"].is_null());
        for repeated in [again, elsewhere] {
            assert_eq!(repeated[id], first[id], "{tool}: {repeated}");
            assert!(
                repeated["repeated"]
                    .as_str()
                    .unwrap()
                    .contains("ten minutes")
            );
        }
    }
    let created = sandbox.state()["created"].clone();
    assert_eq!(created, json!({"customers": 1, "jobs": 1, "estimates": 1}));
}

#[test]
fn a_repeated_customer_is_the_first_one_and_one_meant_again_is_made() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let plain = json!({"name": "Only Once", "phone": "214-555-9333"});
    let mut meant = plain.clone();
    meant["allow_duplicate"] = json!(true);

    let first = client.call("create_customer", &plain);
    let again = client.call("create_customer", &plain);
    let second = client.call("create_customer", &meant);
    let second_again = client.call("create_customer", &meant);

    assert_eq!(first["created"], true);
    assert_eq!(again["customer_id"], first["customer_id"], "{again}");
    assert!(again["repeated"].is_string(), "{again}");
    assert!(second["repeated"].is_null(), "{second}");
    assert_ne!(second["customer_id"], first["customer_id"]);
    assert_eq!(second_again["customer_id"], second["customer_id"]);
    assert!(second_again["repeated"].is_string());
    assert_eq!(sandbox.state()["created"]["customers"], 2);
}

#[test]
fn a_similar_customer_is_found_by_a_phone_in_any_format_and_behind_many_partial_names() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let post = |name: &str| {
        let contact = json!({"fname": name, "lname": name, "is_primary": true});
        sandbox.post(
            "customers",
            &json!({"customer_name": name, "contacts": [contact]}),
        )
    };
    let named = post("Zoë Ünal");
    for number in 1..=25 {
        post(&format!("Zoë Ünal {number}"));
    }
    let customers = sandbox.all("customers", "expand=contacts,contacts.phones");
    let (digits, owner) = customers
        .iter()
        .find_map(|customer| {
            let phone = customer["contacts"][0]["phones"][0]["phone"].as_str()?;
            let is_bare = phone.len() == 10 && phone.chars().all(|c| c.is_ascii_digit());
            is_bare.then(|| (phone.to_owned(), customer["id"].clone()))
        })
        .unwrap();

    let by_phone = json!({"name": "Somebody Else", "phone": digits});
    let by_phone = client.call("create_customer", &by_phone);
    let by_name = client.call("create_customer", &json!({"name": "ZOË ÜNAL"}));

    let holds = |answer: &Value, id: &Value| {
        rows(answer, "candidates")
            .iter()
            .any(|row| &row["customer_id"] == id)
    };
    assert!(holds(&by_phone, &owner), "{by_phone}");
    assert_eq!(rows(&by_name, "candidates").len(), 1, "{by_name}");
    assert!(holds(&by_name, &named["id"]), "{by_name}");
}

#[test]
fn a_create_that_differs_or_is_meant_again_is_made() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let mut arguments = new_job(&sandbox);

    let first = client.call("create_job", &arguments);
    arguments["allow_duplicate"] = json!(true);
    let meant = client.call("create_job", &arguments);
    arguments["allow_duplicate"] = json!(false);
    arguments["po_number"] = json!("77");
    let other = client.call("create_job", &arguments);

    assert_ne!(first["job_id"], meant["job_id"]);
    assert_ne!(meant["job_id"], other["job_id"]);
    assert_eq!(sandbox.state()["created"]["jobs"], 3);
}

#[test]
fn what_service_fusion_refuses_is_passed_on_with_the_field_and_may_be_tried_again() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let id = dental(&sandbox);
    let arguments =
        json!({"customer_id": id, "lines": [{"kind": "service", "name": "No such service"}]});

    let refused = client.refusal("create_estimate", &arguments);
    let again = client.refusal("create_estimate", &arguments);

    assert_eq!(refused.code(), "rejected", "{refused:?}");
    refused.says("services[0].service");
    refused.says("can not be found");
    assert_eq!(
        again.code(),
        "rejected",
        "a refused create must not count as made"
    );
    assert_eq!(sandbox.state()["created"]["estimates"], 0);
}

#[test]
fn a_create_that_never_left_is_an_unreachable_service_and_may_be_repeated() {
    let home = Home::new();
    let first = Sandbox::start();
    let arguments = json!({"name": "Never Sent", "allow_duplicate": true});
    let mut client = McpClient::start(&first, &home);
    client.call("list_reference_data", &json!({"kind": "sources"}));
    drop(first);

    let refused = client.refusal("create_customer", &arguments);
    let second = Sandbox::start();
    let made = McpClient::start(&second, &home).call("create_customer", &arguments);

    assert_eq!(refused.code(), "unreachable", "{refused:?}");
    assert_eq!(refused.fields["retryable"], true);
    assert_eq!(made["created"], true, "{made}");
}

#[test]
fn two_equal_creates_at_once_make_one_record() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let arguments = new_job(&sandbox);
    let mut one = McpClient::start(&sandbox, &home);
    let mut other = McpClient::start(&sandbox, &home);
    sandbox.fault(
        "POST",
        "/v1/jobs",
        1,
        &json!({"kind": "latency", "ms": 300}),
    );

    let sent = [
        one.send_call("create_job", &arguments),
        one.send_call("create_job", &arguments),
    ];
    let sent_elsewhere = other.send_call("create_job", &arguments);
    let mut answers: Vec<Value> = sent.iter().map(|id| one.answer(*id)).collect();
    answers.push(other.answer(sent_elsewhere));

    assert_eq!(sandbox.state()["created"]["jobs"], 1);
    assert_eq!(posts(&sandbox, "/v1/jobs"), 1);
    let made = answers
        .iter()
        .filter(|answer| answer["result"]["structuredContent"]["created"] == true);
    assert_eq!(made.count(), 1, "{answers:?}");
}

#[test]
fn a_create_whose_token_died_is_signed_in_again_and_sent_once_more() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let arguments = new_job(&sandbox);
    client.call("search_customers", &json!({"query": "Elm Street"}));
    let before = sandbox.state()["token_requests"].as_u64().unwrap();
    sandbox.fault("POST", "/v1/jobs", 1, &json!({"kind": "expire_tokens"}));

    let made = client.call("create_job", &arguments);
    let state = sandbox.state();

    assert_eq!(made["created"], true);
    assert_eq!(state["created"]["jobs"], 1);
    assert_eq!(state["token_requests"].as_u64().unwrap(), before + 1);
    assert_eq!(posts(&sandbox, "/v1/jobs"), 2);
}

#[test]
fn a_create_that_was_told_to_wait_is_sent_again_and_made_once() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let busy = json!({"kind": "status", "status": 429, "retry_after": 1});
    sandbox.fault("POST", "/v1/jobs", 1, &busy);

    let made = client.call("create_job", &new_job(&sandbox));

    assert_eq!(made["created"], true);
    assert_eq!(sandbox.state()["created"]["jobs"], 1);
}

#[test]
fn a_cancelled_create_is_seen_through_and_known_afterwards() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let arguments = new_job(&sandbox);
    sandbox.fault(
        "POST",
        "/v1/jobs",
        1,
        &json!({"kind": "latency", "ms": 300}),
    );

    let id = client.send_call("create_job", &arguments);
    sandbox.wait_for(|state| state["by_path"]["/v1/jobs"] == 1);
    client.notify("notifications/cancelled", &json!({"requestId": id}));
    sandbox.wait_for(|state| state["created"]["jobs"] == 1);
    let again = client.answer_to_call("create_job", &arguments);

    assert_eq!(sandbox.state()["created"]["jobs"], 1, "{again}");
    assert_eq!(posts(&sandbox, "/v1/jobs"), 1);
}

#[test]
fn a_note_that_cannot_be_written_stops_the_create() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    // A file where the folder should be.
    std::fs::write(home.path().join("state"), "in the way").unwrap();
    let mut client = Serve::to(&sandbox, &home).start();

    let read = client.call("list_reference_data", &json!({"kind": "sources"}));
    let refused = client.refusal("create_job", &new_job(&sandbox));

    assert_eq!(read["total"], 8);
    refused.says("nothing was sent");
    assert_eq!(posts(&sandbox, "/v1/jobs"), 0);
}
