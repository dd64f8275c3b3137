//! The operators' command line: the real program beside a service that is serving.

use serde_json::json;

use crate::support::{
    Service,
    command::{Ran, run},
    usage::{Company, call},
};

async fn admin(service: &Service, arguments: &[&str]) -> Ran {
    let arguments = [&["admin"], arguments].concat();
    run(&service.around.database.url, &arguments).await
}

/// As a person types it.
fn typed(arguments: &[&str]) -> String {
    let words = arguments.iter().map(|word| {
        if word.contains(' ') {
            format!("'{word}'")
        } else {
            (*word).to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Two companies; the first has made calls.
async fn companies(service: &Service) -> (Company, Company) {
    let acme = Company::new(service, "Acme Air", "ann@acme.test").await;
    let beta = Company::new(service, "Beta Heating", "bob@beta.test").await;
    let now = service.app.clock.now();
    let calls: Vec<_> = (1..=12).map(|number| call(number, now)).collect();
    assert_eq!(acme.report(service, &calls).await.0, 202);
    let active = format!(
        "UPDATE tenants SET activated_at = {now} WHERE id = '{}'",
        acme.tenant_id
    );
    service.around.database.run(&active).await;
    (acme, beta)
}

#[tokio::test]
async fn tables_read_well() {
    let service = Service::start().await;
    let _both = companies(&service).await;
    let mut text = Vec::new();
    for arguments in [
        ["tenants"].as_slice(),
        &["tenants", "--search", "BETA"],
        &["tenants", "--state", "suspended"],
        &["show", "acme air"],
        &["note", "acme air", "pays by invoice"],
        &["tier", "ann@acme.test", "pro", "--per-day", "20000"],
        &["tier", "beta heating", "enterprise"],
        &["suspend", "bob@beta.test", "--why", "unpaid since May"],
        &["show", "beta heating"],
        &["resume", "beta heating"],
        &["resume", "beta heating"],
        &["devices", "acme air"],
        &["usage"],
        &["usage", "--tenant", "acme air"],
        &["usage", "--tenant", "acme air", "--by", "tool"],
        &["usage", "--csv"],
    ] {
        let ran = admin(&service, arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
        text.push(format!(
            "$ sf-supervisor admin {}\n{}",
            typed(arguments),
            ran.shown().replace('\r', "")
        ));
    }
    insta::assert_snapshot!("admin", text.join("\n"));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_exit_code() {
    let service = Service::start().await;
    let (acme, _) = companies(&service).await;
    Company::new(&service, "Acme Air", "other@acme.test").await;
    let mut text = Vec::new();
    for (arguments, code) in [
        (["show", "beta heatin"].as_slice(), 1),
        (&["show", "nobody"], 1),
        (&["show", "Acme Air"], 1),
        (&["tier", "bob@beta.test", "gold"], 2),
        (&["delete", "bob@beta.test", "--yes-delete", "beta"], 2),
        (
            &["devices", "bob@beta.test", "--revoke", &acme.device_id],
            1,
        ),
        (&["usage", "--from", "yesterday"], 2),
    ] {
        let ran = admin(&service, arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "");
        let said = ran.shown().replace(&acme.device_id, "tok_…");
        text.push(format!(
            "$ sf-supervisor admin {}\n{said}",
            typed(arguments).replace(&acme.device_id, "tok_…")
        ));
    }
    insta::assert_snapshot!("admin_errors", text.join("\n"));
    for arguments in [
        ["suspend", "acme"].as_slice(),
        &["delete", "acme"],
        &["tier", "acme"],
        &["usage", "--csv", "--json"],
        &["tier", "acme", "pro", "--burst", "1", "--tier-limits"],
    ] {
        assert_eq!(admin(&service, arguments).await.code, 2, "{arguments:?}");
    }
}

#[tokio::test]
async fn a_change_holds_from_the_next_request_on_and_is_in_the_audit_log() {
    let service = Service::start().await;
    let (acme, beta) = companies(&service).await;
    let status = async |company: &Company| company.report(&service, &[]).await.0;

    let suspended = admin(
        &service,
        &["suspend", "acme air", "--why", "unpaid", "--json"],
    )
    .await
    .json();
    assert_eq!(suspended["changed"], true);
    assert_eq!(status(&acme).await, 403);
    assert_eq!(status(&beta).await, 202);
    assert_eq!(
        admin(
            &service,
            &["suspend", "acme air", "--why", "unpaid", "--json"]
        )
        .await
        .json()["changed"],
        false
    );
    assert_eq!(admin(&service, &["resume", "acme air"]).await.code, 0);
    assert_eq!(status(&acme).await, 202);

    let devices = admin(&service, &["devices", "acme air", "--json"])
        .await
        .json();
    assert_eq!(devices["devices"][0]["id"], acme.device_id);
    assert!(!devices.to_string().contains("sfd_"));
    assert_eq!(
        admin(
            &service,
            &["devices", "acme air", "--revoke", &acme.device_id]
        )
        .await
        .code,
        0
    );
    assert_eq!(status(&acme).await, 401);

    let tier = ["tier", "acme air", "pro", "--burst", "7", "--json"];
    let after = &admin(&service, &tier).await.json()["after"];
    assert_eq!(
        (&after["tier"], &after["limits"]),
        (
            &json!("pro"),
            &json!({"per_minute": 120, "burst": 7, "per_day": 10_000, "in_flight": 32})
        )
    );
    let after = &admin(
        &service,
        &["tier", "acme air", "pro", "--tier-limits", "--json"],
    )
    .await
    .json()["after"];
    assert_eq!(after["limits"]["burst"], 60);

    assert_eq!(
        admin(
            &service,
            &["delete", "acme air", "--yes-delete", "Acme Air"]
        )
        .await
        .code,
        0
    );
    assert_eq!(admin(&service, &["show", &acme.tenant_id]).await.code, 1);
    let left = admin(&service, &["usage", "--json"]).await.json();
    assert_eq!(left["totals"]["calls"], 0);

    let log = admin(&service, &["audit", &acme.tenant_id, "--json"])
        .await
        .json();
    let mut entries: Vec<_> = log["entries"].as_array().unwrap().clone();
    entries.reverse();
    for entry in &mut entries {
        assert_eq!(entry["actor"], "cli:olga");
        entry
            .as_object_mut()
            .unwrap()
            .retain(|name, _| ["action", "before", "after"].contains(&name.as_str()));
    }
    assert_eq!(
        json!(entries),
        json!([
            {"action": "tenant.suspend", "before": {"suspended": false, "why": null}, "after": {"suspended": true, "why": "unpaid"}},
            {"action": "tenant.resume", "before": {"suspended": true, "why": "unpaid"}, "after": {"suspended": false, "why": null}},
            {"action": "device.revoke",
             "before": {"id": acme.device_id, "name": "front desk", "kind": "device", "revoked": false},
             "after": {"id": acme.device_id, "name": "front desk", "kind": "device", "revoked": true}},
            {"action": "tenant.tier", "before": {"tier": "free", "limits": null}, "after": {"tier": "pro", "limits": {"burst": 7}}},
            {"action": "tenant.tier", "before": {"tier": "pro", "limits": {"burst": 7}}, "after": {"tier": "pro", "limits": null}},
            {"action": "tenant.delete", "before": {"company": "Acme Air", "tier": "pro"}, "after": null},
        ])
    );
    assert_eq!(status(&beta).await, 202);
}

#[tokio::test]
async fn a_database_that_is_missing_or_of_another_schema_is_left_alone() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let ran = run(
        &format!("sqlite://{}", path.display()),
        &["admin", "tenants"],
    )
    .await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("there is no database"), "{}", ran.err);
    assert!(!path.exists());

    let pool = sqlx::AnyPool::connect(&service.around.database.url)
        .await
        .unwrap();
    for (version, hint) in [
        ("version + 1000", "the version of sf-supervisor that serves"),
        ("version - 2000", "start `sf-supervisor serve`"),
    ] {
        let change =
            sqlx::AssertSqlSafe(format!("UPDATE _sqlx_migrations SET version = {version}"));
        sqlx::query(change).execute(&pool).await.unwrap();
        let ran = admin(&service, &["tenants"]).await;
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains(hint), "{}", ran.err);
    }
    pool.close().await;
}

#[tokio::test]
async fn a_name_cannot_steer_the_terminal_or_a_spreadsheet() {
    let service = Service::start().await;
    let company = Company::new(&service, "=1+1\u{1b}[2J\u{202e}", "ann@acme.test").await;
    company
        .report(&service, &[call(1, service.app.clock.now())])
        .await;
    let table = admin(&service, &["tenants"]).await.out;
    assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");
    let csv = admin(&service, &["usage", "--csv"]).await.out;
    assert!(csv.contains(",'=1+1"), "{csv:?}");
}
