-- What each company has spent of its tier, where replicas share it (PostgreSQL); SQLite's one process remembers it.
-- `debt` is in millionths of a call and shrinks with time from `at` on; `calls` are those of the UTC day that begins
-- at `day`; `verdict` is the last one: 0 let in, 1 too fast, 2 too many in a day.
CREATE TABLE spent (
    tenant_id TEXT PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    debt BIGINT NOT NULL,
    at BIGINT NOT NULL,
    day BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    verdict BIGINT NOT NULL
);
