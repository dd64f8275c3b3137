//! Renewals whose callers leave, and files that cannot be written.

use rusqlite::Connection;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
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
            client_id: sandbox::CLIENT_ID.to_owned().into(),
            client_secret: sandbox::CLIENT_SECRET.to_owned().into(),
            access_token: "old".to_owned().into(),
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
