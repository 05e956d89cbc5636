//! Pages about the server itself: health, cache, metrics, and the description of its API.

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use super::links::json;
use super::problem::Problem;
use super::routes::Client;
use super::{Request, Response, Site};
use crate::cache::table::Capacity;
use crate::health::{Dependency, Status};
use crate::metrics::{CreateResult, Exposition, Level, Redirected, Timed, cpu_seconds, resident_bytes};
use crate::warmer::Warming;

const OPENAPI: &str = include_str!("openapi.json");

#[derive(Serialize)]
struct HealthPage {
    status: Status,
    version: &'static str,
    uptime_seconds: u64,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct CachePage {
    entries: usize,
    bytes: usize,
    capacity: CapacityPage,
    lookups: LookupsPage,
    /// Of the last few seconds; null before there were enough look-ups.
    hit_rate: Option<f64>,
    attainable: Option<f64>,
    evictions: u64,
    rejections: u64,
    warmings: u64,
    last_warming: Option<Warming>,
}

#[derive(Serialize)]
struct CapacityPage {
    unit: &'static str,
    limit: usize,
}

#[derive(Serialize)]
struct LookupsPage {
    process: u64,
    redis: u64,
    waiter: u64,
    store: u64,
    negative: u64,
    unassigned: u64,
}

pub async fn health(site: &Site) -> Response {
    let report = site.health.report().await;
    let status = if site.is_draining() { Status::Draining } else { report.status };
    let page = HealthPage {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: site.started.elapsed().as_secs(),
        dependencies: report.dependencies,
    };
    let code = match status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Down | Status::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(code, &page)
}

pub fn cache(site: &Site) -> Response {
    let figures = site.shortener.table().figures();
    let totals = site.shortener.totals();
    let (hit_rate, attainable) = site.warmer.rates();
    let page = CachePage {
        entries: figures.entries,
        bytes: figures.bytes,
        capacity: match site.shortener.table().capacity() {
            Capacity::Entries(limit) => CapacityPage { unit: "entries", limit },
            Capacity::Bytes(limit) => CapacityPage { unit: "bytes", limit },
        },
        lookups: LookupsPage {
            process: totals.lookups(Level::Process),
            redis: totals.lookups(Level::Redis),
            waiter: totals.lookups(Level::Waiter),
            store: totals.lookups(Level::Store),
            negative: totals.lookups(Level::Negative),
            unassigned: totals.lookups(Level::Unassigned),
        },
        hit_rate,
        attainable,
        evictions: figures.evictions,
        rejections: figures.rejections,
        warmings: site.warmer.warmings(),
        last_warming: site.warmer.last(),
    };
    json(StatusCode::OK, &page)
}

pub async fn clear_cache(client: &Client, request: Request) -> Result<Response, Problem> {
    client.site.admit(request.headers().get(AUTHORIZATION), client.address, 1)?;
    client.site.shortener.empty_cache().await;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub fn openapi() -> Response {
    let mut response = Response::new(OPENAPI.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub fn metrics(site: &Site) -> Response {
    let mut response = Response::new(exposition(site).into());
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

fn exposition(site: &Site) -> String {
    let mut out = Exposition::default();
    requests(site, &mut out);
    creates(site, &mut out);
    caching(site, &mut out);
    let bodies = site.room.taken() as f64;
    out.gauge("shortener_body_bytes", "Memory taken by request bodies that are on their way.", bodies);
    out.seconds("process_cpu_seconds_total", "Processor time used, in user and kernel mode.", cpu_seconds());
    out.gauge("process_resident_memory_bytes", "Memory in use.", resident_bytes() as f64);
    out.finish()
}

fn requests(site: &Site, out: &mut Exposition) {
    let totals = site.shortener.totals();
    let lookups = Level::ALL.iter().map(|&(level, name)| (name, totals.lookups(level)));
    out.family("shortener_lookups_total", "level", "Redirect look-ups, by what answered them.", lookups);
    let redirects = Redirected::ALL.iter().map(|&(how, name)| (name, totals.redirects(how)));
    out.family("shortener_redirects_total", "result", "Redirects answered, by result.", redirects);
    let made = site.shortener.creator.counters();
    let made = [("created", made.created), ("replayed", made.replayed)].into_iter();
    let creates = made.chain(CreateResult::ALL.iter().map(|&(result, name)| (name, totals.creates(result))));
    let about =
        "Links committed, links told again under their Idempotency-Key, creates answered with an error.";
    out.family("shortener_creates_total", "result", about, creates);
    let times = Timed::ALL.iter().map(|&(what, name)| (name, totals.times(what)));
    out.histogram(
        "shortener_answer_seconds",
        "what",
        "Time from a request's head to its answer, or until its client gave up: to a short link, to a create of one link, and to a bulk request as a whole. \
         Of short links out of the process's own cache one in 64 is timed, and counts as 64.",
        times,
    );
    let statements = site.shortener.store.statements();
    let attempts = statements.iter().map(|(kind, count)| (kind.name(), count.attempts));
    out.family(
        "shortener_statements_total",
        "kind",
        "Statements sent to the database, by purpose.",
        attempts,
    );
    let failures = statements.iter().map(|(kind, count)| (kind.name(), count.failures));
    out.family(
        "shortener_statement_failures_total",
        "kind",
        "Statements that failed or timed out.",
        failures,
    );
    let places = &site.shortener.places;
    out.gauge("shortener_reads_waiting", "Reads and changes under way or waiting.", places.taken() as f64);
    let refused = places.refused();
    out.counter(
        "shortener_reads_refused_total",
        "Reads and changes refused because too many waited.",
        refused,
    );
    let flushed = site.shortener.clicks.flushed();
    out.counter("shortener_clicks_flushed_total", "Clicks added to the store.", flushed);
    let orphaned = site.shortener.clicks.orphaned();
    out.counter("shortener_clicks_orphaned_total", "Clicks of links that were deleted meanwhile.", orphaned);
    let waiting = site.shortener.clicks.waiting() as f64;
    out.gauge(
        "shortener_clicks_waiting_links",
        "Links whose clicks waited to be added to the store after the last flush.",
        waiting,
    );
    let lost = site.shortener.clicks.lost();
    out.counter("shortener_clicks_lost_total", "Clicks dropped while the store was away for too long.", lost);
}

fn creates(site: &Site, out: &mut Exposition) {
    let counters = site.shortener.creator.counters();
    let violations = counters.violations;
    out.counter(
        "shortener_unique_violations_total",
        "Generated codes refused by the primary key.",
        violations,
    );
    out.counter(
        "shortener_create_retries_total",
        "Generated codes found taken, and another tried.",
        counters.conflicts,
    );
    out.counter("shortener_pool_served_total", "Codes taken from the pool.", counters.pool_served);
    out.counter("shortener_pool_dry_total", "Creates that found the pool empty.", counters.pool_dry);
    out.counter(
        "shortener_insert_batches_total",
        "Insert statements that carried creates.",
        counters.batches,
    );
    out.counter("shortener_insert_rows_total", "Rows in those statements.", counters.rows);
    out.counter("shortener_creates_refused_total", "Creates refused because too many waited.", counters.busy);
    out.gauge("shortener_insert_queue_rows", "Rows that wait to be inserted.", counters.queued as f64);
    let blocks = counters.blocks;
    let sources =
        [("keygen", blocks.leases_keygen), ("redis", blocks.leases_redis), ("store", blocks.leases_store)];
    out.family(
        "shortener_allocations_total",
        "source",
        "Blocks of ids leased, by who granted them.",
        sources.into_iter(),
    );
    out.counter("shortener_allocation_failures_total", "Leases that came to nothing.", blocks.lease_failures);
    out.counter("shortener_block_waits_total", "Creates that waited for a block.", blocks.waits);
}

fn caching(site: &Site, out: &mut Exposition) {
    let figures = site.shortener.table().figures();
    out.gauge("shortener_cache_entries", "Links in the in-process cache.", figures.entries as f64);
    out.gauge("shortener_cache_bytes", "Memory those links take.", figures.bytes as f64);
    out.counter(
        "shortener_cache_evictions_total",
        "Links that made room for hotter ones.",
        figures.evictions,
    );
    out.counter(
        "shortener_cache_rejections_total",
        "Links that were too cold to be let in.",
        figures.rejections,
    );
    out.counter("shortener_warmings_total", "Times the cache was warmed.", site.warmer.warmings());
    out.seconds("shortener_warming_seconds", "Time spent on warming.", site.warmer.seconds());
}
