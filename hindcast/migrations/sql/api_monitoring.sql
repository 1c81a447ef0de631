-- API monitoring: how services did, hour by hour, and where their callers are.
CREATE TABLE hourly_service_health (
    day date NOT NULL,
    hour timestamptz NOT NULL,
    environment text NOT NULL,
    service text NOT NULL,
    endpoint text NOT NULL,
    requests bigint NOT NULL,
    errors bigint NOT NULL,
    error_rate numeric NOT NULL,
    p50_ms numeric,
    p95_ms numeric,
    p99_ms numeric,
    PRIMARY KEY (day, hour, environment, service, endpoint)
);
COMMENT ON COLUMN hourly_service_health.p95_ms IS 'the smallest response time that at least 95 % of the requests stayed within';

CREATE TABLE daily_geography (
    day date NOT NULL,
    region text NOT NULL,
    country text NOT NULL,
    city text NOT NULL,
    device_type text NOT NULL,
    events bigint NOT NULL,
    users bigint NOT NULL,
    errors bigint NOT NULL,
    PRIMARY KEY (day, region, country, city, device_type)
);
