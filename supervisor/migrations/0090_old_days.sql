-- Companies whose events are old enough to be removed are found by their old days, without looking at every company.

CREATE INDEX usage_clients_by_day ON usage_clients (day);

-- Days that were counted before clients were noted by day are noted too, or their events would stay for ever.
INSERT INTO usage_clients (tenant_id, day, client)
SELECT DISTINCT d.tenant_id, d.day, 'other' FROM usage_days d
WHERE NOT EXISTS (SELECT 1 FROM usage_clients c WHERE c.tenant_id = d.tenant_id AND c.day = d.day);
