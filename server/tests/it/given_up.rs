//! A statement that was given up leaves no connection behind in PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::proxy::Proxy;
use crate::support::Postgres;
use proofload_server::store::{Store, StoreOptions};
use sqlx::{ConnectOptions, Executor, PgConnection, Row};

/// Longer than anything here takes; who waits longer waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections of ours that PostgreSQL holds, whether or not anyone is at the other end.
async fn backends(witness: &mut PgConnection) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'proofload'";
    sqlx::query(count).fetch_one(witness).await.unwrap().get(0)
}

async fn locked(postgres: &Postgres, database: &str) -> PgConnection {
    let mut owner = postgres.options(database).connect().await.unwrap();
    owner.execute("BEGIN").await.unwrap();
    owner.execute("LOCK TABLE links, custom_links IN ACCESS EXCLUSIVE MODE").await.unwrap();
    owner
}

#[tokio::test]
async fn redirects_that_wait_for_a_lock_do_not_use_the_connections_up() {
    let postgres = Postgres::start().await;
    let url = postgres.database("locked").await;
    let flags = ["--store-timeout-ms", "200", "--warm", "none", "--cache-entries", "1"];
    let app = App::start_on(&url, &flags);
    let codes: Vec<String> = (0..20).map(|_| app.create("https://example.com/")).collect();
    app.ask("DELETE", "/api/cache", &[], "");
    let mut witness = postgres.options("postgres").connect().await.unwrap();
    let owner = locked(&postgres, "locked").await;
    let app = Arc::new(app);
    let asking = codes.into_iter().map(|code| {
        let app = app.clone();
        tokio::task::spawn_blocking(move || (0..15).for_each(|_| drop(app.get(&format!("/{code}")))))
    });
    let asking: Vec<_> = asking.collect();
    let mut most = 0;
    while asking.iter().any(|client| !client.is_finished()) {
        most = most.max(backends(&mut witness).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Readers, one to warm with and writers, and as many again that are just being given up.
    assert!(most <= 2 * (8 + 1 + 16), "{most} connections");
    drop(owner);
}

#[tokio::test]
async fn the_times_of_those_who_did_not_wait_for_the_answer_are_told() {
    let postgres = Postgres::start().await;
    let app = App::start_on(&postgres.database("locked").await, &["--warm", "none", "--cache-entries", "1"]);
    let code = app.create("https://example.com/");
    app.ask("DELETE", "/api/cache", &[], "");
    let before = app.metric("shortener_answer_seconds_count{what=\"redirect\"}");
    let owner = locked(&postgres, "locked").await;
    let mut client = app.connect();
    client.send(&format!("GET /{code} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    while postgres.waiting().await == 0 {
        tokio::task::yield_now().await;
    }
    client.hang_up();
    let begun = Instant::now();
    while app.metric("shortener_answer_seconds_count{what=\"redirect\"}") == before {
        assert!(begun.elapsed() < PATIENCE, "it waited, and is forgotten");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(owner);
}

/// The store's own limit is an hour; the caller's is not.
fn patient() -> StoreOptions {
    StoreOptions { statement_timeout: Duration::from_secs(3_600), ..StoreOptions::default() }
}

#[tokio::test]
async fn postgresql_notices_who_left_before_the_time_was_over() {
    let postgres = Postgres::start().await;
    let store = Store::connect(&postgres.database("departed").await, &patient()).await.unwrap();
    let mut witness = postgres.options("postgres").connect().await.unwrap();
    let _owner = locked(&postgres, "departed").await;
    for _ in 0..20 {
        let hasty = store.by(tokio::time::Instant::now() + Duration::from_millis(20));
        assert!(hasty.count().await.is_err(), "it is locked");
    }
    let begun = Instant::now();
    while backends(&mut witness).await > 1 {
        assert!(begun.elapsed() < PATIENCE, "they are still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As PostgreSQL 13 sees it: a setting that it does not know.
#[tokio::test]
async fn a_server_that_cannot_notice_is_used_all_the_same() {
    let postgres = Postgres::start().await;
    let url = postgres.database("older").await;
    let between = Proxy::garbling(
        ([127, 0, 0, 1], postgres.port()).into(),
        b"client_connection_check_interval",
        b"client_connection_check_imagined",
    );
    let url = url.replace(&postgres.port().to_string(), &between.await.address.port().to_string());
    let store = Store::connect(&url, &patient()).await.unwrap();
    store.ping().await.unwrap();
}
