//! From an e-mail address to an active company, over HTTP.

use reqwest::Response;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_mcp::seal::SealingKey;
use sf_supervisor::{
    email::Email,
    master_key::MasterKeys,
    one_time_codes::{
        CODES, MAILS_IN_TOTAL, MAILS_PER_ADDRESS, MAILS_PER_SOURCE, OneTimeCodes, Refused,
        TRIES_PER_CODE, Use,
    },
    vault::Vault,
};

use crate::{
    activation::activated,
    support::{Service, mailbox::code_in, statements::Statements},
};

const EMAIL: &str = "anna@example.com";

pub(crate) async fn value(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

async fn register(service: &Service, email: &str) -> Response {
    let form = json!({"company": "Comfort Air", "email": email});
    service.post("/api/register", &form).send().await.unwrap()
}

pub(crate) async fn confirm(service: &Service, email: &str, code: &str) -> Response {
    let form = json!({"email": email, "otp": code});
    service.post("/api/confirm", &form).send().await.unwrap()
}

/// Asks for a code and reads it from the newest of then so many mails.
pub(crate) async fn code(service: &Service, email: &str, mails: usize) -> String {
    assert_eq!(register(service, email).await.status(), 202);
    let mails = service.mails(email, mails).await;
    code_in(mails.last().unwrap()).unwrap()
}

fn other(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

#[tokio::test]
async fn a_code_from_the_mail_proves_the_address_once() {
    let service = Service::start().await;
    service.at_window_start();
    let answer = register(&service, " Anna@Example.COM ").await;
    assert_eq!(answer.status(), 202);
    assert_eq!(
        value(answer).await,
        json!({"status": "code_sent", "expires_in": 600})
    );
    let mail = service.mails(EMAIL, 1).await.remove(0);
    let code = code_in(&mail).unwrap();
    // Whatever a stranger calls a company reaches nobody by our mails.
    assert!(!mail.contains("Comfort Air"), "{mail}");

    let answer = confirm(&service, EMAIL, &code).await;
    assert_eq!(answer.status(), 200);
    let confirmed = value(answer).await;
    assert!(confirmed["tenant_id"].as_str().unwrap().starts_with("ten_"));
    assert!(
        confirmed["activation_token"]
            .as_str()
            .unwrap()
            .starts_with("sfa_")
    );
    assert_eq!(confirmed["expires_in"], 1800);

    let again = confirm(&service, EMAIL, &code).await;
    assert_eq!(again.status(), 400);
    assert_eq!(value(again).await["code"], "invalid_code");
    service.stop().await;
}

#[tokio::test]
async fn an_owner_is_led_to_the_same_company() {
    let service = Service::start().await;
    service.at_window_start();
    let first = code(&service, EMAIL, 1).await;
    let first = value(confirm(&service, EMAIL, &first).await).await;
    let second = code(&service, EMAIL, 2).await;
    let second = value(confirm(&service, EMAIL, &second).await).await;
    assert_eq!(first["tenant_id"], second["tenant_id"]);
    assert_ne!(first["activation_token"], second["activation_token"]);
    let mails = service.mails(EMAIL, 2).await;
    assert!(
        mails[1].contains("You have done that already"),
        "{}",
        mails[1]
    );
    service.stop().await;
}

#[tokio::test]
async fn the_newest_code_counts_and_no_code_outlives_ten_minutes() {
    let service = Service::start().await;
    service.at_window_start();
    let old = code(&service, EMAIL, 1).await;
    let new = code(&service, EMAIL, 2).await;
    if old != new {
        assert_eq!(confirm(&service, EMAIL, &old).await.status(), 400);
    }
    assert_eq!(confirm(&service, EMAIL, &new).await.status(), 200);

    let late = code(&service, EMAIL, 3).await;
    service.around.clock.advance(10 * 60_000);
    assert_eq!(confirm(&service, EMAIL, &late).await.status(), 400);
    service.stop().await;
}

#[tokio::test]
async fn five_wrong_codes_end_a_code_for_this_address_alone() {
    let service = Service::start().await;
    service.at_window_start();
    let right = code(&service, EMAIL, 1).await;
    let neighbour = code(&service, "bert@example.com", 1).await;
    for _ in 0..5 {
        let answer = confirm(&service, EMAIL, other(&right)).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(value(answer).await["code"], "invalid_code");
    }
    assert_eq!(confirm(&service, EMAIL, &right).await.status(), 400);
    let answer = confirm(&service, "bert@example.com", &neighbour).await;
    assert_eq!(answer.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn of_two_confirmations_at_once_one_wins() {
    let service = Service::start().await;
    service.at_window_start();
    let code = code(&service, EMAIL, 1).await;
    let answers = futures_util::future::join_all((0..5).map(|_| confirm(&service, EMAIL, &code)));
    let statuses: Vec<_> = answers.await.iter().map(Response::status).collect();
    assert_eq!(
        statuses.iter().filter(|s| **s == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| **s == 400).count(),
        4,
        "{statuses:?}"
    );
    let members = service.app.store.memberships(EMAIL).await.unwrap();
    assert_eq!(members.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_burst_of_wrong_codes_gets_five_tries() {
    let service = Service::start().await;
    service.at_window_start();
    let right = code(&service, EMAIL, 1).await;
    let wrong = other(&right);
    let answers = futures_util::future::join_all((0..12).map(|_| confirm(&service, EMAIL, wrong)));
    assert!(answers.await.iter().all(|answer| answer.status() == 400));
    assert_eq!(confirm(&service, EMAIL, &right).await.status(), 400);
    service.stop().await;
}

#[tokio::test]
async fn limits_per_address_lapse() {
    let service = Service::start().await;
    service.at_window_start();
    for _ in 0..3 {
        assert_eq!(register(&service, EMAIL).await.status(), 202);
    }
    for tagged in [EMAIL, "anna+more@example.com"] {
        let answer = register(&service, tagged).await;
        assert_eq!(answer.status(), 429, "{tagged}");
        assert!(answer.headers().contains_key("retry-after"));
    }
    assert_eq!(register(&service, "bert@example.com").await.status(), 202);
    assert_eq!(service.mails(EMAIL, 3).await.len(), 3);

    service.around.clock.advance(10 * 60_000);
    assert_eq!(register(&service, EMAIL).await.status(), 202);

    service.stop().await;
}

#[tokio::test]
async fn tries_that_cannot_guess_anything_lock_nobody_out() {
    let service = Service::start().await;
    service.at_window_start();
    for junk in ["000000", "nonsense"] {
        for _ in 0..12 {
            assert_eq!(confirm(&service, EMAIL, junk).await.status(), 400);
        }
    }
    let right = code(&service, EMAIL, 1).await;
    for _ in 0..25 {
        assert_eq!(confirm(&service, EMAIL, "nonsense").await.status(), 400);
    }
    assert_eq!(confirm(&service, EMAIL, &right).await.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn tries_at_live_codes_are_limited_for_an_hour() {
    let service = Service::start().await;
    service.at_window_start();
    for mails in 1..=4 {
        let right = code(&service, EMAIL, mails).await;
        for _ in 0..TRIES_PER_CODE {
            let tried = confirm(&service, EMAIL, other(&right)).await;
            assert_eq!(tried.status(), 400);
        }
        service.around.clock.advance(4 * 60_000);
    }
    let right = code(&service, EMAIL, 5).await;
    let refused = confirm(&service, EMAIL, &right).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    service.around.clock.advance(60 * 60_000);
    let right = code(&service, EMAIL, 6).await;
    assert_eq!(confirm(&service, EMAIL, &right).await.status(), 200);
    service.stop().await;
}

/// Replicas get the new master key one after another: each knows codes that the others have made.
#[tokio::test]
async fn codes_are_good_on_replicas_with_either_key() {
    let service = Service::start().await;
    service.at_window_start();
    let former = service.around.master.current().clone();
    let new = SealingKey::generate().unwrap();
    let codes = |keys: MasterKeys| {
        let (store, clock) = (service.app.store.clone(), service.around.clock.clone());
        let vault = Vault::new(store.clone(), keys, clock.clone());
        (vault.clone(), OneTimeCodes::new(store, vault, clock))
    };
    let both = MasterKeys::new(new.clone(), vec![former.clone()]);
    let (vault, early) = codes(both);
    let (_, late) = codes(MasterKeys::new(former.clone(), vec![new]));
    let email = Email::parse(EMAIL).unwrap();
    let spent = async |maker: &OneTimeCodes, checker: &OneTimeCodes| {
        let code = maker.create(&email, "here", None).await.unwrap();
        let checked = checker.check(&email, "here", code.expose_secret(), Use::Spend);
        checked.await.is_ok()
    };
    assert!(spent(&early, &service.app.codes).await, "not yet rotated");
    assert!(spent(&service.app.codes, &early).await);
    let before = service.app.codes.create(&email, "here", None).await;
    vault.rotate(false).await.unwrap();
    let before = before.unwrap();
    let checked = early.check(&email, "here", before.expose_secret(), Use::Spend);
    assert!(checked.await.is_ok(), "made before the rotation");
    service.around.clock.advance(10 * 60_000);
    assert!(spent(&late, &early).await && spent(&early, &late).await);
    service.stop().await;
}

#[tokio::test]
async fn what_stands_left_of_nonsense_is_no_source() {
    let service = Service::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    service.at_window_start();
    // Each of these is one source, however the rest differs.
    for entries in [
        "198.51.100.{}, unknown",
        "198.51.100.{}, 203.0.113.9:44{}",
        "[2001:db8::1:{}]:44",
    ] {
        let status = async |number: i64| {
            let source = entries.replace("{}", &number.to_string());
            register_from(
                &service,
                &source,
                &format!("p{number}@{}.example", entries.len()),
            )
            .await
        };
        for number in 0..MAILS_PER_SOURCE.most {
            assert_eq!(status(number).await, 202, "{entries}");
        }
        assert_eq!(status(99).await, 429, "{entries}");
    }
    service.stop().await;
}

/// As a trusted proxy reports them.
async fn register_from(service: &Service, source: &str, email: &str) -> u16 {
    let form = json!({"company": "Comfort Air", "email": email});
    let request = service.post("/api/register", &form);
    let answer = request.header("x-forwarded-for", source).send().await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn limits_per_source_and_in_total_lapse() {
    let service = Service::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    service.at_window_start();
    let from = |network: i64, host: i64| format!("2001:db8:0:{network:x}::{host:x}");
    let (per_source, total) = (MAILS_PER_SOURCE.most, MAILS_IN_TOTAL.most);
    for number in 0..total {
        let (network, host) = (number / per_source, number % per_source);
        let email = format!("p{number}@example.com");
        assert_eq!(
            register_from(&service, &from(network, host), &email).await,
            202
        );
        if number == per_source - 1 {
            let status = register_from(&service, &from(network, 99), "q@example.com").await;
            assert_eq!(status, 429, "another address of the same network");
        }
    }
    assert_eq!(
        register_from(&service, &from(999, 1), "r@example.com").await,
        429
    );

    service.around.clock.advance(MAILS_IN_TOTAL.window);
    assert_eq!(
        register_from(&service, &from(0, 1), "r@example.com").await,
        202
    );
    service.stop().await;
}

/// Every try on every resend that the limits allow, for a day, each from a source of its own.
#[tokio::test]
async fn a_day_of_guessing_gets_no_more_tries_than_the_arithmetic_says() {
    let service = Service::start().await;
    service.at_window_start();
    let codes = &service.app.codes;
    let email = Email::parse(EMAIL).unwrap();
    let (mut source, mut guesses) = (0, 0);
    for _ in 0..24 * 6 {
        for _ in 0..MAILS_PER_ADDRESS.most {
            source += 1;
            let Ok(right) = codes
                .create(&email, &format!("source {source}"), None)
                .await
            else {
                continue;
            };
            let wrong = other(right.expose_secret());
            for _ in 0..=TRIES_PER_CODE {
                source += 1;
                let before = service
                    .app
                    .store
                    .has_code(EMAIL, service.around.clock.now());
                let live = before.await.unwrap();
                let tried = codes
                    .check(&email, &format!("source {source}"), wrong, Use::Spend)
                    .await;
                assert!(tried.is_err());
                if matches!(tried, Err(Refused::TooMany(_))) {
                    break;
                }
                guesses += i64::from(live);
            }
        }
        service.around.clock.advance(10 * 60_000);
    }
    assert!(guesses > 0);
    assert!(
        guesses * 10_000 < i64::from(CODES),
        "{guesses} guesses in a day"
    );
    service.stop().await;
}

#[tokio::test]
async fn known_and_unknown_addresses_get_the_same_answer() {
    let service = Service::start().await;
    activated(&service, EMAIL).await;
    for path in ["/api/register", "/api/sign-in"] {
        let mut answers = Vec::new();
        for email in [EMAIL, "nobody@example.com"] {
            let form = json!({"company": "Elm Plumbing", "email": email});
            let answer = service.post(path, &form).send().await.unwrap();
            let status = answer.status();
            let mut headers: Vec<_> = answer
                .headers()
                .iter()
                .filter(|(name, _)| *name != "x-request-id" && *name != "date")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            headers.sort_by_key(|(name, _)| name.to_string());
            answers.push((status, headers, answer.text().await.unwrap()));
        }
        assert_eq!(answers[0], answers[1], "{path}");
    }
    let mut answers = Vec::new();
    for email in [EMAIL, "nobody@example.com", "never@example.com"] {
        let answer = confirm(&service, email, "nonsense").await;
        let mut problem = value(answer).await;
        problem.as_object_mut().unwrap().remove("request_id");
        answers.push(problem);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    service.stop().await;
}

/// Timing cannot tell addresses apart where the same statements are waited for.
#[tokio::test]
async fn known_and_unknown_addresses_cost_the_same_statements() {
    let service = Service::start().await;
    activated(&service, EMAIL).await;
    let statements = Statements::watch();
    for (path, statement_count) in [("/api/register", 6), ("/api/sign-in", 6)] {
        let mut seen = Vec::new();
        for email in [EMAIL, "nobody@example.com"] {
            statements.forget();
            let form = json!({"company": "Elm Plumbing", "email": email});
            let answer = service.post(path, &form).send().await.unwrap();
            assert_eq!(answer.status(), 202);
            // A new connection's settings and the watch for others' changes are no part of the request.
            let mut these = statements.seen();
            these.retain(|statement| {
                !statement.starts_with("SET tcp") && !statement.starts_with("SELECT data_version")
            });
            seen.push(these);
        }
        assert_eq!(seen[0], seen[1], "{path}");
        assert_eq!(seen[0].len(), statement_count, "{path}: {:?}", seen[0]);
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_no_proper_request_is_refused_before_anything_else() {
    let service = Service::start().await;
    let url = format!("{}/api/register", service.url);
    let form = json!({"company": "Comfort Air", "email": EMAIL}).to_string();
    let send = async |kind: &str, body: String| {
        let request = service.http.post(&url).header("content-type", kind);
        let answer = request.body(body).send().await.unwrap();
        (
            answer.status().as_u16(),
            value(answer).await["code"].clone(),
        )
    };
    assert_eq!(
        send("text/plain", form.clone()).await,
        (415, json!("json_expected"))
    );
    assert_eq!(
        send("application/x-www-form-urlencoded", form.clone())
            .await
            .0,
        415
    );
    assert_eq!(
        send("application/json", "{".to_owned()).await,
        (400, json!("invalid_request"))
    );
    let large = json!({"company": "x".repeat(70_000), "email": EMAIL}).to_string();
    assert_eq!(
        send("application/json", large).await,
        (413, json!("too_large"))
    );
    let deep = "[".repeat(10_000);
    assert_eq!(send("application/json", deep).await.0, 400);
    for company in ["", "a\u{7}b", "\u{202e}b", &"x".repeat(121)] {
        let form = json!({"company": company, "email": EMAIL}).to_string();
        assert_eq!(send("application/json", form).await.0, 400, "{company:?}");
    }
    assert!(service.mails_now(EMAIL).is_empty());
    service.stop().await;
}

#[tokio::test]
async fn the_interface_describes_itself() {
    let service = Service::start().await;
    let described = value(service.get("/openapi.json").send().await.unwrap()).await;
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/api/register",
        "/api/confirm",
        "/api/activate",
        "/api/devices",
        "/api/export",
        "/api/token",
        "/api/usage",
        "/api/bundles/{client}",
    ] {
        assert!(described["paths"][path].is_object(), "{path}");
    }
    let text = described.to_string();
    for name in text.split("#/components/schemas/").skip(1) {
        let name = name.split('"').next().unwrap();
        assert!(
            described["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
    let mut names: Vec<_> = text.split("\"operationId\":").skip(1).collect();
    let count = names.len();
    names.sort_by_key(|rest| rest.split(',').next());
    names.dedup_by_key(|rest| rest.split(',').next());
    assert_eq!(names.len(), count, "each operation has a name of its own");
    service.stop().await;
}
