//! Requests with the same Idempotency-Key, side by side.

use crate::support::{Postgres, connect, sqlite};
use proofload_server::codes::{Codec, Key, PUBLIC_DEFAULT_KEY};
use proofload_server::creator::{CreateError, Creator, CreatorOptions, Idempotency, NewLink};
use proofload_server::keygen::Leases;
use proofload_server::store::{Claim, NewRow, Store};
use sqlx::{ConnectOptions, Executor};
use tokio::runtime::Handle;

fn creator(store: &Store) -> Creator {
    let leases = Leases::new(store.clone(), "rust".parse().unwrap(), None, None).unwrap();
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    Creator::start(store.clone(), codec, leases, CreatorOptions::default(), &Handle::current())
}

/// One of two requests made the link, was answered, and its client deleted the link, while the other had come as far as to
/// know that the first had not made it yet.
#[tokio::test]
async fn the_second_of_two_at_once_brings_nothing_back() {
    let postgres = Postgres::start().await;
    let store = connect(&postgres.database("links").await).await;
    let creator = creator(&store);
    for (name, key, made) in [
        (
            "generated",
            Key::Generated(4_096),
            "INSERT INTO links VALUES (4096, 'https://example.com/', 7, NULL, 0)",
        ),
        (
            "custom",
            Key::Custom("my-code".into()),
            "INSERT INTO custom_links VALUES ('my-code', 'https://example.com/', 7, NULL, 0)",
        ),
    ] {
        store.claim(name, &Claim { fingerprint: 1, key: key.clone() }).await.unwrap();
        let mut first = postgres.options("links").connect().await.unwrap();
        first.execute("BEGIN").await.unwrap();
        first.execute("SELECT 1 FROM claims FOR UPDATE").await.unwrap();
        let custom = match &key {
            Key::Custom(code) => Some(code.to_string()),
            Key::Generated(_) => None,
        };
        let idempotency = Some(Idempotency { key: name.into(), fingerprint: 1 });
        let new = NewLink { url: "https://example.com/".into(), custom, idempotency, ..NewLink::default() };
        let second = creator.clone();
        let second = tokio::spawn(async move { second.create(new).await });
        // It waits for the claim; had it not asked for it, it would be done soon.
        while postgres.waiting().await == 0 && !second.is_finished() {
            tokio::task::yield_now().await;
        }
        first.execute(made).await.unwrap();
        first.execute("UPDATE claims SET made = 7").await.unwrap();
        first.execute("DELETE FROM links").await.unwrap();
        first.execute("DELETE FROM custom_links").await.unwrap();
        first.execute("COMMIT").await.unwrap();
        let second = second.await.unwrap();
        assert!(matches!(second, Err(CreateError::Deleted)), "{second:?}");
        assert_eq!(store.find(&key).await.unwrap(), None);
    }
    assert_eq!(creator.counters().created, 0);
}

/// One of two requests at once asks whether the code is free, and meets the link that the other has just made of it.
#[tokio::test]
async fn neither_of_two_at_once_is_told_that_its_own_code_is_taken() {
    let postgres = Postgres::start().await;
    let store = connect(&postgres.database("links").await).await;
    let creator = creator(&store);
    let mut first = postgres.options("links").connect().await.unwrap();
    first.execute("BEGIN").await.unwrap();
    first.execute("LOCK TABLE custom_links IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let new = NewLink {
        url: "https://example.com/".into(),
        custom: Some("my-code".into()),
        idempotency: Some(Idempotency { key: "key".into(), fingerprint: 1 }),
        ..NewLink::default()
    };
    let beside = creator.clone();
    let again = new.clone();
    let second = tokio::spawn(async move { beside.create(again).await });
    while postgres.waiting().await == 0 {
        tokio::task::yield_now().await;
    }
    let claim = "INSERT INTO claims (idempotency_key, fingerprint, custom, created, made) VALUES ('key', 1, 'my-code', 7, 7) \
                 ON CONFLICT DO NOTHING";
    first.execute(claim).await.unwrap();
    first
        .execute("INSERT INTO custom_links VALUES ('my-code', 'https://example.com/', 7, NULL, 0)")
        .await
        .unwrap();
    first.execute("COMMIT").await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert!(second.replayed && second.link.created == 7, "{second:?}");
    // Whoever has another key is told, and may use that for another code.
    let other = |code: &str| NewLink {
        custom: Some(code.into()),
        idempotency: Some(Idempotency { key: "other".into(), fingerprint: code.len() as u64 }),
        ..new.clone()
    };
    assert!(matches!(creator.create(other("my-code")).await, Err(CreateError::Taken)));
    assert!(creator.create(other("another-code")).await.is_ok());
}

/// What was set aside for a key can be someone else's by the time that the link is made: a custom code that a stranger took,
/// or an id whose lease the database had lost.
async fn what_turns_out_to_be_anothers_is_not_told_as_ones_own(store: Store) {
    let creator = creator(&store);
    let url = "https://example.com/";
    let idempotency = Some(Idempotency { key: "key".into(), fingerprint: 1 });
    let new = NewLink { url: url.into(), idempotency, ..NewLink::default() };
    assert!(store.insert_custom("my-code", url, 7, None, 0).await.unwrap());
    let custom = NewLink { custom: Some("my-code".into()), ..new.clone() };
    let key = Key::Custom("my-code".into());
    store.claim("key", &Claim { fingerprint: 1, key: key.clone() }).await.unwrap();
    assert!(matches!(creator.create(custom).await, Err(CreateError::Taken)));
    assert_eq!(store.claimed("key").await.unwrap(), None, "it may be used for another code");

    let row = NewRow { id: 4_096, url: url.into(), created: 7, expires: None, clicks: 0 };
    assert!(store.insert(&row).await.unwrap());
    store.claim("key", &Claim { fingerprint: 1, key: Key::Generated(4_096) }).await.unwrap();
    let created = creator.create(new.clone()).await.unwrap();
    assert!(!created.replayed && created.link.key != Key::Generated(4_096), "{created:?}");
    let again = creator.create(new).await.unwrap();
    assert!(again.replayed && again.link.key == created.link.key, "{again:?}");
}

#[tokio::test]
async fn what_is_anothers_on_sqlite() {
    let (store, _directory) = sqlite().await;
    what_turns_out_to_be_anothers_is_not_told_as_ones_own(store).await;
}

#[tokio::test]
async fn what_is_anothers_on_postgresql() {
    let postgres = Postgres::start().await;
    what_turns_out_to_be_anothers_is_not_told_as_ones_own(connect(&postgres.database("links").await).await)
        .await;
}
