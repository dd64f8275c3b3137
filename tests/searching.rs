//! Finding things: every match once, filters that mean what they say, errors that name what would be accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::support::{Home, McpClient, Sandbox, Serve, http, ids, integer, rows};

const EVERYONE: &str = "expand=techs_assigned,visits,visits.techs_assigned";

/// All ids of a list, page after page, in the order they came.
fn walk(client: &mut McpClient, tool: &str, arguments: &Value, plural: &str, id: &str) -> Vec<i64> {
    let mut arguments = arguments.clone();
    let mut all = Vec::new();
    loop {
        let answer = client.call(tool, &arguments);
        all.extend(ids(&answer, plural, id));
        match answer["next_cursor"].as_str() {
            Some(cursor) => arguments["cursor"] = json!(cursor),
            None => return all,
        }
        assert!(all.len() < 5_000, "the cursors lead nowhere");
    }
}

fn walk_jobs(client: &mut McpClient, arguments: &Value) -> Vec<i64> {
    walk(client, "search_jobs", arguments, "jobs", "job_id")
}

fn sorted(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids
}

/// Ids of the jobs that the sandbox really has and that pass, sorted.
fn jobs_where(sandbox: &Sandbox, passes: impl Fn(&Value) -> bool) -> Vec<i64> {
    let jobs = sandbox.all("jobs", EVERYONE);
    let found = jobs.iter().filter(|job| passes(job));
    sorted(found.map(|job| integer(&job["id"]).unwrap()).collect())
}

/// Ids of the technicians on a job and on its visits.
fn technicians(job: &Value) -> BTreeSet<i64> {
    let visits = job["visits"].as_array().into_iter().flatten();
    std::iter::once(job)
        .chain(visits)
        .flat_map(|part| part["techs_assigned"].as_array().into_iter().flatten())
        .filter_map(|technician| integer(&technician["id"]))
        .collect()
}

fn has_date(job: &Value) -> bool {
    job["start_date"]
        .as_str()
        .is_some_and(|date| !date.is_empty() && !date.starts_with(['-', '0']))
}

#[test]
fn of_120_matching_jobs_the_cursors_bring_each_once() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "120"]);
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let expected = jobs_where(&sandbox, |job| {
        job["number"].as_str().unwrap().starts_with("M50")
    });

    for limit in [1, 7, 20, 33, 50, 100] {
        let arguments = json!({"query": "M50", "limit": limit});
        let first = client.call("search_jobs", &arguments);
        assert_eq!(first["total"], 120, "limit {limit}");
        if limit == 1 {
            continue;
        }
        let walked = walk_jobs(&mut client, &arguments);
        assert_eq!(walked.len(), 120, "limit {limit}");
        assert_eq!(sorted(walked), expected, "limit {limit}");
    }
}

#[test]
fn a_filter_that_the_api_lacks_is_walked_without_loss_too() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "120"]);
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let manager = sandbox.find(
        "customers",
        "customer_name",
        &json!("Metroplex Property Partners"),
    );
    let expected = jobs_where(&sandbox, |job| job["customer_id"] == manager["id"]);

    for limit in [7, 20, 100] {
        let arguments = json!({"customer_id": manager["id"], "limit": limit});
        let first = client.call("search_jobs", &arguments);
        let walked = walk_jobs(&mut client, &arguments);

        assert_eq!(first["total"], json!(expected.len()));
        assert_eq!(sorted(walked), expected, "limit {limit}");
    }
}

#[test]
fn a_job_created_during_a_walk_makes_no_duplicate() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "120"]);
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let manager = sandbox.find(
        "customers",
        "customer_name",
        &json!("Metroplex Property Partners"),
    );
    let before = jobs_where(&sandbox, |job| job["customer_id"] == manager["id"]);

    for arguments in [
        json!({"customer": "Metroplex Property", "limit": 20}),
        json!({"customer_id": manager["id"], "limit": 20}),
    ] {
        let mut page = arguments.clone();
        let mut walked = Vec::new();
        loop {
            let answer = client.call("search_jobs", &page);
            walked.extend(ids(&answer, "jobs", "job_id"));
            let Some(cursor) = answer["next_cursor"].as_str() else {
                break;
            };
            page["cursor"] = json!(cursor);
            let body =
                json!({"customer_name": manager["id"].to_string(), "description": "one more"});
            sandbox.post("jobs", &body);
        }

        let distinct: BTreeSet<i64> = walked.iter().copied().collect();
        assert_eq!(distinct.len(), walked.len(), "{arguments}");
        let missing: Vec<_> = before.iter().filter(|id| !distinct.contains(id)).collect();
        assert!(missing.is_empty(), "{arguments}: {missing:?}");
    }
}

#[test]
fn a_cursor_with_other_arguments_is_an_error() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let first = client.call("search_jobs", &json!({"status": "closed", "limit": 5}));
    let cursor = &first["next_cursor"];

    let other = client.refusal("search_jobs", &json!({"status": "open", "cursor": cursor}));
    let tool = client.refusal("search_estimates", &json!({"cursor": cursor}));
    let garbage = client.refusal("search_jobs", &json!({"cursor": "bm9uc2Vuc2U"}));
    let another_limit = json!({"status": "closed", "limit": 6, "cursor": cursor});
    let next = client.call("search_jobs", &another_limit);

    for refused in [other, tool, garbage] {
        assert_eq!(refused.argument(), "cursor", "{refused:?}");
        refused.says("cursor");
    }
    assert_eq!(rows(&next, "jobs").len(), 6);
}

#[test]
fn a_misspelt_argument_is_an_error_that_names_the_right_one() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (tool, misspelt, meant) in [
        ("search_jobs", "statuss", "status"),
        ("search_jobs", "technican", "technician"),
        ("search_jobs", "customerId", "customer_id"),
        ("search_customers", "e_mail", "email"),
        ("search_estimates", "older_than", "older_than_days"),
        ("get_customer", "includes", "include"),
        ("create_job", "start_tme", "start_time"),
        ("get_dispatch_board", "dates", "date"),
    ] {
        let refused = client.refusal(tool, &json!({misspelt: "x"}));

        assert_eq!(refused.code(), "invalid_argument");
        refused.says(misspelt);
        refused.says(&format!("`{meant}`"));
    }
    assert_eq!(sandbox.state()["requests"], 0);
}

#[test]
fn a_value_that_is_not_accepted_is_refused_with_those_that_are() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (tool, arguments, argument, accepted) in [
        (
            "search_jobs",
            json!({"status": "Scheduld"}),
            "status",
            "`Scheduled`",
        ),
        (
            "search_jobs",
            json!({"status": ["Scheduled", "Nope"]}),
            "status",
            "On The Way",
        ),
        (
            "search_jobs",
            json!({"technician": "Luis Ortego"}),
            "technician",
            "Luis Ortega",
        ),
        (
            "search_jobs",
            json!({"technician": "Nobody"}),
            "technician",
            "Renee Castillo",
        ),
        (
            "search_jobs",
            json!({"category": "Instal"}),
            "category",
            "`Install`",
        ),
        (
            "search_jobs",
            json!({"date": "someday"}),
            "date",
            "this week",
        ),
        (
            "search_jobs",
            json!({"date": "2026-02-30"}),
            "date",
            "2026-11-22",
        ),
        (
            "search_jobs",
            json!({"changed_since": "a while"}),
            "changed_since",
            "yesterday",
        ),
        (
            "search_jobs",
            json!({"fields": ["totl"]}),
            "fields",
            "`total`",
        ),
        ("search_jobs", json!({"limit": 0}), "limit", "from 1 to 100"),
        (
            "search_jobs",
            json!({"limit": "many"}),
            "limit",
            "a whole number",
        ),
        (
            "search_jobs",
            json!({"unassigned": "maybe"}),
            "unassigned",
            "true or false",
        ),
    ] {
        let refused = client.refusal(tool, &arguments);

        assert_eq!(
            refused.code(),
            "invalid_argument",
            "{arguments}: {refused:?}"
        );
        assert_eq!(refused.argument(), argument, "{arguments}: {refused:?}");
        refused.says(accepted);
    }
}

#[test]
fn the_other_tools_refuse_such_values_too() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (tool, arguments, argument, accepted) in [
        (
            "list_equipment",
            json!({"customer_id": 1, "warranty": "valud"}),
            "warranty",
            "`valid`",
        ),
        (
            "list_reference_data",
            json!({"kind": "statuses"}),
            "kind",
            "job_statuses",
        ),
        (
            "get_customer",
            json!({"customer_id": 1, "include": ["job"]}),
            "include[0]",
            "`jobs`",
        ),
        (
            "get_technician_schedule",
            json!({"free_from": "noonish"}),
            "free_from",
            "14:00",
        ),
        (
            "get_technician_schedule",
            json!({"date": "this year"}),
            "date",
            "",
        ),
    ] {
        let refused = client.refusal(tool, &arguments);

        assert_eq!(
            refused.code(),
            "invalid_argument",
            "{arguments}: {refused:?}"
        );
        assert_eq!(refused.argument(), argument, "{arguments}: {refused:?}");
        refused.says(accepted);
    }
}

#[test]
fn sentences_of_an_error_are_set_apart() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let refused = client.refusal("search_jobs", &json!({"technician": "Zzz"}));

    assert!(!refused.text.contains("that The"), "{}", refused.text);
}

#[test]
fn a_customers_jobs_are_those_of_that_customer_and_all_of_them() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    // Two of one name, a number as a name, quotes and commas, other scripts, spaces at both ends.
    let customers = sandbox.all("customers", "");
    let odd: Vec<i64> = customers
        .iter()
        .rev()
        .take(13)
        .map(|customer| integer(&customer["id"]).unwrap())
        .collect();
    for id in &odd {
        let body = json!({"customer_name": id.to_string(), "description": "check the filter"});
        sandbox.post("jobs", &body);
    }

    for id in odd {
        let expected = jobs_where(&sandbox, |job| integer(&job["customer_id"]) == Some(id));
        let walked = walk_jobs(&mut client, &json!({"customer_id": id}));

        assert!(!expected.is_empty());
        assert_eq!(sorted(walked), expected, "customer {id}");
    }
}

#[test]
fn a_technicians_jobs_include_those_where_only_a_visit_is_theirs() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for technician in sandbox.all("techs", "").iter().take(4) {
        let id = integer(&technician["id"]).unwrap();
        let name = format!(
            "{} {}",
            technician["first_name"].as_str().unwrap(),
            technician["last_name"].as_str().unwrap()
        );
        let expected = jobs_where(&sandbox, |job| technicians(job).contains(&id));

        let by_name = walk_jobs(&mut client, &json!({"technician": name, "limit": 100}));
        let by_id = walk_jobs(
            &mut client,
            &json!({"technician": id.to_string(), "limit": 100}),
        );

        assert_eq!(sorted(by_name), expected, "{name}");
        assert_eq!(sorted(by_id), expected, "{name}");
    }
}

#[test]
fn unassigned_and_unscheduled_mean_what_they_say() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let unassigned = jobs_where(&sandbox, |job| technicians(job).is_empty());
    let unscheduled = jobs_where(&sandbox, |job| !has_date(job));
    let today = jobs_where(&sandbox, |job| {
        technicians(job).is_empty() && job["start_date"] == "2026-11-18"
    });

    assert!(!unassigned.is_empty() && !unscheduled.is_empty() && !today.is_empty());
    let walked = walk_jobs(&mut client, &json!({"unassigned": true}));
    assert_eq!(sorted(walked), unassigned);
    let walked = walk_jobs(&mut client, &json!({"unscheduled": true}));
    assert_eq!(sorted(walked), unscheduled);
    let walked = walk_jobs(&mut client, &json!({"unassigned": true, "date": "today"}));
    assert_eq!(sorted(walked), today);
}

#[test]
fn dates_and_statuses_select_what_the_sandbox_has() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (date, from, to) in [
        ("today", "2026-11-18", "2026-11-18"),
        ("yesterday", "2026-11-17", "2026-11-17"),
        ("last month", "2026-10-01", "2026-10-31"),
        ("2026-11-02..2026-11-06", "2026-11-02", "2026-11-06"),
    ] {
        let expected = jobs_where(&sandbox, |job| {
            job["start_date"]
                .as_str()
                .is_some_and(|day| (from..=to).contains(&day))
        });
        let walked = walk_jobs(&mut client, &json!({"date": date, "limit": 30}));
        assert!(!expected.is_empty(), "{date}");
        assert_eq!(sorted(walked), expected, "{date}");
    }
    let expected = jobs_where(&sandbox, |job| {
        ["On Site", "On The Way"].contains(&job["status"].as_str().unwrap())
    });
    let walked = walk_jobs(&mut client, &json!({"status": ["on site", "ON THE WAY"]}));
    assert_eq!(sorted(walked), expected);
}

#[test]
fn open_and_closed_jobs_are_all_jobs_and_none_is_both() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let open = walk_jobs(&mut client, &json!({"status": "open", "limit": 100}));
    let closed = walk_jobs(&mut client, &json!({"status": "closed", "limit": 100}));

    let all = jobs_where(&sandbox, |_| true);
    assert!(!open.is_empty());
    assert_eq!(sorted([open, closed].concat()), all);
}

#[test]
fn changed_since_finds_recent_changes_newest_first() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let since = "2026-11-18T10:00";
    let changed = |job: &Value| job["updated_at"].as_str().unwrap_or_default()[..16].to_owned();
    let expected = jobs_where(&sandbox, |job| changed(job).as_str() >= since);

    let arguments = json!({"changed_since": since, "fields": ["updated_at"], "limit": 100});
    let answer = client.call("search_jobs", &arguments);
    let nothing = client.call("search_jobs", &json!({"changed_since": "2027-01-01"}));

    assert!(!expected.is_empty());
    assert_eq!(sorted(ids(&answer, "jobs", "job_id")), expected);
    let times: Vec<&str> = rows(&answer, "jobs")
        .iter()
        .map(|job| job["updated_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    assert_eq!(nothing["total"], 0);
}

#[test]
fn two_customers_of_one_name_can_be_told_apart() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let answer = client.call("search_customers", &json!({"query": "Maria Alvarez"}));

    assert_eq!(answer["total"], 2);
    assert_eq!(answer["matched_by"], "name");
    let [one, other] = &rows(&answer, "customers")[..] else {
        panic!("not two: {answer}");
    };
    assert_eq!(one["name"], other["name"]);
    for told_by in ["customer_id", "phone", "email", "address", "account_number"] {
        assert!(!one[told_by].is_null());
        assert_ne!(one[told_by], other[told_by], "{told_by}");
    }
}

#[test]
fn a_phone_number_is_found_in_any_format() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    // One customer for each way in which numbers are stored.
    let mut shapes: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for customer in sandbox.all("customers", "expand=contacts,contacts.phones") {
        for contact in customer["contacts"].as_array().into_iter().flatten() {
            for phone in contact["phones"].as_array().into_iter().flatten() {
                let stored = phone["phone"].as_str().unwrap_or_default();
                let digits: String = stored.chars().filter(char::is_ascii_digit).collect();
                if digits.len() == 10 {
                    let shape = stored.replace(|c: char| c.is_ascii_digit(), "N");
                    let id = integer(&customer["id"]).unwrap();
                    shapes.entry(shape).or_insert((id, digits));
                }
            }
        }
    }

    assert!(!shapes.is_empty());
    for (shape, (id, digits)) in shapes {
        let (area, exchange, line) = (&digits[..3], &digits[3..6], &digits[6..]);
        for said in [
            digits.clone(),
            format!("({area}) {exchange}-{line}"),
            format!("{area}.{exchange}.{line}"),
            format!("+1 {area} {exchange} {line}"),
            format!("1-{area}-{exchange}-{line}"),
        ] {
            for argument in ["query", "phone"] {
                let answer =
                    client.call("search_customers", &json!({argument: said, "limit": 100}));
                let found = ids(&answer, "customers", "customer_id");
                assert!(
                    found.contains(&id),
                    "{argument} {said}, stored as {shape}: {answer}"
                );
            }
        }
    }
}

#[test]
fn what_was_said_is_read_the_likely_way_and_the_answer_tells_which() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (tool, query, matched_by, plural) in [
        ("search_customers", "maria", "name", "customers"),
        ("search_customers", "682-555-0115", "phone", "customers"),
        (
            "search_customers",
            "james.nguyen@example.com",
            "email",
            "customers",
        ),
        ("search_customers", "7933 Hulen", "address", "customers"),
        (
            "search_customers",
            "7933 Hulen Street",
            "address (street written otherwise)",
            "customers",
        ),
        (
            "search_customers",
            "alvarez maria",
            "name (words turned)",
            "customers",
        ),
        (
            "search_customers",
            "Alvarez, Maria",
            "name (words turned)",
            "customers",
        ),
        ("search_customers", "0115", "phone", "customers"),
        ("search_customers", "Colleyville", "city", "customers"),
        ("search_jobs", "#10835", "number", "jobs"),
        ("search_jobs", "Elm Street Dental", "customer", "jobs"),
        ("search_jobs", "628 Preston", "address", "jobs"),
        (
            "search_jobs",
            "628 Preston Road",
            "address (street written otherwise)",
            "jobs",
        ),
        ("search_jobs", "Colleyville", "city", "jobs"),
        ("search_estimates", "Metroplex", "customer", "estimates"),
    ] {
        let answer = client.call(tool, &json!({"query": query}));

        assert!(!rows(&answer, plural).is_empty(), "{query}");
        assert_eq!(answer["matched_by"], matched_by, "{query}");
    }
    let nothing = client.call("search_customers", &json!({"query": "zzzzzz"}));
    assert_eq!(nothing["total"], 0);
    assert!(nothing["matched_by"].is_null());
    assert!(nothing["tried"].as_array().unwrap().len() > 1);
}

#[test]
fn twenty_jobs_take_at_most_8_000_characters_on_the_wire() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for arguments in [
        json!({}),
        json!({"date": "last month"}),
        json!({"status": "open"}),
        json!({"query": "Dallas"}),
    ] {
        let id = client.send_call("search_jobs", &arguments);
        let line = client.line(id);

        assert_eq!(rows(&client.called(id), "jobs").len(), 20, "{arguments}");
        let length = line.chars().count();
        assert!(length <= 8_000, "{arguments}: {length}");
    }
}

#[test]
fn a_small_budget_cuts_between_records_and_loses_none() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "120"]);
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_MAX_ANSWER", "4000")
        .start();

    for arguments in [
        json!({"query": "M50", "limit": 100}),
        json!({"query": "M50", "customer": "Metroplex", "unassigned": false, "limit": 50}),
    ] {
        let mut page = arguments.clone();
        let mut walked = Vec::new();
        loop {
            let answer = client.call("search_jobs", &page);
            assert!(
                answer.to_string().len() <= 4_000,
                "{}",
                answer.to_string().len()
            );
            walked.extend(ids(&answer, "jobs", "job_id"));
            let Some(cursor) = answer["next_cursor"].as_str() else {
                break;
            };
            if rows(&answer, "jobs").len() < 20 {
                assert!(answer["left_out"].is_string());
            }
            page["cursor"] = json!(cursor);
        }

        let distinct: BTreeSet<i64> = walked.iter().copied().collect();
        assert_eq!((walked.len(), distinct.len()), (120, 120), "{arguments}");
    }
}

#[test]
fn no_answer_is_longer_than_its_budget() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_MAX_ANSWER", "3000")
        .args(&["--toolsets", "all"])
        .start();
    let dental = sandbox.find("customers", "customer_name", &json!("Elm Street Dental"));
    let everything = json!(["jobs", "estimates", "equipment", "balance", "custom_fields"]);

    for (tool, arguments) in [
        ("get_dispatch_board", json!({})),
        ("get_dispatch_board", json!({"date": "this week"})),
        ("get_technician_schedule", json!({"date": "this week"})),
        ("list_technicians", json!({"include_office": true})),
        ("list_follow_ups", json!({"limit": 50})),
        ("list_reference_data", json!({"kind": "job_statuses"})),
        (
            "get_customer",
            json!({"customer_id": dental["id"], "include": everything}),
        ),
        ("search_customers", json!({"limit": 100})),
        ("search_estimates", json!({"limit": 100})),
        ("search_invoices", json!({"limit": 100})),
        ("list_calendar_tasks", json!({})),
        ("list_equipment", json!({"customer_id": dental["id"]})),
    ] {
        let answer = client.call(tool, &arguments);

        let length = answer.to_string().len();
        assert!(length <= 3_000, "{tool} {arguments}: {length}");
    }
}

#[test]
fn the_text_form_is_never_longer_than_the_structured_one() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .args(&["--toolsets", "all"])
        .start();
    let dental = sandbox.find("customers", "customer_name", &json!("Elm Street Dental"));

    for (tool, arguments) in [
        ("search_jobs", json!({})),
        ("search_jobs", json!({"query": "zzzzzzz"})),
        ("search_customers", json!({"query": "a"})),
        (
            "get_customer",
            json!({"customer_id": dental["id"], "include": ["jobs", "equipment"]}),
        ),
        (
            "get_job",
            json!({"number": "10835", "include": ["charges", "notes", "visits"]}),
        ),
        ("get_dispatch_board", json!({})),
        ("list_follow_ups", json!({})),
        ("get_account", json!({})),
    ] {
        let result = client.result("tools/call", json!({"name": tool, "arguments": arguments}));

        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(!text.is_empty());
        let structured = result["structuredContent"].to_string();
        assert!(text.len() <= structured.len(), "{tool} {arguments}");
    }
}

#[test]
fn ids_may_be_texts_and_lists_may_be_one_text() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let dental = sandbox.find("customers", "customer_name", &json!("Elm Street Dental"));
    let id = dental["id"].to_string();

    let as_text = client.call(
        "get_customer",
        &json!({"customer_id": id, "include": "balance"}),
    );
    let jobs = client.call(
        "search_jobs",
        &json!({"customer_id": id, "limit": "2", "unassigned": "false"}),
    );
    let several = client.call(
        "search_jobs",
        &json!({"status": "Scheduled, On Site", "limit": 100}),
    );
    let by_number = client.call("get_job", &json!({"number": 10835}));
    let absent = client.call(
        "search_jobs",
        &json!({"status": null, "date": null, "limit": 1}),
    );

    assert_eq!(as_text["name"], "Elm Street Dental");
    assert!(rows(&jobs, "jobs").len() <= 2);
    let statuses: BTreeSet<&str> = rows(&several, "jobs")
        .iter()
        .map(|job| job["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, BTreeSet::from(["Scheduled", "On Site"]));
    assert_eq!(by_number["number"], "10835");
    assert_eq!(rows(&absent, "jobs").len(), 1);
}

#[test]
fn every_list_request_is_sorted_and_spells_the_page_size_right() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = Serve::to(&sandbox, &home)
        .args(&["--toolsets", "all"])
        .start();

    client.call("search_jobs", &json!({"query": "elm", "unassigned": true}));
    client.call("search_customers", &json!({"query": "zzz"}));
    client.call("search_estimates", &json!({"open": true}));
    client.call("search_invoices", &json!({}));
    client.call("list_calendar_tasks", &json!({}));
    client.call("get_dispatch_board", &json!({}));
    client.call("list_follow_ups", &json!({}));
    client.call("list_equipment", &json!({"address": "Elm"}));
    for kind in ["job_statuses", "job_categories", "sources", "payment_types"] {
        client.call("list_reference_data", &json!({"kind": kind}));
    }

    let log = sandbox.log();
    let is_one = |path: &str| path.rsplit('/').next().unwrap().parse::<i64>().is_ok();
    let lists = log.iter().filter(|entry| {
        let path = entry["path"].as_str().unwrap();
        entry["method"] == "GET" && path.starts_with("/v1/") && path != "/v1/me" && !is_one(path)
    });
    let mut seen = 0;
    for entry in lists {
        let query = entry["query"].as_str().unwrap();
        assert!(query.contains("sort="), "{entry}");
        assert!(
            !query.contains("per_page") && !query.contains("perPage"),
            "{entry}"
        );
        assert!(!query.contains("access_token"), "{entry}");
        assert_eq!(entry["status"], 200, "{entry}");
        seen += 1;
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn words_for_days_mean_the_companys_days() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    // Half past two in the afternoon in Texas is already tomorrow in Tokyo.
    let mut client = Serve::to(&sandbox, &home).env("TZ", "Asia/Tokyo").start();

    let today = client.call("search_jobs", &json!({"date": "today"}));
    let week = client.call("search_jobs", &json!({"date": "this week", "limit": 1}));

    assert_eq!(today["dates"], "2026-11-18 to 2026-11-18");
    assert!(week["dates"].as_str().unwrap().contains("2026-11-1"));
}

/// Stands before the sandbox and changes its answers, for companies that keep other lists. Returns where it listens.
fn front(
    sandbox: &Sandbox,
    change: impl Fn(&str, String) -> String + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let behind = sandbox.origin().replace("http://", "");
    let change = Arc::new(change);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (behind, change) = (behind.clone(), Arc::clone(&change));
            std::thread::spawn(move || pass_on(stream, &behind, change.as_ref()));
        }
    });
    origin
}

fn pass_on(mut stream: TcpStream, behind: &str, change: &dyn Fn(&str, String) -> String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return;
    };
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let bearer = headers.get("authorization");
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let sent = String::from_utf8(body).unwrap();
    let (status, answer) = http(behind, method, target, bearer, &sent);
    let answer = change(target, answer);
    let head = format!(
        "HTTP/1.1 {status} Passed On\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    // A client that is gone needs no answer.
    let _ = stream.write_all(format!("{head}{answer}").as_bytes());
}

#[test]
fn names_with_a_comma_select_what_they_name() {
    let sandbox = Sandbox::start();
    let (home, plain_home) = (Home::new(), Home::new());
    let origin = front(&sandbox, |_, body| {
        body.replace("\"On Hold\"", "\"Hold, later\"")
            .replace("\"Drain Cleaning\"", "\"Drains, sewers\"")
            .replace("\"Estimate Provided\"", "\"Estimate, provided\"")
    });
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_API_URL", &origin)
        .start();
    let mut plain = McpClient::start(&sandbox, &plain_home);

    for (arguments, field, names) in [
        (json!({"status": "hold, LATER"}), "status", vec!["On Hold"]),
        (
            json!({"status": ["Hold, later", "On Site"]}),
            "status",
            vec!["On Hold", "On Site"],
        ),
        (
            json!({"category": "Drains, sewers, Emergency"}),
            "category",
            vec!["Drain Cleaning", "Emergency"],
        ),
    ] {
        let expected = jobs_where(&sandbox, |job| {
            names.contains(&job[field].as_str().unwrap_or_default())
        });
        let mut arguments = arguments;
        arguments["limit"] = json!(50);

        assert!(!expected.is_empty(), "{names:?}");
        assert_eq!(
            sorted(walk_jobs(&mut client, &arguments)),
            expected,
            "{arguments}"
        );
    }
    let open = json!({"open": true, "limit": 100});
    let [here, there] = [&mut client, &mut plain].map(|client| {
        (
            sorted(walk(
                client,
                "search_estimates",
                &open,
                "estimates",
                "estimate_id",
            )),
            client.call("get_dispatch_board", &json!({}))["counts"].clone(),
            client.call("list_follow_ups", &json!({"include": ["quiet_estimates"]}))
                ["quiet_estimates"]["value"]
                .clone(),
        )
    });
    assert!(!here.0.is_empty());
    assert_eq!(here, there);
}

#[test]
fn a_company_without_an_open_status_has_nothing_open() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let origin = front(&sandbox, |target, body| {
        if !target.contains("job-statuses") {
            return body;
        }
        let mut list: Value = serde_json::from_str(&body).unwrap();
        let statuses = list["items"].as_array_mut().unwrap();
        statuses.retain(|status| status["name"] == "Paid in Full");
        list.to_string()
    });
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_API_URL", &origin)
        .start();

    let jobs = client.call("search_jobs", &json!({"status": "open"}));
    let estimates = client.call("search_estimates", &json!({"open": true}));
    let quiet = client.call("list_follow_ups", &json!({"include": ["quiet_estimates"]}));

    assert_eq!(jobs["total"], 0);
    assert!(rows(&jobs, "jobs").is_empty());
    assert_eq!(estimates["total"], 0);
    assert_eq!(quiet["quiet_estimates"]["total"], 0);
    for path in ["/v1/jobs", "/v1/estimates"] {
        assert_eq!(sandbox.count("GET", path), 0, "{path}");
    }
}

#[test]
fn a_number_is_found_behind_any_count_of_newer_ones_that_hold_it() {
    let sandbox = Sandbox::with(&["--requests", "6000", "--extra-jobs", "120"]);
    let home = Home::new();
    let oldest = sandbox.find("jobs", "number", &json!("M50001"));
    let billed = sandbox.all("jobs", "expand=invoices");
    let invoice = billed
        .iter()
        .find_map(|job| job["invoices"].get(0))
        .unwrap();
    let number = invoice["number"].to_string();
    let part = number.trim_matches('"')[..1].to_owned();
    let (whole, short) = (
        format!("\"number\":{number},"),
        format!("\"number\":\"{part}\","),
    );
    let origin = front(&sandbox, move |_, body| {
        body.replace("\"M50001\"", "\"M50\"")
            .replace(&whole, &short)
    });
    let mut client = Serve::to(&sandbox, &home)
        .env("SF_MCP_API_URL", &origin)
        .args(&["--toolsets", "all"])
        .start();

    let job = client.call("get_job", &json!({"number": "m50"}));
    let similar = client.refusal("get_job", &json!({"number": "M5"}));
    let found = client.call("get_invoice", &json!({"number": part}));

    assert_eq!(integer(&job["job_id"]), integer(&oldest["id"]));
    similar.says("similar numbers: M50");
    assert_eq!(integer(&found["invoice_id"]), integer(&invoice["id"]));
}

#[test]
fn an_empty_text_is_refused_instead_of_finding_everything() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    for (tool, arguments, argument) in [
        ("search_jobs", json!({"query": ""}), "query"),
        ("search_jobs", json!({"query": "#"}), "query"),
        ("search_jobs", json!({"customer": "  "}), "customer"),
        ("search_jobs", json!({"status": ""}), "status"),
        ("search_jobs", json!({"status": ["open", " "]}), "status[1]"),
        ("search_jobs", json!({"technician": "\t"}), "technician"),
        ("search_customers", json!({"phone": ""}), "phone"),
        ("search_estimates", json!({"query": " # "}), "query"),
        (
            "get_dispatch_board",
            json!({"department": ""}),
            "department",
        ),
    ] {
        let refused = client.refusal(tool, &arguments);

        assert_eq!(refused.code(), "invalid_argument", "{arguments}");
        assert_eq!(refused.argument(), argument, "{arguments}: {refused:?}");
        refused.says("is empty");
    }
    assert_eq!(sandbox.count("GET", "/v1/jobs"), 0);
}
