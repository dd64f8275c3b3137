-- Columns are TEXT and BIGINT, times are Unix milliseconds, a flag is a nullable time: the same text runs on
-- SQLite and PostgreSQL. Ids come from the program.

CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    company TEXT NOT NULL,
    tier TEXT NOT NULL,
    limits TEXT,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    activated_at BIGINT,
    suspended_at BIGINT,
    suspended_why TEXT,
    seen_at BIGINT
);

CREATE TABLE members (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT,
    UNIQUE (tenant_id, email)
);
CREATE INDEX members_by_email ON members (email);

-- One live code per address, whatever it was asked for.
CREATE TABLE codes (
    email TEXT PRIMARY KEY,
    company TEXT,
    code_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    used_at BIGINT
);

-- Fixed windows that hold across replicas.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    window_start BIGINT NOT NULL,
    count BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    member_id TEXT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    client TEXT,
    form TEXT,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX tokens_by_tenant ON tokens (tenant_id, kind);

-- A tenant's data key, which `key_id` names, sealed under the master key that `master_key_id` names.
CREATE TABLE data_keys (
    tenant_id TEXT PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    key_id TEXT NOT NULL,
    master_key_id TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Every column from client_id to account is sealed under the tenant's data key.
CREATE TABLE credentials (
    tenant_id TEXT PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    key_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    client_secret TEXT NOT NULL,
    refresh_token TEXT,
    access_token TEXT NOT NULL,
    account TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    life BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    intent_at BIGINT,
    ended TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE usage_events (
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    token_id TEXT,
    member_id TEXT,
    at BIGINT NOT NULL,
    tool TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status TEXT NOT NULL,
    duration_ms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    client TEXT NOT NULL,
    era TEXT NOT NULL,
    origin TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX usage_events_by_time ON usage_events (tenant_id, at);

CREATE TABLE usage_hours (
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    hour BIGINT NOT NULL,
    tool TEXT NOT NULL,
    status TEXT NOT NULL,
    client TEXT NOT NULL,
    origin TEXT NOT NULL,
    calls BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, hour, tool, status, client, origin)
);

CREATE TABLE usage_days (
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    tool TEXT NOT NULL,
    status TEXT NOT NULL,
    client TEXT NOT NULL,
    origin TEXT NOT NULL,
    calls BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day, tool, status, client, origin)
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    tenant_id TEXT,
    before TEXT,
    after TEXT
);
CREATE INDEX audit_by_time ON audit (at);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
