-- The clients that a tenant's sums of a day name: there are only so many, all further ones are summed as `other`.

CREATE TABLE usage_clients (
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    client TEXT NOT NULL,
    PRIMARY KEY (tenant_id, day, client)
);
