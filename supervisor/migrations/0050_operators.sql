-- When a session last did something in the operators' panel: there it ends sooner than elsewhere.
ALTER TABLE sessions ADD COLUMN operated_at BIGINT;

-- The panel reads the whole fleet's last hours and days, and what was changed about one company.
CREATE INDEX usage_hours_by_hour ON usage_hours (hour);
CREATE INDEX usage_days_by_day ON usage_days (day);
CREATE INDEX audit_by_tenant ON audit (tenant_id, at);
