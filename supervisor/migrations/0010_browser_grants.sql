-- Activations that wait for a person's consent at Service Fusion, by the hash of their state. The client's id and
-- secret are sealed under the master key that `key_id` names; any replica may take the callback.

CREATE TABLE browser_grants (
    state_hash TEXT PRIMARY KEY,
    token_id TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    key_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    client_secret TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    outcome TEXT
);
CREATE INDEX browser_grants_by_token ON browser_grants (token_id, created_at);
