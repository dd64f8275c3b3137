//! Renewals whose callers leave, files that cannot be written, clocks that jump.

use rusqlite::Connection;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use secrecy::ExposeSecret;

use super::*;
use crate::{
    auth::{master_key::Place, vault::Secrets},
    sandbox::{self, Sandbox},
    service_fusion::client::build_http,
};

/// A browser login whose access token has run out.
struct Signed {
    _folder: tempfile::TempDir,
    profile: Profile,
    key: SealingKey,
    http: reqwest::Client,
}

impl Signed {
    fn with(refresh_token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(folder.path()), "default").unwrap();
        let profile = Profile::new(&paths, "default", "http://127.0.0.1:1");
        let chosen = profile.places.choose(master_key::Keychain::Off, false);
        let key = chosen.unwrap().key;
        profile.places.promote(master_key::Place::File).unwrap();
        let secrets = Secrets {
            means: Means::Client {
                id: sandbox::CLIENT_ID.to_owned().into(),
                secret: sandbox::CLIENT_SECRET.to_owned().into(),
            },
            access_token: "old".to_owned().into(),
            api_url: "http://127.0.0.1:1".to_owned(),
            expires_at: 0,
            life: 3_600_000,
            refresh_token: Some(refresh_token.to_owned().into()),
            account: "Carol".to_owned(),
        };
        profile
            .vault
            .store(
                Kind::AuthorizationCode,
                master_key::Place::File,
                &key,
                &secrets,
            )
            .unwrap();
        profile.stamp().unwrap();
        Self {
            _folder: folder,
            profile,
            key,
            http: build_http().unwrap(),
        }
    }

    /// To a sandbox that knows the refresh token.
    async fn to(sandbox: &Sandbox) -> (Self, Session) {
        let grant = oauth::client_credentials(
            &build_http().unwrap(),
            &sandbox.origin(),
            sandbox::CLIENT_ID,
            &sandbox::CLIENT_SECRET.to_owned().into(),
        )
        .await
        .unwrap();
        let signed = Self::with(grant.refresh_token.unwrap().expose_secret());
        let session = signed.session(&sandbox.origin());
        (signed, session)
    }

    fn session(&self, origin: &str) -> Session {
        Session::new(origin.to_owned(), None, Some(self.profile.clone()))
    }

    fn kept(&self) -> String {
        let head = self.profile.vault.head().unwrap().unwrap();
        let secrets = self.profile.vault.secrets(&self.key, &head).unwrap();
        format!("Bearer {}", secrets.access_token.expose_secret())
    }

    /// The intent can be written, the new tokens cannot.
    fn fill_the_disk(&self) -> Connection {
        let database = Connection::open(self.profile.vault.path()).unwrap();
        let trigger =
            "CREATE TRIGGER full BEFORE INSERT ON sealed BEGIN SELECT RAISE(ABORT, 'full'); END";
        database.execute_batch(trigger).unwrap();
        database
    }
}

fn make_room(database: &Connection) {
    database.execute_batch("DROP TRIGGER full").unwrap();
}

#[tokio::test]
async fn a_renewal_goes_on_when_all_its_callers_leave() {
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let signed = Signed::with("first");
    let session = Arc::new(signed.session(&format!("http://{}", endpoint.local_addr().unwrap())));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (session, http) = (Arc::clone(&session), signed.http.clone());
            tokio::spawn(async move { session.token(&http).await })
        })
        .collect();
    let (mut connection, _) = endpoint.accept().await.unwrap();
    let read = connection.read(&mut [0; 4096]).await.unwrap();
    assert!(read > 0);

    for caller in callers {
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
    }
    let ending = tokio::spawn(async move { session.settled().await });
    let body =
        r#"{"access_token": "new", "refresh_token": "second", "expires_in": 18446744073709551615}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(answer.as_bytes()).await.unwrap();
    ending.await.unwrap();

    assert_eq!(signed.kept(), "Bearer new");
}

#[tokio::test]
async fn the_last_minute_of_a_lent_token_is_used_when_nobody_lends() {
    let signed = Signed::with("none");
    let token = "sfd_0123456789abcdefghijklmnopqrstuvwxyz012345678";
    let host = "http://127.0.0.1:1".to_owned();
    let broker = Broker::new(host, token.to_owned().into()).unwrap();
    let store = |left: i64| {
        let secrets = Secrets {
            means: Means::Device(broker.clone()),
            access_token: "old".to_owned().into(),
            api_url: "http://127.0.0.1:2".to_owned(),
            expires_at: jiff::Timestamp::now().as_millisecond() + left,
            life: 3_600_000,
            refresh_token: None,
            account: String::new(),
        };
        let stored = (signed.profile.vault).store(Kind::Device, Place::File, &signed.key, &secrets);
        stored.unwrap();
    };

    store(30_000);
    let used = signed
        .session("http://127.0.0.1:3")
        .token(&signed.http)
        .await;
    let used = used.unwrap();
    assert_eq!(
        (used.header().as_str(), used.origin()),
        ("Bearer old", "http://127.0.0.1:2")
    );

    store(-1);
    let refused = signed
        .session("http://127.0.0.1:3")
        .token(&signed.http)
        .await;
    assert!(matches!(refused, Err(Error::Lender(_))), "{refused:?}");
}

#[tokio::test]
async fn nothing_is_renewed_once_the_process_ends() {
    let sandbox = Sandbox::start(sandbox::Options::default()).await.unwrap();
    let (signed, session) = Signed::to(&sandbox).await;

    session.settled().await;

    let refused = session.token(&signed.http).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    assert_eq!(signed.kept(), "Bearer old");
}

#[tokio::test]
async fn new_tokens_are_used_while_they_cannot_be_written_yet() {
    let sandbox = Sandbox::start(sandbox::Options::default()).await.unwrap();
    let (signed, session) = Signed::to(&sandbox).await;
    let database = signed.fill_the_disk();
    let session = Arc::new(session);
    let (first, http) = (Arc::clone(&session), signed.http.clone());
    let renewing = tokio::spawn(async move { first.token(&http).await });

    while session.0.unwritten().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let used = session.token(&signed.http).await.unwrap();
    assert_eq!(signed.kept(), "Bearer old");
    make_room(&database);

    let renewed = renewing.await.unwrap().unwrap();
    assert!(used.is(&renewed));
    assert_eq!(signed.kept(), renewed.header());
}

#[tokio::test]
async fn tokens_that_stay_unwritten_are_used_and_written_when_that_is_possible() {
    let sandbox = Sandbox::start(sandbox::Options::default()).await.unwrap();
    let (signed, session) = Signed::to(&sandbox).await;
    let database = signed.fill_the_disk();

    let first = session.token(&signed.http).await.unwrap();
    assert_ne!(signed.kept(), first.header());
    let used = session.token(&signed.http).await.unwrap();
    make_room(&database);
    session.settled().await;

    assert_eq!(signed.kept(), used.header());
    // The refresh token that came with it is the one that counts.
    let next = signed.session(&sandbox.origin());
    assert!(next.replace(&signed.http, &used).await.is_ok());
}

#[tokio::test]
async fn unwritten_tokens_do_not_overwrite_a_later_sign_in() {
    let sandbox = Sandbox::start(sandbox::Options::default()).await.unwrap();
    let (signed, session) = Signed::to(&sandbox).await;
    let database = signed.fill_the_disk();
    session.token(&signed.http).await.unwrap();
    make_room(&database);
    // The generation begins again, too.
    let head = signed.profile.vault.head().unwrap().unwrap();
    let secrets = signed.profile.vault.secrets(&signed.key, &head).unwrap();
    signed.profile.vault.forget().unwrap();
    signed
        .profile
        .vault
        .store(head.kind, head.place, &signed.key, &secrets)
        .unwrap();
    signed.profile.stamp().unwrap();

    session.settled().await;

    assert_eq!(signed.kept(), "Bearer old");
}

const HOUR: i64 = 3_600_000;

/// A token of an hour's life that the clock gives so many ms.
fn secrets(left: i64) -> Secrets {
    Secrets {
        means: Means::Client {
            id: sandbox::CLIENT_ID.to_owned().into(),
            secret: sandbox::CLIENT_SECRET.to_owned().into(),
        },
        api_url: "http://127.0.0.1:1".to_owned(),
        access_token: "old".to_owned().into(),
        expires_at: jiff::Timestamp::now().as_millisecond().saturating_add(left),
        life: HOUR,
        refresh_token: None,
        account: "Carol".to_owned(),
    }
}

#[test]
fn a_token_lasts_as_long_as_it_was_given_whatever_the_clock_says() {
    let lasts = |left| {
        let token = usable(&secrets(left), None)?;
        Some(token.expires.saturating_duration_since(Instant::now()))
    };
    // A fresh one, with the clock set an hour or many years back since.
    for left in [HOUR, 2 * HOUR, 100_000 * HOUR, i64::MAX] {
        let lasts = lasts(left).unwrap();
        assert!(lasts <= Duration::from_hours(1), "{left}: {lasts:?}");
        assert!(lasts > Duration::from_mins(59), "{left}: {lasts:?}");
    }
    // The clock was set forward: a renewal more than was needed, no more than that.
    for left in [0, -HOUR, -100_000 * HOUR, i64::MIN] {
        assert!(lasts(left).is_none(), "{left}");
    }
    let shifted = lasts(HOUR / 2).unwrap();
    assert!(shifted <= Duration::from_mins(30), "{shifted:?}");
}

#[test]
fn a_life_that_makes_no_sense_is_no_life() {
    for life in [0, -1, i64::MIN] {
        let secrets = Secrets {
            life,
            ..secrets(HOUR)
        };
        assert!(usable(&secrets, None).is_none(), "{life}");
    }
    let secrets = Secrets {
        life: i64::MAX,
        ..secrets(i64::MAX)
    };
    assert!(usable(&secrets, None).is_some());
}

#[tokio::test]
async fn a_clock_that_jumps_costs_one_renewal_at_most() {
    let sandbox = Sandbox::start(sandbox::Options::default()).await.unwrap();
    let (signed, session) = Signed::to(&sandbox).await;
    // The stored token has run out by the clock that jumped forward.
    let renewed = session.token(&signed.http).await.unwrap();
    let shift = |by: i64| {
        let opened = signed.profile.open(None).unwrap();
        let secrets = Secrets {
            expires_at: opened.secrets.expires_at + by,
            ..opened.secrets
        };
        let head = opened.head;
        let vault = &signed.profile.vault;
        vault
            .store(head.kind, head.place, &opened.key, &secrets)
            .unwrap();
    };

    for by in [HOUR, -HOUR] {
        shift(by);
        let next = signed.session(&sandbox.origin());
        assert!(next.token(&signed.http).await.unwrap().is(&renewed));
        assert!(session.token(&signed.http).await.unwrap().is(&renewed));
    }

    // An hour forward again: one process renews, and the other, which still has its token, is not told to.
    shift(-HOUR);
    let next = signed.session(&sandbox.origin());
    let second = next.token(&signed.http).await.unwrap();
    assert!(!second.is(&renewed));
    assert!(session.token(&signed.http).await.unwrap().is(&renewed));
    let third = signed.session(&sandbox.origin());
    assert!(third.token(&signed.http).await.unwrap().is(&second));
}
