//! All tables as rows of texts and numbers, to be carried from one database into another.

use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{Kind, Result, Row};

/// Rows of one INSERT; times the columns of a table it stays below what databases bind.
const ROWS: usize = 200;
/// What a backup has and the service has not.
pub(super) const MANIFEST: &str = "backup_manifest";

/// A table and its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    columns: Vec<Column>,
    /// Tables that its rows refer to.
    parents: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    number: bool,
}

/// The tables of an SQLite file, those that others refer to first.
pub(super) async fn tables(file: &mut AnyConnection) -> Result<Vec<Table>> {
    let names = sqlx::query(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' \
         AND name NOT IN ('_sqlx_migrations', $1) ORDER BY name",
    )
    .bind(MANIFEST)
    .fetch_all(&mut *file)
    .await?;
    let mut left = Vec::new();
    for name in &names {
        left.push(table(file, name.try_get("name")?).await?);
    }
    let mut ordered = Vec::<Table>::new();
    while !left.is_empty() {
        let ready = |table: &Table| {
            (table.parents.iter()).all(|name| {
                *name == table.name || ordered.iter().any(|before| before.name == *name)
            })
        };
        // A ring of references cannot be ordered; the database will say which row it misses.
        let next = left.iter().position(ready).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    Ok(ordered)
}

async fn table(file: &mut AnyConnection, name: String) -> Result<Table> {
    let columns = sqlx::query("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
        .bind(&name)
        .fetch_all(&mut *file)
        .await?;
    let columns = columns.iter().map(|row| {
        let kind: String = row.try_get("type")?;
        Ok(Column {
            name: row.try_get("name")?,
            number: kind == "BIGINT",
        })
    });
    let columns = columns.collect::<Result<_>>()?;
    let parents = sqlx::query("SELECT \"table\" AS parent FROM pragma_foreign_key_list($1)")
        .bind(&name)
        .fetch_all(&mut *file)
        .await?;
    let parents = parents.iter().map(|row| Ok(row.try_get("parent")?));
    Ok(Table {
        parents: parents.collect::<Result<_>>()?,
        name,
        columns,
    })
}

/// Copies every row and returns how many there are.
pub(super) async fn copy(
    table: &Table,
    from: &mut AnyConnection,
    to: &mut AnyConnection,
) -> Result<i64> {
    let select = format!("SELECT {} FROM \"{}\"", table.columns(), table.name);
    let mut found = sqlx::query(AssertSqlSafe(select)).fetch(from);
    let (mut part, mut count) = (Vec::with_capacity(ROWS), 0);
    while let Some(row) = found.try_next().await? {
        part.push(row);
        count += 1;
        if part.len() == ROWS {
            insert(table, &part, to).await?;
            part.clear();
        }
    }
    insert(table, &part, to).await?;
    Ok(count)
}

async fn insert(table: &Table, part: &[Row], to: &mut AnyConnection) -> Result<()> {
    if part.is_empty() {
        return Ok(());
    }
    let values = rows(kind(to), part.len(), table.columns.len());
    let statement = format!(
        "INSERT INTO \"{}\" ({}) VALUES {values}",
        table.name,
        table.columns()
    );
    let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(part.len() == ROWS);
    for row in part {
        for (index, column) in table.columns.iter().enumerate() {
            query = if column.number {
                query.bind(row.try_get::<Option<i64>, _>(index)?)
            } else {
                query.bind(row.try_get::<Option<String>, _>(index)?)
            };
        }
    }
    query.execute(to).await?;
    Ok(())
}

fn kind(connection: &AnyConnection) -> Kind {
    match connection.backend_name() {
        "SQLite" => Kind::Sqlite,
        _ => Kind::Postgres,
    }
}

pub(super) async fn empty(table: &Table, connection: &mut AnyConnection) -> Result<()> {
    let statement = AssertSqlSafe(format!("DELETE FROM \"{}\"", table.name));
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

pub(super) async fn count(table: &Table, connection: &mut AnyConnection) -> Result<i64> {
    let statement = AssertSqlSafe(format!("SELECT COUNT(*) AS count FROM \"{}\"", table.name));
    let row = sqlx::query(statement).fetch_one(connection).await?;
    Ok(row.try_get("count")?)
}

/// Adds the table's name and rows to a checksum, in the order in which the file has them; returns how many rows.
pub(super) async fn digest(
    table: &Table,
    file: &mut AnyConnection,
    digest: &mut Sha256,
) -> Result<i64> {
    digest.update(format!("{}({})\n", table.name, table.columns()));
    let select = format!(
        "SELECT {} FROM \"{}\" ORDER BY rowid",
        table.columns(),
        table.name
    );
    let mut found = sqlx::query(AssertSqlSafe(select)).fetch(file);
    let mut count = 0;
    while let Some(row) = found.try_next().await? {
        count += 1;
        for (index, column) in table.columns.iter().enumerate() {
            let value = if column.number {
                row.try_get::<Option<i64>, _>(index)?
                    .map(|number| number.to_string())
            } else {
                row.try_get::<Option<String>, _>(index)?
            };
            // The length keeps two values apart, and a missing one from an empty one.
            match value {
                Some(value) => digest.update(format!("{}:{value}", value.len())),
                None => digest.update("-"),
            }
        }
    }
    Ok(count)
}

impl Table {
    fn columns(&self) -> String {
        let quoted: Vec<String> = (self.columns.iter())
            .map(|column| format!("\"{}\"", column.name))
            .collect();
        quoted.join(", ")
    }
}

/// `($1, $2), ($3, $4)`: placeholders for so many rows. On SQLite they have no names, or it would look each up among all
/// before it.
fn rows(kind: Kind, count: usize, columns: usize) -> String {
    if kind == Kind::Sqlite {
        let row = format!("({})", vec!["?"; columns].join(", "));
        return vec![row; count].join(", ");
    }
    let row = |row: usize| {
        let values = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", values.collect::<Vec<_>>().join(", "))
    };
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Kind, rows};

    #[test]
    fn placeholders_are_counted_on() {
        assert_eq!(rows(Kind::Postgres, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(rows(Kind::Sqlite, 2, 2), "(?, ?), (?, ?)");
    }
}
