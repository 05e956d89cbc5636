//! Schemas of earlier binaries, of several at once, and of later ones.

use crate::keygens::sqlite_url;
use crate::support::{Postgres, connect};
use proofload_server::codes::Key;
use proofload_server::store::{Claim, Claimed, Store, StoreError, StoreOptions};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::task::JoinSet;

/// As the first binary of all left a database, with a link and a key under way.
fn of_the_first(schema: &str) -> String {
    format!(
        "{schema};
         CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL);
         INSERT INTO schema_versions VALUES (1, 5);
         INSERT INTO links VALUES (7, 'https://example.com/', 5, NULL, 3);
         INSERT INTO claims VALUES ('key', 1, 7, NULL, 5)"
    )
}

async fn execute(url: &str, script: String) {
    let script = AssertSqlSafe(script);
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let mut owner: SqliteConnection = options.connect().await.unwrap();
            owner.execute(script).await.unwrap();
            owner.close().await.unwrap();
        }
        None => {
            let mut owner = PgConnection::connect(url).await.unwrap();
            owner.execute(script).await.unwrap();
        }
    }
}

async fn an_earlier_schema_is_brought_up_to_date_with_what_it_holds(url: &str, schema: &str) {
    execute(url, of_the_first(schema)).await;
    for _ in 0..2 {
        let store = connect(url).await;
        assert_eq!(store.find(&Key::Generated(7)).await.unwrap().unwrap().clicks, 3);
        let claim = Claim { fingerprint: 1, key: Key::Generated(7) };
        assert_eq!(store.claimed("key").await.unwrap(), Some(Claimed::Open(claim)));
        store.identity().await.unwrap();
    }
}

async fn those_who_start_at_once_take_turns(url: &str) {
    let mut starting = JoinSet::new();
    for _ in 0..8 {
        let url = url.to_owned();
        starting.spawn(async move { connect(&url).await.count().await });
    }
    starting.join_all().await.into_iter().for_each(|count| assert_eq!(count.unwrap(), 0));
}

async fn a_later_schema_is_left_alone(url: &str) {
    connect(url).await;
    execute(url, "INSERT INTO schema_versions VALUES (99, 5)".to_owned()).await;
    let refused = Store::connect(url, &StoreOptions::default()).await.err().expect("it is not known");
    assert!(matches!(refused, StoreError::Newer { version: 99, .. }), "{refused}");
}

#[tokio::test]
async fn schemas_on_sqlite() {
    let schema = include_str!("../../src/store/migrations/sqlite/0001_links.sql");
    let (url, _directory) = sqlite_url().await;
    an_earlier_schema_is_brought_up_to_date_with_what_it_holds(&url, schema).await;
    let (url, _directory) = sqlite_url().await;
    those_who_start_at_once_take_turns(&url).await;
    a_later_schema_is_left_alone(&url).await;
}

#[tokio::test]
async fn schemas_on_postgresql() {
    let schema = include_str!("../../src/store/migrations/postgres/0001_links.sql");
    let postgres = Postgres::start().await;
    an_earlier_schema_is_brought_up_to_date_with_what_it_holds(&postgres.database("earlier").await, schema)
        .await;
    let url = postgres.database("new").await;
    those_who_start_at_once_take_turns(&url).await;
    a_later_schema_is_left_alone(&url).await;
}
