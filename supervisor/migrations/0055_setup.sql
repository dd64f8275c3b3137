-- What a company's sf-mcp is started for: `setup` grows when the company connects to Service Fusion anew or has another
-- time zone, and a child that was started for an earlier one is replaced before its next call, in whichever process
-- it runs.

ALTER TABLE tenants ADD COLUMN setup BIGINT NOT NULL DEFAULT 0;
