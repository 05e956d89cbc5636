//! The text of every statement. Each is constant, so it is prepared once a connection.
//!
//! Written for PostgreSQL, and kept within what Citus and CockroachDB run: no sequences, no triggers, statements on one table
//! but for those under an idempotency key, and primary keys that can serve as distribution columns.

use super::statement::Sql;

pub(super) const NAME: Sql = Sql::same(
    "INSERT INTO identity (one, name) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET one = 1 RETURNING name",
);

pub(super) const PING: Sql = Sql::same("SELECT 1");

pub(super) const FIND: Sql = Sql::same("SELECT id, url, created, expires, clicks FROM links WHERE id = $1");
pub(super) const FIND_CUSTOM: Sql =
    Sql::same("SELECT code, url, created, expires, clicks FROM custom_links WHERE code = $1");
pub(super) const FIND_MANY: Sql = Sql::pair(
    "SELECT id, url, created, expires, clicks FROM links WHERE id = ANY($1)",
    "SELECT id, url, created, expires, clicks FROM links WHERE id IN (SELECT value FROM json_each($1))",
);

pub(super) const IS_TAKEN: Sql = Sql::same("SELECT 1 FROM links WHERE id = $1");
pub(super) const IS_CUSTOM_TAKEN: Sql = Sql::same("SELECT 1 FROM custom_links WHERE code = $1");

pub(super) const INSERT: Sql = Sql::same(
    "INSERT INTO links (id, url, created, expires, clicks) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
);
pub(super) const INSERT_CUSTOM: Sql = Sql::same(
    "INSERT INTO custom_links (code, url, created, expires, clicks) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT DO NOTHING",
);
/// Asks no index in advance, and returns no rows: on PostgreSQL a third cheaper than [`INSERT_FREE`]. Arrays that are taken apart
/// in the list of columns are so row by row, where `FROM` would first put each of them aside whole: a quarter cheaper.
pub(super) const INSERT_ALL: Sql = Sql::pair(
    "INSERT INTO links (id, url, created, expires, clicks) \
     SELECT UNNEST($1::bigint[]), UNNEST($2::text[]), UNNEST($3::bigint[]), UNNEST($4::bigint[]), UNNEST($5::bigint[])",
    "INSERT INTO links (id, url, created, expires, clicks) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($1)",
);
pub(super) const INSERT_FREE: Sql = Sql::pair(
    "INSERT INTO links (id, url, created, expires, clicks) \
     SELECT UNNEST($1::bigint[]), UNNEST($2::text[]), UNNEST($3::bigint[]), UNNEST($4::bigint[]), UNNEST($5::bigint[]) \
     ON CONFLICT DO NOTHING RETURNING id",
    "INSERT INTO links (id, url, created, expires, clicks) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($1) WHERE true \
     ON CONFLICT DO NOTHING RETURNING id",
);

pub(super) const UPDATE: Sql = Sql::same(
    "UPDATE links SET url = COALESCE($2, url), expires = CASE WHEN $3 = 1 THEN $4 ELSE expires END WHERE id = $1 \
     RETURNING id, url, created, expires, clicks",
);
pub(super) const UPDATE_CUSTOM: Sql = Sql::same(
    "UPDATE custom_links SET url = COALESCE($2, url), expires = CASE WHEN $3 = 1 THEN $4 ELSE expires END \
     WHERE code = $1 RETURNING code, url, created, expires, clicks",
);
pub(super) const DELETE: Sql = Sql::same("DELETE FROM links WHERE id = $1");
pub(super) const DELETE_CUSTOM: Sql = Sql::same("DELETE FROM custom_links WHERE code = $1");

/// What was added is told as one sum, so that no flush sends thousands of rows back; SQLite, which has no such thing, sends
/// them within the process. A link has as many clicks as a row can hold at most: clicks are reported by clients, and one number
/// that is too large would keep those of all others from being stored.
pub(super) const ADD_CLICKS: Sql = Sql::pair(
    "WITH added AS (UPDATE links SET clicks = LEAST(links.clicks, 9223372036854775807 - d.n) + d.n \
     FROM UNNEST($1::bigint[], $2::bigint[]) AS d (id, n) WHERE links.id = d.id RETURNING d.n) \
     SELECT COALESCE(SUM(n), 0)::bigint FROM added",
    "UPDATE links SET clicks = MIN(links.clicks, 9223372036854775807 - d.n) + d.n \
     FROM (SELECT value ->> 0 AS id, value ->> 1 AS n FROM json_each($1)) AS d WHERE links.id = d.id \
     RETURNING id",
);
pub(super) const ADD_CUSTOM_CLICKS: Sql = Sql::pair(
    "WITH added AS (UPDATE custom_links SET clicks = LEAST(custom_links.clicks, 9223372036854775807 - d.n) + d.n \
     FROM UNNEST($1::text[], $2::bigint[]) AS d (code, n) WHERE custom_links.code = d.code RETURNING d.n) \
     SELECT COALESCE(SUM(n), 0)::bigint FROM added",
    "UPDATE custom_links SET clicks = MIN(custom_links.clicks, 9223372036854775807 - d.n) + d.n \
     FROM (SELECT value ->> 0 AS code, value ->> 1 AS n FROM json_each($1)) AS d WHERE custom_links.code = d.code \
     RETURNING code",
);

pub(super) const HOTTEST: Sql = Sql::same(
    "SELECT id, url, created, expires, clicks FROM links \
     WHERE clicks > 0 AND (expires IS NULL OR expires > $2) ORDER BY clicks DESC LIMIT $1",
);
/// Of links that were never clicked the newest: they are the likeliest to be next.
pub(super) const NEWEST_UNCLICKED: Sql = Sql::same(
    "SELECT id, url, created, expires, clicks FROM links \
     WHERE clicks = 0 AND (expires IS NULL OR expires > $2) ORDER BY id DESC LIMIT $1",
);
pub(super) const HOTTEST_CUSTOM: Sql = Sql::same(
    "SELECT code, url, created, expires, clicks FROM custom_links \
     WHERE expires IS NULL OR expires > $2 ORDER BY clicks DESC LIMIT $1",
);
pub(super) const ID_RANGE: Sql = Sql::same("SELECT MIN(id), MAX(id) FROM links");
/// For each of the points the link at or above it: one index probe a point, however many links there are.
pub(super) const NEAREST: Sql = Sql::pair(
    "SELECT l.id, l.url, l.created, l.expires, l.clicks FROM UNNEST($1::bigint[]) AS p (point) \
     CROSS JOIN LATERAL (SELECT * FROM links WHERE id >= p.point ORDER BY id LIMIT 1) AS l",
    "SELECT l.id, l.url, l.created, l.expires, l.clicks FROM json_each($1) AS p \
     JOIN links AS l ON l.id = (SELECT id FROM links WHERE id >= p.value ORDER BY id LIMIT 1)",
);

pub(super) const COUNT: Sql =
    Sql::same("SELECT (SELECT COUNT(*) FROM links) + (SELECT COUNT(*) FROM custom_links)");
pub(super) const HIGH_MARKS: Sql = Sql::same("SELECT stack, slot, high FROM slots ORDER BY slot");

pub(super) const SLOT_OF: Sql = Sql::same("SELECT stack, slot, high FROM slots WHERE stack = $1");
pub(super) const SLOTS_ASSIGNED: Sql = Sql::same("SELECT COUNT(*) FROM slots");
/// Slots are never given back, so the one after the highest is free. Of two stacks that ask at once
/// one meets a conflict, and asks again.
pub(super) const ASSIGN_SLOT: Sql = Sql::same(
    "INSERT INTO slots (slot, stack, high) \
     SELECT COALESCE(MAX(slot) + 1, 0), CAST($1 AS TEXT), 0 FROM slots WHERE true \
     HAVING COALESCE(MAX(slot) + 1, 0) < 256 ON CONFLICT DO NOTHING",
);
/// The lease: of two that overlap at most one finds `high` at or below its start. The lower bound refuses a hint
/// that is absurdly far ahead, which would burn the slot.
pub(super) const COMMIT_LEASE: Sql =
    Sql::same("UPDATE slots SET high = $3 WHERE stack = $1 AND high <= $2 AND high >= $4 RETURNING slot");
/// For who holds a lease that may have been lost, and the stack with it; nothing where the stack has another slot by now.
pub(super) const HOLD_LEASE: Sql = Sql::pair(
    "INSERT INTO slots (slot, stack, high) VALUES ($1, $2, $3) ON CONFLICT (stack) \
     DO UPDATE SET high = GREATEST(slots.high, excluded.high) WHERE slots.slot = excluded.slot",
    "INSERT INTO slots (slot, stack, high) VALUES ($1, $2, $3) ON CONFLICT (stack) \
     DO UPDATE SET high = MAX(slots.high, excluded.high) WHERE slots.slot = excluded.slot",
);
pub(super) const EXTEND_LEASE: Sql =
    Sql::same("UPDATE slots SET high = high + $2 WHERE stack = $1 AND high <= $3 RETURNING slot, high");

pub(super) const CLAIM: Sql = Sql::same(
    "INSERT INTO claims (idempotency_key, fingerprint, id, custom, created) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT DO NOTHING",
);
pub(super) const CLAIMED: Sql =
    Sql::same("SELECT fingerprint, id, custom, made FROM claims WHERE idempotency_key = $1");
/// The lock makes whoever else is about to make the claim's link wait, and find it noted. SQLite knows no such statement, and
/// runs [`INSERT_CLAIMED_HERE`] and [`NOTE_CLAIM`] in a transaction, which keeps all others out.
pub(super) const INSERT_CLAIMED: Sql = Sql::same(
    "WITH claim AS (SELECT 1 FROM claims WHERE idempotency_key = $6 AND made IS NULL FOR UPDATE), \
     link AS (INSERT INTO links (id, url, created, expires, clicks) \
     SELECT $1::bigint, $2::text, $3::bigint, $4::bigint, $5::bigint FROM claim ON CONFLICT DO NOTHING RETURNING created) \
     UPDATE claims SET made = link.created FROM link WHERE idempotency_key = $6",
);
pub(super) const INSERT_CUSTOM_CLAIMED: Sql = Sql::same(
    "WITH claim AS (SELECT 1 FROM claims WHERE idempotency_key = $6 AND made IS NULL FOR UPDATE), \
     link AS (INSERT INTO custom_links (code, url, created, expires, clicks) \
     SELECT $1::text, $2::text, $3::bigint, $4::bigint, $5::bigint FROM claim ON CONFLICT DO NOTHING RETURNING created) \
     UPDATE claims SET made = link.created FROM link WHERE idempotency_key = $6",
);
pub(super) const BEGIN_HERE: Sql = Sql::same("BEGIN IMMEDIATE");
pub(super) const INSERT_CLAIMED_HERE: Sql = Sql::same(
    "INSERT INTO links (id, url, created, expires, clicks) SELECT $1, $2, $3, $4, $5 \
     WHERE EXISTS (SELECT 1 FROM claims WHERE idempotency_key = $6 AND made IS NULL) ON CONFLICT DO NOTHING",
);
pub(super) const INSERT_CUSTOM_CLAIMED_HERE: Sql = Sql::same(
    "INSERT INTO custom_links (code, url, created, expires, clicks) SELECT $1, $2, $3, $4, $5 \
     WHERE EXISTS (SELECT 1 FROM claims WHERE idempotency_key = $6 AND made IS NULL) ON CONFLICT DO NOTHING",
);
pub(super) const NOTE_CLAIM: Sql = Sql::same("UPDATE claims SET made = $2 WHERE idempotency_key = $1");
pub(super) const COMMIT: Sql = Sql::same("COMMIT");
pub(super) const RECLAIM: Sql =
    Sql::same("UPDATE claims SET id = $3 WHERE idempotency_key = $1 AND made IS NULL AND id = $2");
pub(super) const UNCLAIM: Sql =
    Sql::same("DELETE FROM claims WHERE idempotency_key = $1 AND made IS NULL AND custom = $2");
pub(super) const FORGET_CLAIMS: Sql = Sql::same("DELETE FROM claims WHERE created < $1");
