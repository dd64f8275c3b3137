//! Companies as operators look for them: by words, state and tier, in an order, a page at a time.

use sqlx::{AssertSqlSafe, Row as _};

use super::{Result, State, Store, Tenant, tenants};

/// By what companies are sorted; a second word may turn it around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    Company,
    #[default]
    Seen,
    Calls,
    Created,
}

/// Which companies, and in which order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Part of the name, the id or the address of one of its people.
    pub text: &'a str,
    pub state: Option<State>,
    /// Empty for every tier.
    pub tier: &'a str,
    pub sort: Sort,
    /// The names from Z to A, the times and figures from the smallest on.
    pub is_reversed: bool,
}

/// A company in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    pub tenant: Tenant,
    pub state: State,
    /// The address of its first owner, or empty.
    pub owner: String,
    pub calls_today: i64,
}

/// What a company's connection to Service Fusion is like; nothing of it is sealed.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `client_credentials` or `authorization_code`.
    pub kind: String,
    /// Why it has ended.
    pub ended: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    /// Until when its access token is good.
    pub expires_at: i64,
}

impl Sort {
    /// A statement's own words: ties are in the order of ids, so that pages do not overlap.
    fn order(self, is_reversed: bool) -> &'static str {
        match (self, is_reversed) {
            (Self::Company, false) => "LOWER(company), id",
            (Self::Company, true) => "LOWER(company) DESC, id",
            (Self::Seen, false) => "COALESCE(seen_at, 0) DESC, id",
            (Self::Seen, true) => "COALESCE(seen_at, 0), id",
            (Self::Calls, false) => "calls DESC, id",
            (Self::Calls, true) => "calls, id",
            (Self::Created, false) => "created_at DESC, id",
            (Self::Created, true) => "created_at, id",
        }
    }
}

/// As [`State::of`], for statements.
pub(super) const STATE: &str = "CASE WHEN suspended_at IS NOT NULL THEN 'suspended' WHEN activated_at IS NULL THEN 'new' \
     WHEN (SELECT ended FROM credentials WHERE tenant_id = tenants.id) IS NOT NULL THEN 'disconnected' ELSE 'active' END";

/// Names are found as they are typed, and, where the database knows their letters, however they are written.
const MATCHES: &str = "(LOWER(company) LIKE $1 ESCAPE '!' OR company LIKE $2 ESCAPE '!' OR id LIKE $1 ESCAPE '!' OR EXISTS \
     (SELECT 1 FROM members WHERE tenant_id = tenants.id AND removed_at IS NULL AND email LIKE $1 ESCAPE '!')) \
     AND ($3 = '' OR tier = $3)";

impl Store {
    /// A page of companies; `today` is the start of the day (UTC) whose calls are counted.
    pub async fn companies(
        &self,
        wanted: Wanted<'_>,
        today: i64,
        (offset, limit): (i64, i64),
    ) -> Result<Vec<Listed>> {
        let columns = tenants::COLUMNS;
        let order = wanted.sort.order(wanted.is_reversed);
        let statement = format!(
            "SELECT {columns}, state, calls, (SELECT email FROM members WHERE tenant_id = found.id AND role = 'owner' \
             AND removed_at IS NULL ORDER BY created_at, id LIMIT 1) AS owner FROM \
             (SELECT {columns}, {STATE} AS state, COALESCE((SELECT CAST(SUM(calls) AS BIGINT) FROM usage_days \
             WHERE tenant_id = tenants.id AND day = $5), 0) AS calls FROM tenants WHERE {MATCHES}) AS found \
             WHERE ($4 = '' OR state = $4) ORDER BY {order} LIMIT $6 OFFSET $7"
        );
        let [folded, typed] = patterns(wanted.text);
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(folded)
            .bind(typed)
            .bind(wanted.tier)
            .bind(wanted.state.map_or("", State::word))
            .bind(today)
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let owner: Option<String> = row.try_get("owner")?;
                Ok(Listed {
                    tenant: tenants::tenant(row)?,
                    state: State::from_row(row)?,
                    owner: owner.unwrap_or_default(),
                    calls_today: row.try_get("calls")?,
                })
            })
            .collect()
    }

    /// How many companies there are of that kind.
    pub async fn count_companies(&self, wanted: Wanted<'_>) -> Result<i64> {
        let [folded, typed] = patterns(wanted.text);
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT COUNT(*) AS n FROM (SELECT {STATE} AS state FROM tenants WHERE {MATCHES}) AS found \
             WHERE ($4 = '' OR state = $4)"
        )))
        .bind(folded)
        .bind(typed)
        .bind(wanted.tier)
        .bind(wanted.state.map_or("", State::word))
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get("n")?)
    }

    pub async fn connection(&self, tenant_id: &str) -> Result<Option<Connection>> {
        let row = sqlx::query(
            "SELECT kind, ended, created_at, updated_at, expires_at FROM credentials WHERE tenant_id = $1",
        )
        .bind(tenant_id)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(Connection {
                kind: row.try_get("kind")?,
                ended: row.try_get("ended")?,
                created_at: row.try_get("created_at")?,
                updated_at: row.try_get("updated_at")?,
                expires_at: row.try_get("expires_at")?,
            })
        })
        .transpose()
    }

    /// Every company's id and name, for lists that go by ids.
    pub async fn company_names(&self) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query("SELECT id, company FROM tenants")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("company")?)))
            .collect()
    }
}

/// What `LIKE` looks for, in lower case and as it was typed; no character of it means more than itself.
pub(super) fn patterns(text: &str) -> [String; 2] {
    let escaped: String = text
        .trim()
        .chars()
        .flat_map(|c| {
            let guard = matches!(c, '%' | '_' | '!').then_some('!');
            guard.into_iter().chain([c])
        })
        .collect();
    [
        format!("%{}%", escaped.to_lowercase()),
        format!("%{escaped}%"),
    ]
}
