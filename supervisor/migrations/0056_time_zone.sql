-- The IANA name of the zone in which a company's "today" is; Service Fusion's API does not say it.
ALTER TABLE tenants ADD COLUMN time_zone TEXT;
