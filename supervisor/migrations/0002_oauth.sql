-- AI clients that people let in by OAuth. Tokens, codes and sessions are kept as their hashes.

-- What clients say of themselves: those that registered, and copies of the documents of others.
CREATE TABLE oauth_clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    auth_method TEXT NOT NULL,
    secret_hash TEXT,
    -- Equal registrations of public clients are one.
    fingerprint TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    expires_at BIGINT
);

-- One consent and all the tokens that came of it. `generation` counts its refresh tokens.
CREATE TABLE oauth_families (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    member_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    client_name TEXT NOT NULL,
    client_host TEXT NOT NULL,
    scopes TEXT NOT NULL,
    resource TEXT NOT NULL,
    generation BIGINT NOT NULL,
    refresh_hash TEXT,
    previous_hash TEXT,
    rotated_at BIGINT,
    -- The current refresh token, sealed under the master key that `key_id` names, while its predecessor has grace.
    successor TEXT,
    key_id TEXT,
    grace_uses BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    idle_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT,
    revoked_why TEXT
);
CREATE INDEX oauth_families_by_tenant ON oauth_families (tenant_id, created_at);

CREATE TABLE oauth_codes (
    hash TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES oauth_families (id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX oauth_codes_by_family ON oauth_codes (family_id);

-- Every refresh token there ever was in a family: a former one is a sign of theft.
CREATE TABLE oauth_refresh_tokens (
    hash TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES oauth_families (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL
);
CREATE INDEX oauth_refresh_tokens_by_family ON oauth_refresh_tokens (family_id);

CREATE TABLE oauth_access_tokens (
    hash TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES oauth_families (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX oauth_access_tokens_by_family ON oauth_access_tokens (family_id);

-- Browsers in which somebody has signed in.
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
