//! Where a database is, in words that may be shown, and whether anything answers there.

use std::{path::Path, time::Duration};

use sqlx::{AnyConnection, Connection, postgres::PgConnectOptions};

use super::{Error, Kind, Result, kind_of, sqlite_path};

/// How long PostgreSQL may take to answer a first connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address without user and password, and with the whole path of a file.
pub fn shown(url: &str) -> String {
    match kind_of(url) {
        Ok(Kind::Sqlite) => {
            let path = sqlite_path(url).unwrap_or_default();
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
            format!("sqlite://{}", whole.display())
        }
        Ok(Kind::Postgres) => url
            .parse()
            .map_or_else(|_| "postgres://".to_owned(), |options| server(&options)),
        Err(_) => String::new(),
    }
}

fn server(options: &PgConnectOptions) -> String {
    let name = options.get_database().unwrap_or(options.get_username());
    let (host, port) = (options.get_host(), options.get_port());
    let in_folder = host.starts_with('/').then(|| Path::new(host));
    match options.get_socket().map(AsRef::as_ref).or(in_folder) {
        Some(folder) => format!("postgres:///{name}?host={}", folder.display()),
        None => format!("postgres://{host}:{port}/{name}"),
    }
}

/// Refused while there is no such file; where it cannot be looked at, opening it tells why.
pub fn is_there(url: &str) -> Result<()> {
    if kind_of(url)? == Kind::Sqlite {
        let path = sqlite_path(url)?;
        if matches!(Path::new(path).try_exists(), Ok(false)) {
            return Err(Error::NoDatabase(path.to_owned()));
        }
    }
    Ok(())
}

/// One connection of its own: a pool tries again until its time is over, and then only says that.
pub(super) async fn reach(url: &str) -> Result<()> {
    let refused = |source| Error::Unreachable {
        address: shown(url),
        source,
    };
    let connected = tokio::time::timeout(PATIENCE, AnyConnection::connect(url));
    let connection = connected
        .await
        .map_err(|_| refused(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))?
        .map_err(refused)?;
    // It has served; how it ends says nothing about the next ones.
    let _ = connection.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, told) in [
            ("sqlite:///var/lib/a.db?mode=rw", "sqlite:///var/lib/a.db"),
            (
                "postgres://sf:s3cret@db.internal/sf",
                "postgres://db.internal:5432/sf",
            ),
            (
                "postgresql://sf@db.internal:5433/sf?password=s3cret",
                "postgres://db.internal:5433/sf",
            ),
            (
                "postgres:///sf?host=/run/postgresql&user=sf&password=s3cret",
                "postgres:///sf?host=/run/postgresql",
            ),
            ("postgres://sf:s3cret@[broken/sf", "postgres://"),
            ("mysql://sf:s3cret@db/sf", ""),
        ] {
            assert_eq!(shown(url), told, "{url}");
        }
        let here = std::env::current_dir().unwrap().join("a.db");
        assert_eq!(
            shown("sqlite://a.db"),
            format!("sqlite://{}", here.display())
        );
    }

    #[tokio::test]
    async fn a_server_that_refuses_is_told_at_once_and_without_its_password() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let url = format!("postgres://sf:s3cret@127.0.0.1:{port}/sf");
        let begun = std::time::Instant::now();
        let problem = super::super::Store::connect(&url).await.unwrap_err();
        let told = problem.to_string();
        assert!(told.contains(&format!("127.0.0.1:{port}/sf")), "{told}");
        assert!(told.contains("refused"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
}
