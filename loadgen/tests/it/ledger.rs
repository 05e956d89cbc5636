//! The store, read without the server.

use proofload::ledger::{hold_against_leases, read_store};
use proofload_reports::run::Ledger;
use proofload_server::codes::{Codec, PUBLIC_DEFAULT_KEY};
use sqlx::{Connection, SqliteConnection};

#[tokio::test]
async fn links_under_chosen_codes_are_found_beside_the_generated() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", directory.path().join("links.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    for statement in [
        "CREATE TABLE links (id BIGINT PRIMARY KEY, url TEXT)",
        "CREATE TABLE custom_links (code TEXT PRIMARY KEY, url TEXT)",
        "INSERT INTO links VALUES (7, 'https://example.com/7')",
        "INSERT INTO custom_links VALUES ('my-code', 'https://example.com/mine')",
    ] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let mut found = Vec::new();
    read_store(&url, &codec, |link| found.push((link.code.clone(), link.url.clone()))).await.unwrap();
    let expected = [(codec.encode(7).to_string(), "7"), ("my-code".to_owned(), "mine")];
    assert_eq!(found, expected.map(|(code, path)| (code, format!("https://example.com/{path}"))));
}

/// The third id of slot 3 is the first beyond what its stack leased; slot 5 is nobody's.
#[tokio::test]
async fn ids_that_nobody_leased_are_found_and_the_others_counted_by_stack() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", directory.path().join("links.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    for statement in [
        "CREATE TABLE links (id BIGINT PRIMARY KEY, url TEXT)",
        "CREATE TABLE slots (slot BIGINT PRIMARY KEY, stack TEXT, high BIGINT)",
        "INSERT INTO slots VALUES (3, 'rust', 2), (4, 'python', 10), (6, 'idle', 0)",
        "INSERT INTO links VALUES (0 * 256 + 3, ''), (1 * 256 + 3, ''), (9 * 256 + 4, '')",
    ] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    let mut ledger = Ledger::default();
    hold_against_leases(&url, &mut ledger).await.unwrap();
    assert_eq!(ledger.unleased, Some(0));
    assert_eq!(ledger.stacks, [("rust".to_owned(), 2), ("python".to_owned(), 1)].into());
    for (id, strays) in [(2 * 256 + 3, 1), (5, 2)] {
        sqlx::query("INSERT INTO links VALUES ($1, '')").bind(id).execute(&mut database).await.unwrap();
        hold_against_leases(&url, &mut ledger).await.unwrap();
        assert_eq!(ledger.unleased, Some(strays), "with {id}");
    }
    assert_eq!(ledger.stacks["rust"], 3, "it lies in its slot, though beyond the lease");
}
