//! The store's own counts of its statements, against PostgreSQL's.

use crate::support::{Postgres, connect};
use proofload_server::codes::{Codec, PUBLIC_DEFAULT_KEY};
use proofload_server::creator::{CodeDesign, Creator, CreatorOptions, Idempotency, InsertDesign, NewLink};
use proofload_server::keygen::Leases;
use proofload_server::store::{Key, Kind, Patch, Store};
use sqlx::{ConnectOptions, Executor, PgConnection, Row};
use tokio::runtime::Handle;

const RESET: &str = "SELECT pg_stat_statements_reset()";

/// Statements that PostgreSQL saw in this database since the reset, by what their text begins with. Our own are left
/// out; `BEGIN` and the like are among them.
const SEEN: &str = "SELECT COALESCE(SUM(calls), 0)::bigint FROM pg_stat_statements \
    JOIN pg_database ON pg_database.oid = dbid \
    WHERE datname = current_database() AND query NOT LIKE '%pg_stat_statements%' AND query LIKE $1";

async fn seen(witness: &mut PgConnection, beginning: &str) -> u64 {
    let row = sqlx::query(SEEN).bind(format!("{beginning}%")).fetch_one(witness).await.unwrap();
    row.get::<i64, _>(0).try_into().unwrap()
}

async fn use_every_verb(store: &Store, creator: &Creator) {
    let link = |n: usize| NewLink { url: format!("https://example.com/{n}"), ..NewLink::default() };
    for created in creator.create_many((0..500).map(link).collect()).await {
        created.unwrap();
    }
    for n in 0..20 {
        creator.create(link(n)).await.unwrap();
    }
    creator.create(NewLink { custom: Some("my-code".into()), ..link(1) }).await.unwrap();
    let idempotency = Some(Idempotency { key: "once".into(), fingerprint: 1 });
    for _ in 0..2 {
        creator.create(NewLink { idempotency: idempotency.clone(), ..link(1) }).await.unwrap();
    }
    let key = Key::Custom("my-code".into());
    store.find(&key).await.unwrap();
    store.update(&key, &Patch::default()).await.unwrap();
    store.add_clicks(&[(key.clone(), 1), (Key::Generated(0), 1)]).await.unwrap();
    store.hottest(100, drop).await.unwrap();
    store.random(100).await.unwrap();
    store.high_marks().await.unwrap();
    store.count().await.unwrap();
    store.ping().await.unwrap();
    store.delete(&key).await.unwrap();
    store.forget_claims(0).await.unwrap();
}

#[tokio::test]
async fn postgresql_saw_exactly_what_we_counted() {
    let postgres = Postgres::start().await;
    for (name, codes, insert) in [
        ("before", CodeDesign::Checked, InsertDesign::Single),
        ("after", CodeDesign::Blocks, InsertDesign::Coalesced),
    ] {
        let url = postgres.database(name).await;
        let mut witness = postgres.options(name).connect().await.unwrap();
        witness.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
        witness.execute(RESET).await.unwrap();

        let store = connect(&url).await;
        let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
        let leases = Leases::new(store.clone(), "rust".parse().unwrap(), None, None).unwrap();
        let options =
            CreatorOptions { codes, insert, block_ids: 100..=1_000_000, ..CreatorOptions::default() };
        let creator = Creator::start(store.clone(), codec, leases, options, &Handle::current());
        use_every_verb(&store, &creator).await;
        // Leases go on in the background; the last may still be under way.
        let counted = loop {
            let before = store.statements();
            if seen(&mut witness, "").await == before.attempts() && store.statements() == before {
                break before;
            }
            assert!(
                seen(&mut witness, "").await <= store.statements().attempts(),
                "{name}: more than counted"
            );
            tokio::task::yield_now().await;
        };
        let inserts = seen(&mut witness, "INSERT INTO links").await
            + seen(&mut witness, "INSERT INTO custom_links").await
            + seen(&mut witness, "WITH claim AS").await;
        assert_eq!(inserts, counted.of(Kind::Insert).attempts, "{name}");
        assert_eq!(
            seen(&mut witness, "SELECT $2 FROM").await,
            counted.of(Kind::Uniqueness).attempts,
            "{name}"
        );
        assert_eq!(counted.iter().map(|(_, count)| count.failures).sum::<u64>(), 0);
        assert!(
            counted.iter().all(|(kind, count)| count.attempts > 0 || kind == Kind::Uniqueness),
            "{counted:?}"
        );
    }
}
