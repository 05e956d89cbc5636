//! What every store must keep to, run against each database.

use std::collections::HashSet;

use crate::support::{Postgres, connect, sqlite};
use proofload_server::codes::{CODES_PER_SLOT, Slot};
use proofload_server::store::{Claim, Claimed, Key, Kind, Link, NewRow, Patch, Store, StoreError, unix_now};

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    for (name, clause) in CONTRACT {
        let (store, _directory) = sqlite().await;
        eprintln!("sqlite: {name}");
        clause(store).await;
    }
}

#[tokio::test]
async fn postgresql_keeps_the_contract() {
    let postgres = Postgres::start().await;
    for (number, (name, clause)) in CONTRACT.iter().enumerate() {
        let url = postgres.database(&format!("contract_{number}")).await;
        eprintln!("postgresql: {name}");
        clause(connect(&url).await).await;
    }
}

type Clause = fn(Store) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |store| Box::pin($name(store)))),*]
    };
}

const CONTRACT: &[(&str, Clause)] = contract![
    what_is_inserted_is_found,
    a_taken_id_is_left_out_of_a_batch,
    one_bad_row_refuses_its_whole_batch_and_nothing_else,
    links_change_and_go,
    clicks_add_up,
    the_hottest_come_first,
    random_links_are_links,
    slots_are_assigned_once_and_for_good,
    the_257th_stack_is_refused,
    a_lease_never_overlaps_an_earlier_one,
    a_lease_that_was_lost_is_held_again,
    the_database_keeps_its_name,
    a_used_up_slot_says_so,
    claims_are_kept,
    the_link_of_a_claim_is_not_inserted_once_it_is_noted_as_made,
    statements_are_counted_exactly,
    many_writers_at_once_are_never_locked_out,
];

fn row(id: u64, url: &str) -> NewRow {
    NewRow { id, url: url.to_owned(), created: 1_000, expires: None, clicks: 0 }
}

fn numbered(ids: impl IntoIterator<Item = u64>) -> Vec<NewRow> {
    ids.into_iter().map(|id| row(id, &format!("https://example.com/{id}"))).collect()
}

async fn insert_all(store: &Store, rows: &[NewRow]) -> Result<(), StoreError> {
    store.insert_all(&rows.iter().collect::<Vec<_>>()).await
}

async fn insert_free(store: &Store, rows: &[NewRow]) -> Result<HashSet<u64>, StoreError> {
    Ok(store.insert_free(&rows.iter().collect::<Vec<_>>()).await?.into_iter().collect())
}

async fn what_is_inserted_is_found(store: Store) {
    let text = "https://example.com/ü?q=\"quoted\"&x='y'\\n{[1,2]}";
    let rows = [
        NewRow { id: 7, url: text.into(), created: 5, expires: Some(9), clicks: 3 },
        row(u64::from(u32::MAX) * 3, "https://example.com/b"),
    ];
    insert_all(&store, &rows).await.unwrap();
    let found = store.find(&Key::Generated(7)).await.unwrap().unwrap();
    let expected = Link { key: Key::Generated(7), url: text.into(), created: 5, expires: Some(9), clicks: 3 };
    assert_eq!(found, expected);
    assert!(store.insert(&row(8, text)).await.unwrap());
    assert_eq!(store.find(&Key::Generated(8)).await.unwrap().unwrap().url, text);
    assert_eq!(store.find(&Key::Generated(9)).await.unwrap(), None);

    assert!(store.insert_custom("my-code", text, 5, None, 1).await.unwrap());
    assert!(!store.insert_custom("my-code", "https://example.com/", 6, None, 0).await.unwrap());
    let key = Key::Custom("my-code".into());
    assert_eq!(store.find(&key).await.unwrap().unwrap().url, text);
    assert!(store.is_taken(&key).await.unwrap());
    assert!(!store.is_taken(&Key::Custom("MY-CODE".into())).await.unwrap());
    assert!(store.is_taken(&Key::Generated(7)).await.unwrap());
    assert!(!store.is_taken(&Key::Generated(10)).await.unwrap());
    assert_eq!(store.find_many(&[7, 8, 9]).await.unwrap().len(), 2);
    assert_eq!(store.count().await.unwrap(), 4);
}

async fn a_taken_id_is_left_out_of_a_batch(store: Store) {
    insert_all(&store, &numbered([3, 5])).await.unwrap();
    let batch = numbered([2, 3, 4, 5, 6]);
    assert!(matches!(insert_all(&store, &batch).await, Err(StoreError::Taken(_))));
    assert_eq!(store.count().await.unwrap(), 2, "all or none");
    assert_eq!(insert_free(&store, &batch).await.unwrap(), HashSet::from([2, 4, 6]));
    assert!(!store.insert(&row(3, "https://example.com/other")).await.unwrap());
    assert_eq!(store.find(&Key::Generated(3)).await.unwrap().unwrap().url, "https://example.com/3");
    insert_all(&store, &[]).await.unwrap();
    assert_eq!(insert_free(&store, &[]).await.unwrap(), HashSet::new());
    insert_all(&store, &numbered(1_000..2_000)).await.unwrap();
    assert_eq!(insert_free(&store, &numbered(1_500..2_500)).await.unwrap().len(), 500);
    assert_eq!(store.count().await.unwrap(), 1_505);
}

async fn one_bad_row_refuses_its_whole_batch_and_nothing_else(store: Store) {
    if store.name() == "sqlite" {
        // SQLite's text takes anything; there is no bad row to be had.
        return;
    }
    let mut rows = numbered(1..10);
    rows[4].url = "https://example.com/\0".into();
    assert!(matches!(insert_all(&store, &rows).await, Err(StoreError::BadRow(_))));
    assert!(matches!(insert_free(&store, &rows).await, Err(StoreError::BadRow(_))));
    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(store.statements().of(Kind::Insert).failures, 2);
    insert_all(&store, &numbered(1..10)).await.unwrap();
}

async fn links_change_and_go(store: Store) {
    store.insert(&row(1, "https://example.com/a")).await.unwrap();
    store.insert_custom("my-code", "https://example.com/b", 5, Some(50), 0).await.unwrap();
    let url = Patch { url: Some("https://example.com/c".into()), expires: None };
    for key in [Key::Generated(1), Key::Custom("my-code".into())] {
        let before = store.find(&key).await.unwrap().unwrap();
        let after = store.update(&key, &url).await.unwrap().unwrap();
        assert_eq!(after, Link { url: "https://example.com/c".into(), ..before });
        let expiring = Patch { url: None, expires: Some(Some(70)) };
        assert_eq!(store.update(&key, &expiring).await.unwrap().unwrap().expires, Some(70));
        assert_eq!(store.update(&key, &Patch::default()).await.unwrap().unwrap().expires, Some(70));
        let lasting = Patch { url: None, expires: Some(None) };
        let after = store.update(&key, &lasting).await.unwrap().unwrap();
        assert_eq!((after.expires, after.url.as_str()), (None, "https://example.com/c"));
        assert!(store.delete(&key).await.unwrap());
        assert!(!store.delete(&key).await.unwrap());
        assert_eq!(store.find(&key).await.unwrap(), None);
        assert_eq!(store.update(&key, &url).await.unwrap(), None);
    }
}

async fn clicks_add_up(store: Store) {
    insert_all(&store, &numbered([1, 2])).await.unwrap();
    store.insert_custom("my-code", "https://example.com/", 5, None, 10).await.unwrap();
    let custom = Key::Custom("my-code".into());
    for _ in 0..3 {
        let clicks = [(Key::Generated(2), 5), (custom.clone(), 1), (Key::Generated(99), 7)];
        assert_eq!(store.add_clicks(&clicks).await.unwrap(), 6, "what is not there gets no clicks");
    }
    let clicks = async |key: Key| store.find(&key).await.unwrap().unwrap().clicks;
    assert_eq!(clicks(Key::Generated(1)).await, 0);
    assert_eq!(clicks(Key::Generated(2)).await, 15);
    assert_eq!(clicks(custom.clone()).await, 13);
    // One statement would add to a row once, however often it is named.
    let again = [(Key::Generated(1), 2), (custom.clone(), 1), (Key::Generated(1), 3), (custom.clone(), 4)];
    assert_eq!(store.add_clicks(&again).await.unwrap(), 10);
    assert_eq!((clicks(Key::Generated(1)).await, clicks(custom.clone()).await), (5, 18));
    // However many are told of, the row can be read, and the others of the same statement are stored.
    const MOST: u64 = i64::MAX as u64;
    for custom in [custom.clone(), Key::Generated(1)] {
        for _ in 0..2 {
            store.add_clicks(&[(custom.clone(), MOST - 100), (Key::Generated(2), 1)]).await.unwrap();
        }
        assert_eq!(clicks(custom).await, MOST);
    }
    assert_eq!(clicks(Key::Generated(2)).await, 19);
    let before = store.statements().of(Kind::Clicks).attempts;
    assert_eq!(store.add_clicks(&[]).await.unwrap(), 0);
    assert_eq!(store.statements().of(Kind::Clicks).attempts, before);
}

async fn the_hottest_come_first(store: Store) {
    let past = unix_now() - 1;
    let mut rows = numbered(1..=6);
    for (row, clicks) in rows.iter_mut().zip([5, 0, 9, 100, 0, 2]) {
        row.clicks = clicks;
    }
    rows[3].expires = Some(past);
    insert_all(&store, &rows).await.unwrap();
    store.insert_custom("warm-one", "https://example.com/", 5, None, 7).await.unwrap();
    store.insert_custom("cold-one", "https://example.com/", 5, None, 0).await.unwrap();
    let hottest = async |limit| {
        let mut keys = vec![];
        let count = store.hottest(limit, |link| keys.push(link.key)).await.unwrap();
        assert_eq!(count, keys.len());
        keys
    };
    let generated = Key::Generated;
    let custom = |code: &str| Key::Custom(code.into());
    let all = vec![
        generated(3),
        custom("warm-one"),
        generated(1),
        generated(6),
        generated(5),
        generated(2),
        custom("cold-one"),
    ];
    assert_eq!(hottest(100).await, all);
    for limit in 0..all.len() {
        assert_eq!(hottest(limit).await, all[..limit]);
    }
}

async fn random_links_are_links(store: Store) {
    assert_eq!(store.random(10).await.unwrap(), vec![]);
    insert_all(&store, &numbered((0..500).map(|n| n * 256))).await.unwrap();
    let links = store.random(100).await.unwrap();
    assert!(links.len() > 60 && links.len() <= 100, "{}", links.len());
    let ids: HashSet<&Key> = links.iter().map(|link| &link.key).collect();
    assert_eq!(ids.len(), links.len());
    let again = store.random(100).await.unwrap();
    assert_ne!(links, again);
}

async fn slots_are_assigned_once_and_for_good(store: Store) {
    let rust = store.slot_of("rust").await.unwrap();
    let python = store.slot_of("python").await.unwrap();
    assert_eq!((rust.slot, rust.high), (Slot(0), 0));
    assert_eq!((python.slot, python.high), (Slot(1), 0));
    assert_eq!(store.slot_of("rust").await.unwrap(), rust);
    assert!(store.commit_lease("python", 0, 500).await.unwrap().is_some());
    let marks = store.high_marks().await.unwrap();
    assert_eq!(marks.iter().map(|mark| mark.high).collect::<Vec<_>>(), [0, 500]);
    let (a, b) = tokio::join!(store.slot_of("go"), store.slot_of("java"));
    assert_ne!(a.unwrap().slot, b.unwrap().slot);
}

async fn the_257th_stack_is_refused(store: Store) {
    for stack in 0..256 {
        store.slot_of(&format!("stack-{stack}")).await.unwrap();
    }
    let refused = store.slot_of("one-more").await;
    assert!(matches!(&refused, Err(StoreError::NoSlotLeft(stack)) if stack == "one-more"), "{refused:?}");
    assert_eq!(store.slot_of("stack-255").await.unwrap().slot, Slot(255));
}

async fn a_lease_never_overlaps_an_earlier_one(store: Store) {
    store.slot_of("rust").await.unwrap();
    assert!(store.commit_lease("rust", 0, 100).await.unwrap().is_some());
    assert!(store.commit_lease("rust", 0, 100).await.unwrap().is_none());
    assert!(store.commit_lease("rust", 99, 200).await.unwrap().is_none());
    assert!(store.commit_lease("rust", 150, 200).await.unwrap().is_some());
    assert!(store.commit_lease("rust", 100, 150).await.unwrap().is_none());
    assert_eq!(store.extend_lease("rust", 50).await.unwrap(), (Slot(0), 200, 250));
    assert!(store.commit_lease("rust", 200, 250).await.unwrap().is_none());
    // A mistaken hint does not burn the slot.
    assert!(store.commit_lease("rust", 800_000_000_000, 800_000_000_100).await.unwrap().is_none());
    assert!(store.commit_lease("rust", 250, CODES_PER_SLOT + 1).await.unwrap().is_none());
    assert!(store.commit_lease("unknown", 0, 10).await.unwrap().is_none());
}

async fn a_lease_that_was_lost_is_held_again(store: Store) {
    let mark = async |stack: &str| {
        let mark = store.slot_of(stack).await.unwrap();
        (mark.slot, mark.high)
    };
    // The database knows no stack, as if it had been restored.
    assert!(store.hold_lease("rust", Slot(3), 500).await.unwrap());
    assert_eq!(mark("rust").await, (Slot(3), 500));
    assert!(store.hold_lease("rust", Slot(3), 700).await.unwrap());
    assert_eq!(mark("rust").await, (Slot(3), 700));
    assert!(store.hold_lease("rust", Slot(3), 600).await.unwrap());
    assert_eq!(mark("rust").await, (Slot(3), 700), "never back");
    // The slot of this one was given to another.
    assert!(!store.hold_lease("python", Slot(3), 900).await.unwrap());
    assert_eq!(mark("rust").await, (Slot(3), 700));
    // This one has another by now.
    assert_eq!(mark("python").await, (Slot(4), 0));
    assert!(!store.hold_lease("python", Slot(2), 900).await.unwrap());
    assert_eq!(mark("python").await, (Slot(4), 0));
}

async fn the_database_keeps_its_name(store: Store) {
    let name = store.identity().await.unwrap();
    assert_eq!((name.len(), store.identity().await.unwrap()), (16, name));
}

async fn a_used_up_slot_says_so(store: Store) {
    store.slot_of("rust").await.unwrap();
    assert!(store.commit_lease("rust", 0, CODES_PER_SLOT - 10).await.unwrap().is_some());
    assert!(matches!(store.extend_lease("rust", 11).await, Err(StoreError::SlotUsedUp(_))));
    let last = store.extend_lease("rust", 10).await.unwrap();
    assert_eq!(last, (Slot(0), CODES_PER_SLOT - 10, CODES_PER_SLOT));
    assert!(matches!(store.extend_lease("rust", 1).await, Err(StoreError::SlotUsedUp(_))));
}

async fn claims_are_kept(store: Store) {
    let claim = Claim { fingerprint: u64::MAX, key: Key::Generated(5) };
    let other = Claim { fingerprint: 2, key: Key::Custom("my-code".into()) };
    assert_eq!(store.claim("a", &claim).await.unwrap(), None);
    assert_eq!(store.claim("a", &other).await.unwrap(), Some(Claimed::Open(claim.clone())));
    assert_eq!(store.claim("b", &other).await.unwrap(), None);
    assert_eq!(store.claimed("b").await.unwrap(), Some(Claimed::Open(other.clone())));
    store.reclaim("a", 6, 7).await.unwrap();
    store.unclaim("a", "my-code").await.unwrap();
    store.unclaim("b", "another").await.unwrap();
    assert_eq!(store.claimed("a").await.unwrap(), Some(Claimed::Open(claim.clone())), "not of this id");
    assert_eq!(store.claimed("b").await.unwrap(), Some(Claimed::Open(other.clone())), "not of this code");
    store.reclaim("a", 5, 7).await.unwrap();
    let moved = Claim { key: Key::Generated(7), ..claim.clone() };
    assert_eq!(store.claimed("a").await.unwrap(), Some(Claimed::Open(moved)));
    store.unclaim("b", "my-code").await.unwrap();
    assert_eq!(store.claim("b", &claim).await.unwrap(), None);
    assert_eq!(store.forget_claims(unix_now() + 1).await.unwrap(), 2);
    assert_eq!(store.claimed("a").await.unwrap(), None);
}

async fn the_link_of_a_claim_is_not_inserted_once_it_is_noted_as_made(store: Store) {
    for key in [Key::Generated(5), Key::Custom("my-code".into())] {
        let name = format!("{key:?}");
        let link = Link { key, url: "https://example.com/".into(), created: 7, expires: Some(9), clicks: 3 };
        assert!(!store.insert_claimed(&name, &link).await.unwrap(), "nobody claimed it");
        store.claim(&name, &Claim { fingerprint: 1, key: link.key.clone() }).await.unwrap();
        assert!(store.insert_claimed(&name, &link).await.unwrap());
        assert_eq!(store.find(&link.key).await.unwrap().as_ref(), Some(&link));
        assert!(!store.insert_claimed(&name, &link).await.unwrap(), "it is there");
        let claim = Claim { fingerprint: 1, key: link.key.clone() };
        assert_eq!(store.claimed(&name).await.unwrap(), Some(Claimed::Made(claim, 7)), "at once");
        store.delete(&link.key).await.unwrap();
        assert!(!store.insert_claimed(&name, &link).await.unwrap(), "it was made, and is gone");
        assert_eq!(store.find(&link.key).await.unwrap(), None);
    }
}

async fn statements_are_counted_exactly(store: Store) {
    let counts = || store.statements();
    let schema = counts();
    assert_eq!(schema.attempts(), schema.of(Kind::Schema).attempts);
    insert_all(&store, &numbered(1..100)).await.unwrap();
    store.insert(&row(200, "https://example.com/")).await.unwrap();
    store.is_taken(&Key::Generated(1)).await.unwrap();
    store.find(&Key::Generated(1)).await.unwrap();
    store.ping().await.unwrap();
    store.slot_of("rust").await.unwrap();
    let expected =
        [(Kind::Insert, 2), (Kind::Uniqueness, 1), (Kind::Select, 1), (Kind::Ping, 1), (Kind::Lease, 3)];
    for (kind, attempts) in expected {
        assert_eq!(counts().of(kind).attempts, attempts, "{}", kind.name());
    }
    assert_eq!(counts().attempts(), schema.attempts() + 8);
    assert_eq!(counts().iter().map(|(_, count)| count.failures).sum::<u64>(), 0);
}

async fn many_writers_at_once_are_never_locked_out(store: Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..32u64 {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0..10 {
                let id = writer * 1_000 + n;
                assert!(store.insert(&row(id, "https://example.com/")).await.unwrap());
                store.add_clicks(&[(Key::Generated(id), 1)]).await.unwrap();
                assert!(store.find(&Key::Generated(id)).await.unwrap().is_some());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), 320);
}
