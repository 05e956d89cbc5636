//! Creates, in every design: what is acknowledged is stored, once, under a code of its own.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::support::{Postgres, connect, sqlite};
use proofload_server::codes::{Codec, Key, PUBLIC_DEFAULT_KEY, Slot, split};
use proofload_server::creator::{
    CodeDesign, CreateError, Created, Creator, CreatorCounters, CreatorOptions, Idempotency, InsertDesign,
    NewLink,
};
use proofload_server::inserter::{Inserter, InserterOptions, Pace, Row, RowId};
use proofload_server::keygen::Leases;
use proofload_server::pool::Pool;
use proofload_server::store::{Claim, Kind, Patch, Store};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

fn creator(store: &Store, stack: &str, options: CreatorOptions) -> Creator {
    let codec = match options.codes {
        CodeDesign::Unpartitioned => Codec::unpartitioned(),
        CodeDesign::Checked | CodeDesign::Blocks => Codec::new(&PUBLIC_DEFAULT_KEY),
    };
    let leases = Leases::new(store.clone(), stack.parse().unwrap(), None, None).unwrap();
    Creator::start(store.clone(), codec, leases, options, &Handle::current())
}

fn options(codes: CodeDesign, insert: InsertDesign) -> CreatorOptions {
    CreatorOptions { codes, insert, ..CreatorOptions::default() }
}

fn link(n: usize) -> NewLink {
    NewLink { url: format!("https://example.com/{n}"), ..NewLink::default() }
}

/// Creates `count` links from as many tasks at once.
async fn create_at_once(creator: &Creator, count: usize) -> Vec<Result<Created, CreateError>> {
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let creator = creator.clone();
        tasks.spawn(async move { creator.create(link(n)).await });
    }
    tasks.join_all().await
}

/// Asserts that all are stored under codes of their own, with their exact URL.
async fn assert_stored(store: &Store, codec: &Codec, created: &[Created]) {
    let codes: HashSet<&str> = created.iter().map(|created| created.code.as_str()).collect();
    assert_eq!(codes.len(), created.len());
    for Created { code, link, .. } in created {
        assert_eq!(codec.key(code).as_ref(), Some(&link.key));
        assert_eq!(store.find(&link.key).await.unwrap().as_ref(), Some(link));
    }
}

async fn every_design_keeps_its_word(store: Store) {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    for codes in [CodeDesign::Checked, CodeDesign::Blocks] {
        for insert in [InsertDesign::Single, InsertDesign::Coalesced] {
            let creator = creator(&store, "rust", options(codes, insert));
            let before = store.statements();
            let created: Result<Vec<_>, _> = create_at_once(&creator, 200).await.into_iter().collect();
            let after = store.statements();
            assert_stored(&store, &codec, &created.unwrap()).await;
            let sent = |kind| after.of(kind).attempts - before.of(kind).attempts;
            let checks = if codes == CodeDesign::Checked { 200 } else { 0 };
            assert_eq!(sent(Kind::Uniqueness), checks, "{codes:?} {insert:?}");
            match insert {
                InsertDesign::Single => assert_eq!(sent(Kind::Insert), 200),
                InsertDesign::Coalesced => assert!(sent(Kind::Insert) < 50, "{}", sent(Kind::Insert)),
            }
            let counters = creator.counters();
            assert_eq!((counters.created, counters.violations, counters.rows), (200, 0, 200));
            assert_eq!(counters.batches, sent(Kind::Insert));
        }
    }
}

#[tokio::test]
async fn every_design_keeps_its_word_on_sqlite() {
    let (store, _directory) = sqlite().await;
    every_design_keeps_its_word(store).await;
}

#[tokio::test]
async fn every_design_keeps_its_word_on_postgresql() {
    let postgres = Postgres::start().await;
    every_design_keeps_its_word(connect(&postgres.database("links").await).await).await;
}

#[tokio::test]
async fn stacks_keep_to_their_slots() {
    let (store, _directory) = sqlite().await;
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let mut all = vec![];
    let mut creators = vec![];
    for stack in ["rust", "python"] {
        creators.push(creator(&store, stack, CreatorOptions::default()));
        all.extend(create_at_once(creators.last().unwrap(), 300).await.into_iter().map(Result::unwrap));
    }
    assert_stored(&store, &codec, &all).await;
    let marks = store.high_marks().await.unwrap();
    let slots: HashMap<&str, Slot> = marks.iter().map(|mark| (mark.stack.as_str(), mark.slot)).collect();
    for (n, created) in all.iter().enumerate() {
        let Key::Generated(id) = created.link.key else { panic!("a generated code") };
        assert_eq!(split(id).1, slots[if n < 300 { "rust" } else { "python" }]);
    }
    assert_eq!(creators.iter().map(|creator| creator.counters().violations).sum::<u64>(), 0);
}

#[tokio::test]
async fn unpartitioned_stacks_collide() {
    let (store, _directory) = sqlite().await;
    let broken = CreatorOptions { pool: 0, ..options(CodeDesign::Unpartitioned, InsertDesign::Coalesced) };
    let (rust, python) = (creator(&store, "rust", broken.clone()), creator(&store, "python", broken));
    create_at_once(&rust, 100).await;
    create_at_once(&python, 100).await;
    assert_eq!(rust.counters().violations, 0);
    assert!(python.counters().violations >= 100, "{}", python.counters().violations);
}

#[tokio::test]
async fn a_full_queue_refuses_and_stores_the_rest() {
    let (store, _directory) = sqlite().await;
    let small = CreatorOptions { queue_rows: 50, ..CreatorOptions::default() };
    let creator = creator(&store, "rust", small);
    let outcomes = creator.create_many((0..200).map(link).collect()).await;
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(stored, 50);
    assert!(outcomes.iter().filter(|outcome| outcome.is_err()).all(|o| matches!(o, Err(CreateError::Busy))));
    assert_eq!(creator.counters().busy, 150);
    assert_eq!(store.count().await.unwrap(), 50);
}

#[tokio::test]
async fn creates_of_every_kind_wait_in_places_of_the_same_number() {
    for design in [CodeDesign::Checked, CodeDesign::Blocks] {
        for insert in [InsertDesign::Single, InsertDesign::Coalesced] {
            let (store, _directory) = sqlite().await;
            let small = CreatorOptions { queue_rows: 10, ..options(design, insert) };
            let creator = creator(&store, "rust", small);
            let kinds = (0..90).map(|n| match n % 3 {
                0 => link(n),
                1 => NewLink { custom: Some(format!("my-code-{n}")), ..link(n) },
                _ => {
                    let idempotency = Some(Idempotency { key: format!("key-{n}"), fingerprint: 1 });
                    NewLink { idempotency, ..link(n) }
                }
            });
            let outcomes = creator.create_many(kinds.collect()).await;
            assert!(outcomes[..10].iter().all(Result::is_ok), "{design:?} {insert:?}: {outcomes:?}");
            assert!(outcomes[10..].iter().all(|outcome| matches!(outcome, Err(CreateError::Busy))));
            assert_eq!(creator.counters().busy, 80);
            assert!(creator.create(link(1)).await.is_ok(), "a place that was left is free again");
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_its_create() {
    let (store, _directory) = sqlite().await;
    for insert in [InsertDesign::Coalesced, InsertDesign::Single] {
        let creator = creator(&store, "rust", options(CodeDesign::Blocks, insert));
        let before = store.count().await.unwrap();
        for n in 0..10 {
            // Asked once and dropped; a time-out of zero would leave it a tick of the timer to get done in.
            tokio::select! {
                biased;
                _ = creator.create(link(n)) => panic!("a create cannot be done before anything was stored"),
                () = std::future::ready(()) => {}
            }
        }
        while creator.counters().created < 10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.count().await.unwrap(), before + 10);
    }
}

#[tokio::test]
async fn a_dry_pool_slows_no_one() {
    let (store, _directory) = sqlite().await;
    let tiny = CreatorOptions { pool: 10, block_ids: 100..=1_000_000, ..CreatorOptions::default() };
    let creator = creator(&store, "rust", tiny);
    let created: Result<Vec<_>, _> = create_at_once(&creator, 1_000).await.into_iter().collect();
    assert_stored(&store, &Codec::new(&PUBLIC_DEFAULT_KEY), &created.unwrap()).await;
    let counters = creator.counters();
    assert_eq!(counters.pool_served + counters.pool_dry, 1_000);
    assert!(counters.pool_dry > 0);
    assert!(counters.blocks.leases() > 2 && counters.blocks.size > 100, "{:?}", counters.blocks);
}

#[tokio::test]
async fn custom_codes_are_checked_and_taken_once() {
    let (store, _directory) = sqlite().await;
    let creator = creator(&store, "rust", CreatorOptions::default());
    let custom = |code: &str| NewLink { custom: Some(code.into()), ..link(1) };
    let mut many = JoinSet::new();
    for _ in 0..20 {
        let (creator, new) = (creator.clone(), custom("my-code"));
        many.spawn(async move { creator.create(new).await });
    }
    let outcomes = many.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(CreateError::Taken))));
    let (counters, sent) = (creator.counters(), store.statements().of(Kind::Insert).attempts);
    assert_eq!((counters.created, counters.batches, counters.rows), (1, sent, sent));
    assert!(matches!(creator.create(custom("abcdefgh")).await, Err(CreateError::Custom(_))));
    assert!(matches!(creator.create(custom("metrics")).await, Err(CreateError::Custom(_))));
    let nul = NewLink { url: "https://example.com/\0".into(), ..NewLink::default() };
    assert!(matches!(creator.create(nul).await, Err(CreateError::Url(_))));
}

#[tokio::test]
async fn a_repeated_request_makes_one_link() {
    let (store, _directory) = sqlite().await;
    for codes in [CodeDesign::Blocks, CodeDesign::Checked] {
        let creator = creator(&store, "rust", options(codes, InsertDesign::Coalesced));
        let name = format!("{codes:?}");
        let keyed = |fingerprint| NewLink {
            idempotency: Some(Idempotency { key: name.clone(), fingerprint }),
            ..link(1)
        };
        let mut many = JoinSet::new();
        for _ in 0..20 {
            let (creator, new) = (creator.clone(), keyed(1));
            many.spawn(async move { creator.create(new).await });
        }
        let codes: HashSet<String> =
            many.join_all().await.into_iter().map(|created| created.unwrap().code).collect();
        assert_eq!(codes.len(), 1);
        let again = creator.create(keyed(1)).await.unwrap();
        assert!(again.replayed && codes.contains(&again.code));
        assert!(matches!(creator.create(keyed(2)).await, Err(CreateError::IdempotencyMismatch)));
        assert_eq!(creator.counters().created, 1);
        let drawn = |counters: CreatorCounters| counters.pool_served + counters.pool_dry;
        let before = (drawn(creator.counters()), store.statements().of(Kind::Uniqueness).attempts);
        for _ in 0..10 {
            assert!(creator.create(keyed(1)).await.unwrap().replayed);
        }
        let after = (drawn(creator.counters()), store.statements().of(Kind::Uniqueness).attempts);
        assert_eq!(before, after, "what is told again draws no code");
    }
    assert_eq!(store.count().await.unwrap(), 2);
}

#[tokio::test]
async fn a_request_cut_off_after_its_claim_is_finished_by_its_retry() {
    let (store, _directory) = sqlite().await;
    let creator = creator(&store, "rust", CreatorOptions::default());
    let claim = Claim { fingerprint: 9, key: Key::Generated(4_096) };
    store.claim("cut-off", &claim).await.unwrap();
    let idempotency = Some(Idempotency { key: "cut-off".into(), fingerprint: 9 });
    let created = creator.create(NewLink { idempotency, ..link(1) }).await.unwrap();
    assert_eq!(created.link.key, claim.key);
    assert_stored(&store, &Codec::new(&PUBLIC_DEFAULT_KEY), &[created]).await;
}

async fn a_retry_finds_the_link_as_it_is_now(store: Store) {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let custom = |code: &str| NewLink { custom: Some(code.into()), ..link(1) };
    for codes in [CodeDesign::Blocks, CodeDesign::Checked] {
        for insert in [InsertDesign::Coalesced, InsertDesign::Single] {
            for new in [link(1), custom(&format!("my-{codes:?}-{insert:?}"))] {
                let creator = creator(&store, "rust", options(codes, insert));
                let key = format!("{new:?} {codes:?} {insert:?}");
                let keyed = || {
                    let idempotency = Some(Idempotency { key: key.clone(), fingerprint: 1 });
                    creator.create(NewLink { idempotency, ..new.clone() })
                };
                let made = keyed().await.unwrap();
                assert!(!made.replayed);
                let patch =
                    Patch { url: Some("https://example.com/changed".into()), expires: Some(Some(1 << 40)) };
                let changed = store.update(&made.link.key, &patch).await.unwrap().unwrap();
                let again = keyed().await.unwrap();
                assert_eq!((again.replayed, &again.code, &again.link), (true, &made.code, &changed));
                assert!(store.delete(&made.link.key).await.unwrap());
                for _ in 0..2 {
                    assert!(matches!(keyed().await, Err(CreateError::Deleted)));
                    assert_eq!(store.find(&codec.key(&made.code).unwrap()).await.unwrap(), None);
                }
                assert_eq!((creator.counters().created, creator.counters().replayed), (1, 1));
            }
        }
    }
}

#[tokio::test]
async fn a_retry_finds_the_link_as_it_is_now_on_sqlite() {
    let (store, _directory) = sqlite().await;
    a_retry_finds_the_link_as_it_is_now(store).await;
}

#[tokio::test]
async fn a_retry_finds_the_link_as_it_is_now_on_postgresql() {
    let postgres = Postgres::start().await;
    a_retry_finds_the_link_as_it_is_now(connect(&postgres.database("links").await).await).await;
}

#[tokio::test]
async fn a_custom_code_that_someone_else_has_by_now_is_not_given_out_as_a_replay() {
    let (store, _directory) = sqlite().await;
    let creator = creator(&store, "rust", CreatorOptions::default());
    let keyed = || {
        let idempotency = Some(Idempotency { key: "mine".into(), fingerprint: 1 });
        creator.create(NewLink { custom: Some("my-code".into()), idempotency, ..link(1) })
    };
    let made = keyed().await.unwrap();
    store.delete(&made.link.key).await.unwrap();
    store.insert_custom("my-code", &made.link.url, made.link.created + 1, None, 0).await.unwrap();
    assert!(matches!(keyed().await, Err(CreateError::Deleted)));
}

/// An inserter of its own.
fn inserter(store: &Store) -> Inserter {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let leases = Leases::new(store.clone(), "rust".parse().unwrap(), None, None).unwrap();
    let blocks =
        proofload_server::blocks::Blocks::start(leases, codec.clone(), 1_000..=1_000_000, &Handle::current());
    let pool = Pool::start(blocks, codec.clone(), 0, &Handle::current());
    let pace = Pace { spacing: Duration::from_millis(5), eager_rows: 100, batch_rows: 1_000, writers: 1 };
    let limits = InserterOptions { pace, queue_rows: 1_000 };
    Inserter::start(store.clone(), codec, pool, limits, &Handle::current())
}

#[tokio::test]
async fn one_poisoned_row_fails_alone() {
    let postgres = Postgres::start().await;
    let store = connect(&postgres.database("links").await).await;
    let inserter = inserter(&store);
    let mut answers = vec![];
    for n in 0..100 {
        let url = format!("https://example.com/{n}{}", if n == 37 { "\0" } else { "" });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let row = Row { url, created: 1, expires: None, clicks: 0, id: RowId::Next, deadline };
        answers.push(inserter.submit(row, None));
    }
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().is_ok(), n != 37, "row {n}");
    }
    assert_eq!(store.count().await.unwrap(), 99);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_killed_database() {
    let mut postgres = Postgres::start().await;
    let store = connect(&postgres.database("links").await).await;
    let creator = creator(&store, "rust", CreatorOptions::default());
    let mut clients = JoinSet::new();
    for client in 0..16 {
        let creator = creator.clone();
        clients.spawn(async move {
            let mut outcomes = vec![];
            for n in 0..200 {
                outcomes.push(creator.create(link(client * 1_000 + n)).await);
            }
            outcomes
        });
    }
    while creator.counters().created < 500 {
        tokio::task::yield_now().await;
    }
    postgres.kill();
    postgres.restart().await;
    let outcomes: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let acknowledged: Vec<Created> = outcomes.iter().filter_map(|outcome| outcome.clone().ok()).collect();
    assert!(acknowledged.len() > 500);
    assert_stored(&store, &Codec::new(&PUBLIC_DEFAULT_KEY), &acknowledged).await;
    // No strangers: what is stored beyond the acknowledged was answered as indeterminate.
    let indeterminate =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(CreateError::Indeterminate(_)))).count();
    let stored = store.count().await.unwrap() as usize;
    assert!(stored <= acknowledged.len() + indeterminate, "{stored} {} {indeterminate}", acknowledged.len());
    assert_eq!(creator.counters().violations, 0);
}
