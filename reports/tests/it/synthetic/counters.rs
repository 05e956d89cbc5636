//! All that witnesses count beside what a test looks at: a real run's slices hold some ninety counters.

use proofload_reports::run::Slice;

/// What a server on PostgreSQL and Redis shows in its metrics, about so many a hundred requests.
const SERVER: [(&str, u64); 25] = [
    ("allocations_keygen", 1),
    ("allocation_failures", 0),
    ("answer_seconds_count_create", 10),
    ("answer_seconds_count_redirect", 90),
    ("block_waits", 0),
    ("cache_evictions", 8),
    ("cache_rejections", 3),
    ("clicks_flushed", 88),
    ("clicks_lost", 0),
    ("clicks_orphaned", 0),
    ("create_retries", 0),
    ("creates_created", 10),
    ("creates_refused", 0),
    ("insert_batches", 2),
    ("insert_rows", 10),
    ("pool_dry", 0),
    ("pool_served", 10),
    ("process_cpu_us", 2_900),
    ("redirects_found", 90),
    ("redirects_unknown", 1),
    ("statement_failures_insert", 0),
    ("statements_clicks", 1),
    ("statements_read", 9),
    ("unique_violations", 0),
    ("warmings", 0),
];

/// What mostly stays at none: a server counts it all the same.
const NONE: [&str; 26] = [
    "allocations_redis",
    "allocations_store",
    "creates_conflict",
    "creates_failed",
    "creates_rejected",
    "creates_replayed",
    "lookups_failed",
    "lookups_negative",
    "lookups_unassigned",
    "redirects_failed",
    "redirects_gone",
    "redirects_not_found",
    "statement_failures_clicks",
    "statement_failures_delete",
    "statement_failures_lease",
    "statement_failures_select",
    "statement_failures_uniqueness",
    "statement_failures_update",
    "statement_failures_warm",
    "statements_delete",
    "statements_idempotency",
    "statements_lease",
    "statements_uniqueness",
    "statements_update",
    "statements_warm",
    "warming_seconds",
];

/// What others count, about so many a hundred requests.
const OTHERS: [(&str, u64); 26] = [
    ("client.bytes", 21_300),
    ("client.connects", 1),
    ("client.created", 10),
    ("client.ok/create", 10),
    ("client.ok/redirect", 90),
    ("client.status/201", 10),
    ("client.status/302", 90),
    ("client.timeout", 0),
    ("cpu.generator_wait_us", 40),
    ("cpu.keygen_us", 110),
    ("cpu.postgres_us", 1_900),
    ("cpu.redis_us", 800),
    ("keygen.ids", 1_000),
    ("keygen.leases_redis", 1),
    ("keygen.refused", 0),
    ("machine.busy_us", 9_100),
    ("postgres.evicted", 0),
    ("postgres.inserts", 2),
    ("postgres.rows", 30),
    ("postgres.rows_inserted", 10),
    ("postgres.selects", 9),
    ("postgres.statements", 12),
    ("postgres.transactions", 12),
    ("redis.commands", 110),
    ("redis.evicted", 0),
    ("redis.hits", 20),
];

/// Adds to a slice whatever of these it does not count already.
pub fn enrich(slice: &mut Slice) {
    let sent = slice.counters["client.sent"];
    let us = (slice.duration_s * 1e6) as u64;
    let elapsed = ["cpu", "keygen", "machine", "postgres", "redis", "server"]
        .map(|witness| (proofload_reports::run::elapsed(witness), us));
    let server = SERVER.map(|(name, count)| (format!("server.{name}"), sent * count / 100));
    let none = NONE.map(|name| (format!("server.{name}"), 0));
    let others = OTHERS.map(|(name, count)| (name.to_owned(), sent * count / 100));
    let own = ("client.elapsed_us".to_owned(), us);
    for (name, count) in elapsed.into_iter().chain(server).chain(none).chain(others).chain([own]) {
        slice.counters.entry(name).or_insert(count);
    }
}
