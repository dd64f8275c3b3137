//! What the database gives away, and how its keys are changed while services run.

use std::{
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use sf_mcp::{auth::oauth::Grant, seal::SealingKey};
use sf_supervisor::{
    app::{self, App},
    clock::Clock,
    master_key::MasterKeys,
    store::{DataKey, Store},
    vault::{self, Kind, NewCredentials, Vault},
};

use crate::support::{Database, Service, command::run, sf_mcp};

fn planted(number: usize) -> NewCredentials {
    let planted = |what: &str| SecretString::from(format!("planted-{what}-{number}"));
    NewCredentials {
        kind: Kind::AuthorizationCode,
        client_id: planted("id"),
        client_secret: planted("secret"),
        grant: Grant {
            access_token: planted("access"),
            expires_in: Duration::from_hours(1),
            refresh_token: Some(planted("refresh")),
        },
        account: format!("planted-account-{number}"),
    }
}

async fn tenants(store: &Store, vault: &Vault, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let address = format!("{number}@acme.example");
        let owner = store.add_tenant("acme", &address, "free", 1);
        let id = owner.await.unwrap().tenant_id;
        vault.replace(&id, &planted(number)).await.unwrap();
        ids.push(id);
    }
    ids
}

async fn opens(vault: &Vault, id: &str, number: usize) {
    let (_, row) = vault.read(id).await.unwrap().unwrap();
    let secrets = vault.secrets(row.clone()).await.unwrap();
    let access = vault.access_token(row).await.unwrap();
    let new = planted(number);
    assert_eq!(
        secrets.client_id.expose_secret(),
        new.client_id.expose_secret()
    );
    assert_eq!(
        secrets.client_secret.expose_secret(),
        new.client_secret.expose_secret()
    );
    let refresh = secrets.refresh_token.unwrap();
    assert_eq!(refresh.expose_secret(), format!("planted-refresh-{number}"));
    assert_eq!(
        access.expose_secret(),
        new.grant.access_token.expose_secret()
    );
    assert_eq!(vault.account(id).await.unwrap().unwrap(), new.account);
}

#[tokio::test]
async fn a_dump_of_the_whole_database_holds_no_secret() {
    let service = Service::start().await;
    let (app, database) = (&service.app, &service.around.database);
    let ids = tenants(&app.store, &app.vault, 3).await;
    for _ in 0..5 {
        app.vault.replace(&ids[0], &planted(0)).await.unwrap();
    }
    app.vault.rotate(true).await.unwrap();
    opens(&app.vault, &ids[0], 0).await;
    let master = service.around.master.current().to_base64();
    let dump = database.dump().await;
    assert!(dump.len() > 1000 && dump.windows(4).any(|part| part == b"acme"));
    for secret in ["planted-", master.as_str()] {
        assert!(
            !dump
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        );
    }
}

#[tokio::test]
async fn a_value_moved_to_another_tenant_column_or_key_does_not_open() {
    let service = Service::start().await;
    let (app, database) = (&service.app, &service.around.database);
    let ids = tenants(&app.store, &app.vault, 2).await;
    let (one, other) = (&ids[0], &ids[1]);
    let column_of_other = |column: &str| {
        format!(
            "UPDATE credentials SET {column} = (SELECT o.{column} FROM credentials o WHERE o.tenant_id = '{other}') \
             WHERE tenant_id = '{one}'"
        )
    };
    let within = |column: &str, from: &str| {
        format!("UPDATE credentials SET {column} = {from} WHERE tenant_id = '{one}'")
    };
    let key_of_other = format!(
        "UPDATE data_keys SET key_id = (SELECT o.key_id FROM data_keys o WHERE o.tenant_id = '{other}'), \
         wrapped = (SELECT o.wrapped FROM data_keys o WHERE o.tenant_id = '{other}') WHERE tenant_id = '{one}'"
    );
    let moves = [
        column_of_other("access_token"),
        column_of_other("client_secret"),
        column_of_other("refresh_token"),
        within("access_token", "refresh_token"),
        within("client_secret", "client_id"),
        within("client_id", "account"),
        within("refresh_token", "access_token"),
        // The whole row, with the key it belongs to.
        [
            key_of_other,
            column_of_other("key_id"),
            column_of_other("access_token"),
            column_of_other("client_secret"),
        ]
        .join("; "),
    ];
    for moved in moves {
        app.vault.replace(one, &planted(0)).await.unwrap();
        database
            .run("CREATE TABLE kept AS SELECT * FROM data_keys")
            .await;
        database.run(&moved).await;
        let (_, row) = app.vault.read(one).await.unwrap().unwrap();
        let access = app.vault.access_token(row.clone()).await.err();
        let secrets = app.vault.secrets(row).await.err();
        assert!(
            matches!(access.or(secrets), Some(vault::Error::Sealed { .. })),
            "{moved}"
        );
        database
            .run(
                "UPDATE data_keys SET \
                 key_id = (SELECT k.key_id FROM kept k WHERE k.tenant_id = data_keys.tenant_id), \
                 wrapped = (SELECT k.wrapped FROM kept k WHERE k.tenant_id = data_keys.tenant_id); \
                 DROP TABLE kept",
            )
            .await;
    }
    opens(&app.vault, other, 1).await;
}

#[tokio::test]
async fn another_master_key_stops_the_start_and_nothing_is_written() {
    let service = Service::start().await;
    tenants(&service.app.store, &service.app.vault, 1).await;
    let (around, config) = (Arc::clone(&service.around), service.app.config.clone());
    service.stop().await;
    // As if this program were newer than the tables.
    around
        .database
        .run("DROP TABLE usage_days; DELETE FROM _sqlx_migrations")
        .await;
    let before = around.database.dump().await;
    let wrong = MasterKeys::new(SealingKey::generate().unwrap(), Vec::new());
    let problem = App::open(config, wrong, Clock::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            &problem,
            app::Error::Vault(vault::Error::WrongMasterKey { .. })
        ),
        "{problem}"
    );
    assert!(
        problem.to_string().contains("SF_SUPERVISOR_MASTER_KEY"),
        "{problem}"
    );
    assert_eq!(before, around.database.dump().await);
}

#[tokio::test]
async fn a_master_key_that_cannot_be_used_is_a_wrong_setting() {
    let service = Service::start().await;
    let around = Arc::clone(&service.around);
    service.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let key = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        place(name)
    };
    let another = SealingKey::generate().unwrap().to_base64();
    for (file, said) in [
        (place("none"), "cannot be read"),
        (key("broken", "no key"), "cannot be used"),
        (key("another", &another), "is not the one"),
    ] {
        for command in [["serve"].as_slice(), &["keys", "rotate"]] {
            let mut arguments = command.to_vec();
            let child = sf_mcp();
            arguments.extend(["--listen", "127.0.0.1:0", "--mail-dir", "mail"]);
            arguments.extend(["--child", child.to_str().unwrap()]);
            arguments.extend(["--master-key-file", &file]);
            let ran = run(&around.database.url, &arguments).await;
            assert_eq!(ran.code, 2, "{command:?}: {}", ran.err);
            assert!(ran.err.contains(said), "{command:?}: {}", ran.err);
        }
    }
}

#[tokio::test]
async fn a_master_key_that_is_still_in_use_cannot_be_dropped() {
    let service = Service::start().await;
    let (store, former) = (&service.app.store, service.around.master.current().clone());
    tenants(store, &service.app.vault, 1).await;
    let new = SealingKey::generate().unwrap();
    let both = MasterKeys::new(new.clone(), vec![former.clone()]);
    let both = Vault::new(store.clone(), both, Clock::default());
    both.refuse_another_key().await.unwrap();
    // Not rotated yet: what is sealed now, services with the former key alone can open.
    let late = tenants(store, &both, 0).await;
    assert!(late.is_empty());
    let owner = store
        .add_tenant("late", "late@acme.example", "free", 1)
        .await
        .unwrap();
    both.replace(&owner.tenant_id, &planted(7)).await.unwrap();
    opens(&service.app.vault, &owner.tenant_id, 7).await;

    let alone = Vault::new(
        store.clone(),
        MasterKeys::new(new, Vec::new()),
        Clock::default(),
    );
    assert!(matches!(
        alone.refuse_another_key().await,
        Err(vault::Error::WrongMasterKey { .. })
    ));
    both.rotate(false).await.unwrap();
    alone.refuse_another_key().await.unwrap();
    opens(&alone, &owner.tenant_id, 7).await;
    assert!(matches!(
        service.app.vault.refuse_another_key().await,
        Err(vault::Error::WrongMasterKey { .. })
    ));
}

#[tokio::test]
async fn of_several_first_starts_with_different_keys_one_wins() {
    let database = Database::new().await;
    let store = Store::open(&database.url).await.unwrap();
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let keys = MasterKeys::new(SealingKey::generate().unwrap(), Vec::new());
        let vault = Vault::new(store.clone(), keys, Clock::default());
        starts.spawn(async move { vault.mark().await });
    }
    let outcomes = starts.join_all().await;
    let refused = |outcome: &&Result<(), vault::Error>| {
        matches!(outcome, Err(vault::Error::WrongMasterKey { .. }))
    };
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(refused).count(), 7);
}

#[tokio::test]
async fn a_renewal_that_ends_after_a_rotation_is_sealed_under_the_new_key() {
    let service = Service::start().await;
    let app = &service.app;
    let id = tenants(&app.store, &app.vault, 1).await.remove(0);
    let (head, row) = app.vault.read(&id).await.unwrap().unwrap();
    let secrets = app.vault.secrets(row).await.unwrap();
    assert!(
        app.store
            .begin_renewal(&id, head.generation, 1)
            .await
            .unwrap()
    );
    app.vault.rotate(true).await.unwrap();
    let grant = planted(9).grant;
    let finished = app
        .vault
        .finish_renewal(&id, head.generation, &secrets, &grant, 1);
    assert!(finished.await.unwrap());
    let (head, row) = app.vault.read(&id).await.unwrap().unwrap();
    assert_eq!((head.generation, head.intent_at), (2, None));
    let token = app.vault.access_token(row.clone()).await.unwrap();
    assert_eq!(token.expose_secret(), "planted-access-9");
    let secrets = app.vault.secrets(row).await.unwrap();
    assert_eq!(secrets.client_secret.expose_secret(), "planted-secret-0");
    // An answer to a renewal of what is no longer there changes nothing.
    let late = app.vault.finish_renewal(&id, 1, &secrets, &grant, 1);
    assert!(!late.await.unwrap());
}

fn changed(before: &[DataKey], now: &[DataKey]) -> usize {
    let pairs = before.iter().zip(now);
    pairs.filter(|(before, now)| before != now).count()
}

/// `sf-supervisor keys …` as a process.
fn keys(database: &Database, arguments: &[&str], new: &SealingKey, old: &SealingKey) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"));
    command
        .arg("keys")
        .args(arguments)
        .env_clear()
        .env("SF_SUPERVISOR_DATABASE_URL", &database.url)
        .env("SF_SUPERVISOR_MASTER_KEY", new.to_base64().as_str())
        .env("SF_SUPERVISOR_MASTER_KEY_OLD", old.to_base64().as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> serde_json::Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_killed_in_the_middle_is_finished_while_the_service_serves() {
    const TENANTS: usize = 150;
    let service = Service::start().await;
    let store = service.app.store.clone();
    let former = service.around.master.current().clone();
    let new = SealingKey::generate().unwrap();
    let both = MasterKeys::new(new.clone(), vec![former.clone()]);
    let serving = Vault::new(store.clone(), both, Clock::default());
    let ids = Arc::new(tenants(&store, &serving, TENANTS).await);

    // Readers and writers go on all the time.
    let stop = tokio_util::sync::CancellationToken::new();
    let reading = tokio::spawn({
        let (serving, ids, stop) = (serving.clone(), Arc::clone(&ids), stop.clone());
        async move {
            let mut reads = 0;
            while !stop.is_cancelled() {
                let number = reads % TENANTS;
                opens(&serving, &ids[number], number).await;
                serving
                    .replace(&ids[number], &planted(number))
                    .await
                    .unwrap();
                reads += 1;
            }
            reads
        }
    });
    let database = &service.around.database;
    let mut killed = 0;
    let rows = async || store.data_keys_not_under("", "", 1000).await.unwrap();
    for _ in 0..4 {
        let before = rows().await;
        let rotation = keys(
            database,
            &["rotate", "--data-keys", "--json"],
            &new,
            &former,
        )
        .spawn();
        let mut rotation = rotation.unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        // Some tens of tenants further on each time: the first kills fall into the sealing, the last into the replacing.
        while changed(&before, &rows().await) < 60 && rotation.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < deadline, "no progress");
        }
        killed += u32::from(rotation.kill().is_ok() && !rotation.wait().unwrap().success());
    }
    assert!(killed > 1, "{killed}");
    let done = keys(
        database,
        &["rotate", "--data-keys", "--json"],
        &new,
        &former,
    );
    let done = said(&{ done }.output().unwrap());
    assert_eq!(done["master_key"], new.id());
    stop.cancel();
    assert!(reading.await.unwrap() > 0);

    let status = said(
        &keys(database, &["status", "--json"], &new, &former)
            .output()
            .unwrap(),
    );
    assert_eq!(status["database"], new.id());
    assert_eq!(status["in_use"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["replacing_data_keys"], false);
    let alone = Vault::new(
        store.clone(),
        MasterKeys::new(new, Vec::new()),
        Clock::default(),
    );
    for (number, id) in ids.iter().enumerate() {
        opens(&alone, id, number).await;
    }
    let entries = store.entries(None, 10).await.unwrap();
    assert!(entries.iter().any(|entry| entry.action == "keys.rotate"));
}

#[test]
fn a_new_key_is_printed_without_any_set_up() {
    let generate = || {
        let output = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
            .args(["keys", "generate"])
            .env_clear()
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let key = SealingKey::from_base64(&generate()).unwrap();
    assert_ne!(key.id(), SealingKey::from_base64(&generate()).unwrap().id());
}

#[test]
fn a_wrong_address_makes_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typo.db");
    let key = SealingKey::generate().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
        .args(["keys", "status"])
        .env_clear()
        .env(
            "SF_SUPERVISOR_DATABASE_URL",
            format!("sqlite://{}", file.display()),
        )
        .env("SF_SUPERVISOR_MASTER_KEY", key.to_base64().as_str())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!file.exists());
}
