//! Witnesses against databases of which the test knows what they were asked.

use std::time::{Duration, Instant};

use proofload::services::{Postgres, Redis};
use proofload::witness::{self, Counters, Witness, WriteAheadLog};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};

fn since(before: &Counters, after: &Counters, name: &str) -> u64 {
    after[name] - before[name]
}

#[tokio::test]
async fn postgres_counts_every_statement_but_the_witnesses() {
    let (mut postgres, url) = tokio::task::spawn_blocking(|| {
        let postgres = Postgres::spawn(&[]).unwrap();
        let url = postgres.create_database("shop", None).unwrap();
        // Another's statements must not be taken for ours.
        postgres.create_database("noise", None).unwrap();
        (postgres, url)
    })
    .await
    .unwrap();
    let mut witness = witness::Postgres::of(&url).unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE links (id bigint PRIMARY KEY)").execute(&mut connection).await.unwrap();
    let before = witness.read().await.unwrap();
    for id in 0..25i64 {
        sqlx::query("INSERT INTO links SELECT * FROM unnest($1::bigint[])")
            .bind(vec![2 * id, 2 * id + 1])
            .execute(&mut connection)
            .await
            .unwrap();
        let taken = sqlx::query("INSERT INTO links VALUES ($1)").bind(id).execute(&mut connection).await;
        assert!(taken.is_err(), "the code is taken: this statement fails");
        sqlx::query("SELECT id FROM links WHERE id = $1").bind(id).fetch_one(&mut connection).await.unwrap();
        witness.read().await.unwrap();
    }
    let after = witness.read().await.unwrap();
    assert_eq!(since(&before, &after, "postgres.statements"), 50, "failed statements are not counted here");
    assert_eq!(since(&before, &after, "postgres.inserts"), 25);
    assert_eq!(since(&before, &after, "postgres.selects"), 25);
    assert_eq!(since(&before, &after, "postgres.rows"), 75);
    assert_eq!(after["postgres.evicted"], 0);
    let text =
        "WITH changed AS (UPDATE links SET id = id WHERE id = $1 RETURNING id) SELECT count(*) FROM changed";
    sqlx::query(text).bind(1i64).fetch_one(&mut connection).await.unwrap();
    let changed = witness.read().await.unwrap();
    let kinds = ["selects", "updates"].map(|kind| since(&after, &changed, &format!("postgres.{kind}")));
    assert_eq!(kinds, [0, 1], "it ends as a select, and changes rows");

    // A session reports its transactions when it ends: those that failed are among them.
    connection.close().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let last = loop {
        let last = witness.read().await.unwrap();
        if since(&before, &last, "postgres.transactions") >= 75 || Instant::now() > deadline {
            break last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // To prepare a statement is a transaction, too, and the creation of the table is reported with the rest.
    assert!((75..=90).contains(&since(&before, &last, "postgres.transactions")), "{before:?} {last:?}");
    assert_eq!(since(&before, &last, "postgres.rolled_back"), 25);
    let inserted = since(&before, &last, "postgres.rows_inserted");
    assert!((75..=110).contains(&inserted), "the rows of failed statements count here, too: {inserted}");

    let postgres = tokio::task::spawn_blocking(move || {
        postgres.service().unwrap().kill();
        postgres
    });
    let mut postgres = postgres.await.unwrap();
    assert!(witness.read().await.is_err(), "there is nobody to ask");
    let postgres =
        tokio::task::spawn_blocking(move || postgres.service().unwrap().start().map(|()| postgres));
    let _postgres = postgres.await.unwrap().unwrap();
    let again = witness.read().await.unwrap();
    assert!(again["postgres.statements"] >= last["postgres.statements"], "a crash does not set it back");
}

#[tokio::test]
async fn redis_counts_every_command_but_the_witnesses() {
    let redis = tokio::task::spawn_blocking(|| Redis::spawn(&[]).unwrap()).await.unwrap();
    let mut witness = witness::Redis::of(&redis.url()).unwrap();
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let before = witness.read().await.unwrap();
    for _ in 0..10 {
        let _: () = ::redis::cmd("SET").arg(&["a", "1"]).query_async(&mut connection).await.unwrap();
        let _: Option<String> = ::redis::cmd("GET").arg("a").query_async(&mut connection).await.unwrap();
        let _: Option<String> = ::redis::cmd("GET").arg("b").query_async(&mut connection).await.unwrap();
        witness.read().await.unwrap();
    }
    let after = witness.read().await.unwrap();
    assert_eq!(since(&before, &after, "redis.commands"), 30);
    assert_eq!(since(&before, &after, "redis.hits"), 10);
    assert_eq!(since(&before, &after, "redis.misses"), 10);
}

async fn sqlite(path: &std::path::Path, checkpoint_pages: u32) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("wal_autocheckpoint", checkpoint_pages.to_string())
        .pragma("synchronous", "OFF");
    options.connect().await.unwrap()
}

#[tokio::test]
async fn the_log_of_sqlite_tells_its_commits_over_new_beginnings() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("links.db");
    let mut witness = WriteAheadLog::follow(&path);
    assert_eq!(witness.read().await.unwrap()["sqlite.wal_commits"], 0, "there is no database yet");
    let mut connection = sqlite(&path, 50).await;
    sqlx::query("CREATE TABLE links (id INTEGER PRIMARY KEY)").execute(&mut connection).await.unwrap();
    let before = witness.read().await.unwrap();
    for id in 0..500i64 {
        sqlx::query("INSERT INTO links VALUES (?)").bind(id).execute(&mut connection).await.unwrap();
        sqlx::query("SELECT count(*) FROM links").execute(&mut connection).await.unwrap();
        if id % 20 == 0 {
            witness.read().await.unwrap();
        }
    }
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("INSERT INTO links VALUES (1000), (1001)").execute(&mut *transaction).await.unwrap();
    sqlx::query("INSERT INTO links VALUES (1002)").execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("INSERT INTO links VALUES (2000)").execute(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    let after = witness.read().await.unwrap();
    assert_eq!(since(&before, &after, "sqlite.wal_gaps"), 0);
    assert_eq!(since(&before, &after, "sqlite.wal_commits"), 501);

    // The last connection removes the log; a new one makes another.
    connection.close().await.unwrap();
    let mut connection = sqlite(&path, 1000).await;
    sqlx::query("INSERT INTO links VALUES (3000)").execute(&mut connection).await.unwrap();
    let last = witness.read().await.unwrap();
    assert_eq!(since(&after, &last, "sqlite.wal_commits"), 1);
}

#[tokio::test]
async fn a_log_that_was_overwritten_unread_is_called_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("links.db");
    let mut connection = sqlite(&path, 5).await;
    sqlx::query("CREATE TABLE links (id INTEGER PRIMARY KEY)").execute(&mut connection).await.unwrap();
    let mut witness = WriteAheadLog::follow(&path);
    let before = witness.read().await.unwrap();
    // One transaction after the other faster than any reader follows: many generations of the log pass.
    for id in 0..20_000i64 {
        sqlx::query("INSERT INTO links VALUES (?)").bind(id).execute(&mut connection).await.unwrap();
    }
    let after = witness.read().await.unwrap();
    assert!(since(&before, &after, "sqlite.wal_gaps") > 0);
    assert!(since(&before, &after, "sqlite.wal_commits") < 20_000);
}
