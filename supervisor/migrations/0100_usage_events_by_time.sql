-- An event is told from others by its time and id: what finds a company's newest events keeps them apart as well, and
-- writing one changes one index where it changed two.

ALTER TABLE usage_events RENAME TO usage_events_by_id;
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
    PRIMARY KEY (tenant_id, at, id)
);
INSERT INTO usage_events (tenant_id, id, token_id, member_id, at, tool, endpoint, status, duration_ms, bytes, client, era, origin, received_at)
SELECT tenant_id, id, token_id, member_id, at, tool, endpoint, status, duration_ms, bytes, client, era, origin, received_at
FROM usage_events_by_id ORDER BY tenant_id, at, id;
DROP TABLE usage_events_by_id;
