//! What is kept opens again, in its place and with its key alone.

use super::*;

fn secrets(token: &str) -> Secrets {
    Secrets {
        means: Means::Client {
            id: "id".to_owned().into(),
            secret: "planted-secret".to_owned().into(),
        },
        access_token: token.to_owned().into(),
        api_url: "https://api.servicefusion.com".to_owned(),
        expires_at: 1_800_000_000_000,
        life: 3_600_000,
        refresh_token: Some("planted-refresh".to_owned().into()),
        account: "Carol".to_owned(),
    }
}

fn vault(folder: &tempfile::TempDir, profile: &str) -> Vault {
    Vault::new(
        folder.path().join("tokens.db"),
        profile,
        "https://api.servicefusion.com",
    )
}

#[test]
fn a_sign_in_is_read_back_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder, "default");
    assert_eq!(vault.head().unwrap(), None);
    assert!(!vault.path().exists());

    let key = SealingKey::generate().unwrap();
    vault
        .store(
            Kind::ClientCredentials,
            Place::File,
            &key,
            &secrets("planted-access"),
        )
        .unwrap();

    let head = vault.head().unwrap().unwrap();
    assert_eq!(
        vault
            .secrets(&key, &head)
            .unwrap()
            .access_token
            .expose_secret(),
        "planted-access"
    );
    let other = SealingKey::generate().unwrap();
    assert!(matches!(
        vault.secrets(&other, &head),
        Err(Error::OtherKey { .. })
    ));
    vault.forget().unwrap();
    assert_eq!(vault.head().unwrap(), None);
}

#[test]
fn a_value_moved_to_another_column_or_profile_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let here = vault(&folder, "default");
    let key = SealingKey::generate().unwrap();
    here.store(Kind::ClientCredentials, Place::File, &key, &secrets("t"))
        .unwrap();
    let head = here.head().unwrap().unwrap();

    let elsewhere = vault(&folder, "other");
    assert!(matches!(
        elsewhere.secrets(&key, &head),
        Err(Error::Sealed { .. })
    ));

    let connection = database::open(here.path()).unwrap();
    connection
        .execute("UPDATE sealed SET value = (SELECT value FROM sealed WHERE name = 'client_secret') WHERE name = 'access_token'", [])
        .unwrap();
    assert!(matches!(
        here.secrets(&key, &head),
        Err(Error::Sealed { .. })
    ));
}

#[test]
fn no_secret_stands_in_any_file_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder, "default");
    let key = SealingKey::generate().unwrap();
    for round in 0..20 {
        vault
            .store(
                Kind::ClientCredentials,
                Place::File,
                &key,
                &secrets(&format!("planted-access-{round}")),
            )
            .unwrap();
    }
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"planted"));
    }
}

#[test]
fn a_renewal_of_old_tokens_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder, "default");
    let key = SealingKey::generate().unwrap();
    vault
        .store(
            Kind::AuthorizationCode,
            Place::File,
            &key,
            &secrets("first"),
        )
        .unwrap();
    let old = vault.head().unwrap().unwrap();

    assert!(vault.begin_renewal(old.generation, 1).unwrap());
    assert!(
        vault
            .finish_renewal(old.generation, &key, &secrets("second"))
            .unwrap()
    );
    assert!(!vault.begin_renewal(old.generation, 2).unwrap());
    assert!(
        !vault
            .finish_renewal(old.generation, &key, &secrets("third"))
            .unwrap()
    );

    let head = vault.head().unwrap().unwrap();
    assert_eq!(
        vault
            .secrets(&key, &head)
            .unwrap()
            .access_token
            .expose_secret(),
        "second"
    );
    assert_eq!(head.intent_at, None);
}

#[test]
fn a_resealed_sign_in_opens_with_the_new_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder, "default");
    let (old, new) = (
        SealingKey::generate().unwrap(),
        SealingKey::generate().unwrap(),
    );
    vault
        .store(Kind::AuthorizationCode, Place::File, &old, &secrets("t"))
        .unwrap();
    let before = vault.head().unwrap().unwrap();

    vault.reseal(&before, &old, &new).unwrap();

    let head = vault.head().unwrap().unwrap();
    assert_eq!(
        head,
        Head {
            key_id: new.id(),
            ..before.clone()
        }
    );
    let opened = vault.secrets(&new, &head).unwrap();
    assert_eq!(opened.access_token.expose_secret(), "t");
    assert!(matches!(
        vault.secrets(&old, &before),
        Err(Error::OtherKey { .. })
    ));
    // Tokens that a process still holds are not written with the old key.
    assert!(
        !vault
            .finish_renewal(head.generation, &old, &secrets("late"))
            .unwrap()
    );
    assert!(
        vault
            .finish_renewal(head.generation, &new, &secrets("late"))
            .unwrap()
    );
}

#[test]
fn a_sign_in_of_which_one_value_does_not_open_is_not_resealed() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&folder, "default");
    let key = SealingKey::generate().unwrap();
    vault
        .store(Kind::ClientCredentials, Place::File, &key, &secrets("t"))
        .unwrap();
    let head = vault.head().unwrap().unwrap();
    let connection = database::open(vault.path()).unwrap();
    connection
        .execute("INSERT INTO sealed VALUES ('zzz', x'01')", [])
        .unwrap();

    let problem = vault.reseal(&head, &key, &SealingKey::generate().unwrap());

    assert!(matches!(problem, Err(Error::Sealed { .. })));
    assert_eq!(vault.head().unwrap().unwrap(), head);
    assert!(vault.secrets(&key, &head).is_ok());
}
