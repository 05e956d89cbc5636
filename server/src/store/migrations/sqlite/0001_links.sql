CREATE TABLE links (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    clicks BIGINT NOT NULL
);

-- No index by clicks as on PostgreSQL: keeping it would double what a flush of clicks costs, in our own process, to spare
-- a warming part of a second

CREATE TABLE custom_links (
    code TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    clicks BIGINT NOT NULL
);

CREATE TABLE slots (
    slot INTEGER PRIMARY KEY CHECK (slot BETWEEN 0 AND 255),
    stack TEXT NOT NULL UNIQUE,
    high BIGINT NOT NULL
);

CREATE TABLE claims (
    idempotency_key TEXT PRIMARY KEY,
    fingerprint BIGINT NOT NULL,
    id BIGINT,
    custom TEXT,
    created BIGINT NOT NULL
);

CREATE INDEX claims_by_age ON claims (created);
