//! Backups: made while serving, checked, restored into either database.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use sf_supervisor::store::address;
use sqlx::{Connection, Row as _};

use crate::support::{
    Database, Service,
    command::{Ran, run},
    until,
    usage::{Company, call},
};
use crate::usage::sums_equal_events;

const TABLES: [&str; 13] = [
    "tenants",
    "members",
    "codes",
    "counters",
    "tokens",
    "data_keys",
    "credentials",
    "usage_events",
    "usage_hours",
    "usage_days",
    "usage_clients",
    "audit",
    "settings",
];

async fn back_up(service: &Service, file: &Path) -> Ran {
    run(
        &service.around.database.url,
        &["backup", file.to_str().unwrap(), "--json"],
    )
    .await
}

async fn restore(database: &str, file: &Path, more: &[&str]) -> Ran {
    let arguments = [&["restore", file.to_str().unwrap()], more].concat();
    run(database, &arguments).await
}

/// Every row of every table as text, in an order of its own.
async fn contents(url: &str) -> Vec<String> {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let mut contents = Vec::new();
    for table in TABLES {
        let statement = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
        for row in sqlx::query(statement)
            .fetch_all(&mut connection)
            .await
            .unwrap()
        {
            let mut cells: Vec<String> = (0..row.len())
                .map(|index| {
                    let name = sqlx::Column::name(&row.columns()[index]);
                    let text = row.try_get::<Option<String>, _>(index);
                    let value = text.map_or_else(
                        |_| format!("{:?}", row.get::<Option<i64>, _>(index)),
                        |text| format!("{text:?}"),
                    );
                    format!("{name}={value}")
                })
                .collect();
            cells.sort();
            contents.push(format!("{table}: {}", cells.join(" ")));
        }
    }
    connection.close().await.unwrap();
    contents.sort();
    contents
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_under_load_is_one_moment_and_restores_into_either_database() {
    let service = Arc::new(Service::start().await);
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let at = service.app.clock.now();
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (service, company, stop) = (Arc::clone(&service), company.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                let calls: Vec<Value> = (next..next + 50).map(|number| call(number, at)).collect();
                assert_eq!(company.report(&service, &calls).await.0, 202);
                next += 50;
            }
            next
        })
    };
    until("calls", async || {
        (company.figures(&service, "").await["totals"]["calls"] != 0).then_some(())
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("night 1 %41.backup");
    let ran = back_up(&service, &file).await;
    stop.store(true, Ordering::Relaxed);
    let sent = load.await.unwrap();
    let (made, asked) = (ran.json(), &service.around.database.url);
    assert_eq!(made["database"], address::shown(asked));
    let manifest = &made["manifest"];
    let events = manifest["rows"]["usage_events"].as_u64().unwrap();
    assert!(
        events > 0 && events <= sent && events.is_multiple_of(50),
        "{events} of {sent}"
    );

    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    let copied = contents(&format!(
        "sqlite://{}",
        file.display().to_string().replace('%', "%25")
    ))
    .await;
    let mut targets = vec![Database::new().await];
    targets.extend(Database::other_kind());
    for target in &targets {
        let ran = restore(&target.url, &file, &[]).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains("master key is not in it"), "{}", ran.out);
        let named = address::shown(&target.url);
        assert!(ran.out.contains(&format!(" into {named}. ")), "{}", ran.out);
        assert_eq!(contents(&target.url).await, copied);
        sums_equal_events(&target.url, events).await;
    }
    // And from the other kind back again.
    if let [_, other] = targets.as_slice() {
        let again = folder.path().join("again.backup");
        assert_eq!(
            run(&other.url, &["backup", again.to_str().unwrap()])
                .await
                .code,
            0
        );
        let last = Database::new().await;
        assert_eq!(restore(&last.url, &again, &[]).await.code, 0);
        assert_eq!(contents(&last.url).await, copied);
    }
}

#[tokio::test]
async fn a_restored_service_serves_the_same_companies() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let now = service.app.clock.now();
    company.report(&service, &[call(1, now)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    assert_eq!(back_up(&service, &file).await.code, 0);
    company.report(&service, &[call(2, now)]).await;
    Company::new(&service, "Beta Heating", "bob@beta.test").await;
    let (around, url) = (
        Arc::clone(&service.around),
        service.around.database.url.clone(),
    );

    if !around.database.is_postgres() {
        let ran = restore(&url, &file, &["--replace"]).await;
        assert_eq!(
            ran.code, 1,
            "a database that is being served is not replaced"
        );
        assert!(
            ran.err.contains("another sf-supervisor uses"),
            "{}",
            ran.err
        );
    }
    service.stop().await;
    let before = contents(&url).await;
    let ran = restore(&url, &file, &[]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--replace"), "{}", ran.err);
    assert_eq!(contents(&url).await, before);
    let ran = restore(&url, &file, &["--replace", "--revoke-tokens"]).await;
    assert!(ran.out.contains("Every token is revoked"), "{}", ran.out);
    let service = Service::over(Arc::clone(&around), |_| {}).await;
    assert_eq!(company.report(&service, &[call(1, now)]).await.0, 401);
    service.stop().await;
    let ran = restore(&url, &file, &["--replace"]).await;
    assert!(ran.out.contains("--revoke-tokens"), "{}", ran.out);
    let ran = restore(&url, &file, &["--replace", "--json"]).await;
    assert_eq!(ran.json()["manifest"]["rows"]["tenants"], 1);
    assert!(ran.json()["master_key_fits"].is_null());
    let key = folder.path().join("another.key");
    std::fs::write(&key, run(&url, &["keys", "generate"]).await.out).unwrap();
    let other = [
        "--replace",
        "--json",
        "--master-key-file",
        key.to_str().unwrap(),
    ];
    let ran = restore(&url, &file, &other).await;
    assert_eq!(ran.json()["master_key_fits"], false);

    let service = Service::over(around, |_| {}).await;
    assert_eq!(company.figures(&service, "").await["totals"]["calls"], 1);
    assert_eq!(
        company
            .report(&service, &[call(1, now), call(2, now)])
            .await
            .1["accepted"],
        1
    );
}

#[tokio::test]
async fn a_backup_never_overwrites_and_a_bad_one_is_refused() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    company
        .report(&service, &[call(1, service.app.clock.now())])
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    assert_eq!(back_up(&service, &file).await.code, 0);
    let kept = std::fs::read(&file).unwrap();
    let ran = back_up(&service, &file).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(std::fs::read(&file).unwrap(), kept);
    let forced = run(
        &service.around.database.url,
        &["backup", file.to_str().unwrap(), "--force"],
    )
    .await;
    assert_eq!(forced.code, 0, "{}", forced.err);

    let target = Database::new().await;
    let refused = async |name: &str, change: &str, said: &str| {
        let bad = folder.path().join(name);
        std::fs::copy(&file, &bad).unwrap();
        if change.is_empty() {
            let mut bytes = std::fs::read(&bad).unwrap();
            bytes.truncate(bytes.len() / 2);
            std::fs::write(&bad, bytes).unwrap();
        } else {
            let mut connection =
                sqlx::AnyConnection::connect(&format!("sqlite://{}", bad.display()))
                    .await
                    .unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(change.to_owned()))
                .execute(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
        }
        let ran = restore(&target.url, &bad, &[]).await;
        assert_eq!(ran.code, 1, "{name}: {}", ran.out);
        assert!(ran.err.contains(said), "{name}: {}", ran.err);
    };
    refused("torn", "", "damaged").await;
    refused(
        "changed",
        "UPDATE usage_days SET calls = 7",
        "not those that its manifest counts",
    )
    .await;
    refused(
        "shortened",
        "DELETE FROM audit; DELETE FROM usage_events",
        "not those that its manifest counts",
    )
    .await;
    refused(
        "newer",
        "UPDATE backup_manifest SET schema = schema + 1000, program = '9.9.9'",
        "made by sf-supervisor 9.9.9",
    )
    .await;
    refused("stranger", "DROP TABLE backup_manifest", "no backup").await;
    let text = folder.path().join("text");
    std::fs::write(&text, "no database").unwrap();
    let ran = restore(&target.url, &text, &[]).await;
    assert!(ran.code == 1 && ran.err.contains("damaged"), "{}", ran.err);
    for (name, why) in [
        ("none", "there is no file"),
        ("text/below", "cannot be read"),
        (".", "is no file"),
    ] {
        let ran = restore(&target.url, &folder.path().join(name), &[]).await;
        assert_eq!(ran.code, 1, "{name}: {}", ran.out);
        assert!(ran.err.contains(why), "{name}: {}", ran.err);
    }

    assert_eq!(
        restore(&target.url, &file, &[]).await.code,
        0,
        "the database is still empty"
    );
}

#[tokio::test]
async fn without_settings_nothing_is_restored_into_a_database_that_nobody_named() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (file, home) = (folder.path().join("backup"), folder.path().join("home"));
    assert_eq!(back_up(&service, &file).await.code, 0);
    for asked in ["restore", "backup"] {
        let unnamed = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
            .args([asked, file.to_str().unwrap(), "--json"])
            .args((asked == "backup").then_some("--force"))
            .env_clear()
            .env("HOME", &home)
            .output()
            .unwrap();
        let said = String::from_utf8(unnamed.stderr).unwrap();
        assert_eq!(unnamed.status.code(), Some(1), "{asked}: {said}");
        assert!(
            said.contains(home.to_str().unwrap()) && said.contains("SF_SUPERVISOR_DATABASE_URL"),
            "{asked}: {said}"
        );
        assert!(!home.exists(), "{asked}");
    }
}
