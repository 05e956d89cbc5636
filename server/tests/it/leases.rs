//! Leases: no id twice, whatever becomes of keygen and Redis.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::keygens::{Keygen, sqlite_url};
use crate::support::{END_OURS, Postgres, Redis, connect, sqlite};
use proofload_server::codes::{CODES_PER_SLOT, Slot};
use proofload_server::keygen::{Allocator, Lease, LeaseSource, Leases, Stack};
use proofload_server::store::{Store, StoreOptions};
use sqlx::{ConnectOptions, Executor};
use tokio::task::JoinSet;

fn stack(name: &str) -> Stack {
    name.parse().unwrap()
}

fn assert_disjoint(mut leases: Vec<Lease>) {
    leases.sort_by_key(|lease| (lease.slot, lease.start));
    for pair in leases.windows(2) {
        assert!(pair[0].slot != pair[1].slot || pair[0].end <= pair[1].start, "{pair:?}");
    }
}

/// Several allocators lease at once while their Redis is disturbed again and again.
async fn lease_under(store: Store, redis: &Redis, disturbances: &[&[&str]]) {
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let allocator = Allocator::new(store.clone(), Some(&redis.url())).unwrap();
        tasks.spawn(async move {
            let mut leases = vec![];
            for size in 1..=100 {
                leases.push(allocator.allocate(&stack("rust"), size).await.unwrap());
            }
            leases
        });
    }
    let disturb = async {
        for disturbance in disturbances.iter().cycle() {
            redis.ask::<redis::Value>(disturbance).await;
        }
    };
    let leases = tokio::select! {
        leases = tasks.join_all() => leases.concat(),
        () = disturb => unreachable!("it goes on for ever"),
    };
    assert_eq!(leases.len(), 400);
    assert!(leases.iter().any(|lease| lease.source == LeaseSource::Redis));
    assert_disjoint(leases);
}

const COUNTER: &str = "id_allocator:url:rust";

#[tokio::test]
async fn no_id_twice_while_redis_is_flushed_restored_and_spoiled() {
    let redis = Redis::start().await;
    let disturbances: [&[&str]; 5] = [
        &["FLUSHALL"],
        &["SET", COUNTER, "7"],
        &["SET", COUNTER, "nonsense"],
        &["SET", COUNTER, "-500"],
        &["SET", COUNTER, "9000000000000000000"],
    ];
    let (store, _directory) = sqlite().await;
    lease_under(store, &redis, &disturbances).await;
    let postgres = Postgres::start().await;
    lease_under(connect(&postgres.database("links").await).await, &redis, &disturbances).await;
}

#[tokio::test]
async fn a_restored_dump_gives_no_id_again() {
    let mut redis = Redis::start().await;
    let (store, _directory) = sqlite().await;
    let allocator = Allocator::new(store, Some(&redis.url())).unwrap();
    let mut leases = vec![];
    leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    redis.ask::<redis::Value>(&["SAVE"]).await;
    for _ in 0..10 {
        leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    }
    // Killed without saving: it comes back with the counter as it was ten leases ago.
    redis.kill();
    leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    redis.restart().await;
    assert_eq!(redis.ask::<u64>(&["GET", COUNTER]).await, 1_000);
    while leases.last().unwrap().source != LeaseSource::Redis {
        leases.push(allocator.allocate(&stack("rust"), 1).await.unwrap());
    }
    for _ in 0..10 {
        leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    }
    assert_disjoint(leases);
}

#[tokio::test]
async fn a_counter_far_ahead_does_not_burn_the_slot() {
    let redis = Redis::start().await;
    let (store, _directory) = sqlite().await;
    let allocator = Allocator::new(store.clone(), Some(&redis.url())).unwrap();
    redis.ask::<redis::Value>(&["SET", COUNTER, "700000000000"]).await;
    let lease = allocator.allocate(&stack("rust"), 1_000).await.unwrap();
    assert_eq!((lease.start, lease.end, lease.source), (0, 1_000, LeaseSource::Redis));
    assert!(store.high_marks().await.unwrap()[0].high < CODES_PER_SLOT / 1_000);
}

#[tokio::test]
async fn a_redis_that_takes_longer_than_the_database_may_leaves_the_database_its_time() {
    let (url, _directory) = sqlite_url().await;
    let hasty = StoreOptions { statement_timeout: Duration::from_millis(200), ..StoreOptions::default() };
    let store = Store::connect(&url, &hasty).await.unwrap();
    let redis = Redis::start().await;
    redis.freeze();
    let patience = Duration::from_millis(500);
    let allocator = Allocator::with_patience(store, Some(&redis.url()), patience).unwrap();
    assert_eq!(allocator.allocate(&stack("rust"), 10).await.unwrap().source, LeaseSource::Store);
}

#[tokio::test]
async fn a_stack_whose_slot_was_lost_leases_in_the_one_it_has_now() {
    let postgres = Postgres::start().await;
    let store = connect(&postgres.database("links").await).await;
    let redis = Redis::start().await;
    for redis in [None, Some(redis.url())] {
        let allocator = Allocator::new(store.clone(), redis.as_deref()).unwrap();
        assert_eq!(allocator.allocate(&stack("rust"), 10).await.unwrap().slot, Slot(0));
        let mut owner = postgres.options("links").connect().await.unwrap();
        owner.execute("DELETE FROM slots").await.unwrap();
        assert_eq!(store.slot_of("python").await.unwrap().slot, Slot(0));
        assert_eq!(allocator.allocate(&stack("rust"), 10).await.unwrap().slot, Slot(1));
        owner.execute("DELETE FROM slots").await.unwrap();
    }
}

#[tokio::test]
async fn leases_fall_back_and_return() {
    let (url, _directory) = sqlite_url().await;
    let store = connect(&url).await;
    let mut redis = Redis::start().await;
    let keygen = Keygen::start(&url, Some(redis.url()), "127.0.0.1:0").await;
    let address = keygen.address.clone();
    let keygen_url = format!("http://{address}");
    let leases = Leases::new(store, stack("rust"), Some(&keygen_url), Some(&redis.url())).unwrap();
    let mut given = vec![leases.lease(100).await.unwrap()];
    let mut last = |lease: Lease| {
        given.push(lease);
        given.last().unwrap().source
    };
    assert_eq!(last(leases.lease(100).await.unwrap()), LeaseSource::Keygen);
    keygen.stop().await;
    assert_eq!(leases.keygen_up().await, Some(false));
    assert_eq!(last(leases.lease(100).await.unwrap()), LeaseSource::Redis);
    redis.kill();
    assert_eq!(last(leases.lease(100).await.unwrap()), LeaseSource::Store);
    redis.restart().await;
    let keygen = Keygen::start(&url, Some(redis.url()), &address).await;
    // Each lease that does not come from keygen is made while keygen is being left alone.
    while last(leases.lease(1).await.unwrap()) != LeaseSource::Keygen {
        tokio::task::yield_now().await;
    }
    keygen.stop().await;
    assert_disjoint(given);
}

#[tokio::test]
async fn allocators_that_share_nothing_but_the_database_never_overlap() {
    let postgres = Postgres::start().await;
    let url = postgres.database("links").await;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let store = connect(&url).await;
        tasks.spawn(async move {
            let allocator = Arc::new(Allocator::new(store, None).unwrap());
            let name = stack(if n % 2 == 0 { "rust" } else { "python" });
            let mut leases = vec![];
            for size in 1..50 {
                leases.push(allocator.allocate(&name, size).await.unwrap());
            }
            leases
        });
    }
    assert_disjoint(tasks.join_all().await.into_iter().flatten().collect());
}

#[tokio::test]
async fn ids_of_a_slot_that_is_anothers_by_now_are_for_no_link() {
    let postgres = Postgres::start().await;
    for (database, codes, stack) in [("leased", "blocks", "rust"), ("drawn", "checked", "rust+checked")] {
        no_link_in_anothers_slot(&postgres, database, codes, stack).await;
    }
}

async fn no_link_in_anothers_slot(postgres: &Postgres, database: &str, codes: &str, stack: &str) {
    let url = postgres.database(database).await;
    let here = App::start_on(&url, &["--codes", codes]);
    let keyed = [("Idempotency-Key", "once")];
    let create = |headers: &[(&str, &str)]| {
        here.ask("POST", "/api/links", headers, r#"{"url":"https://example.com/"}"#)
    };
    here.create("https://example.com/before");
    // The second block is fetched in the background, and would have a slot again.
    while codes == "blocks" && here.metric("shortener_allocations_total{source=\"store\"}") < 2.0 {
        tokio::task::yield_now().await;
    }
    let mut owner = postgres.options(database).connect().await.unwrap();
    owner.execute("DELETE FROM slots").await.unwrap();
    let other = App::start_on(&url, &["--stack", "python", "--warm", "none"]);
    other.create("https://example.com/");
    owner.execute(END_OURS).await.unwrap();
    // Whichever comes first finds the slot lost.
    for headers in [&keyed[..], &[], &keyed] {
        let created = create(headers);
        assert_eq!(created.status, 201, "{created:?}");
        let path = format!("/{}", created.json()["code"].as_str().unwrap());
        assert_eq!(other.get(&path).status, 302, "within what its stack has leased");
    }
    let slots: Vec<(String, i64)> =
        sqlx::query_as("SELECT stack, slot FROM slots ORDER BY slot").fetch_all(&mut owner).await.unwrap();
    assert_eq!(slots, [("python".to_owned(), 0), (stack.to_owned(), 1)]);
    assert_eq!(here.metric("shortener_unique_violations_total"), 0.0);
}

#[tokio::test]
async fn a_database_that_lost_the_last_leases_is_told_of_them_again() {
    let postgres = Postgres::start().await;
    let keyed = [("Idempotency-Key", "once")];
    let (plain, checked) = (&[][..], &["--codes", "checked"][..]);
    for (database, flags, headers, loss) in [
        ("plain", plain, &[][..], "UPDATE slots SET high = 0"),
        ("keyed", plain, &keyed[..], "UPDATE slots SET high = 0"),
        ("new_stack", plain, &[][..], "DELETE FROM slots"),
        ("checked", checked, &[][..], "DELETE FROM slots"),
        ("checked_keyed", checked, &keyed[..], "DELETE FROM slots"),
    ] {
        let url = postgres.database(database).await;
        let here = App::start_on(&url, flags);
        let mut owner = postgres.options(database).connect().await.unwrap();
        here.create("https://example.com/before");
        // A standby that is behind takes over.
        owner.execute(loss).await.unwrap();
        owner.execute(END_OURS).await.unwrap();
        let created =
            here.ask("POST", "/api/links", headers, r#"{"url":"https://example.com/after"}"#).json();
        let path = format!("/{}", created["code"].as_str().unwrap());
        let other = App::start_on(&url, &["--warm", "none", "--stack", "python"]);
        assert_eq!(other.get(&path).status, 302, "it does not lie beyond what was leased");
        let same = App::start_on(&url, &["--warm", "none"]);
        same.create("https://example.com/");
        assert_eq!(same.metric("shortener_unique_violations_total"), 0.0, "no id is leased again");
    }
}

/// How much of a stack's slot keygen has leased.
async fn leased_by(keygen: &Keygen) -> u64 {
    let (_, _, metrics) = keygen.ask("GET", "/metrics", "").await;
    metrics.lines().find_map(|line| line.strip_prefix("keygen_ids_total ")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn links_with_ids_from_a_keygen_of_another_database_are_found() {
    let (theirs, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&theirs, None, "127.0.0.1:0").await;
    let url = format!("http://{}", keygen.address);
    let here = App::start(&["--keygen-url", &url]);
    let codes: Vec<_> = (0..3).map(|_| here.create("https://example.com/")).collect();
    assert_eq!(here.metric("shortener_allocations_total{source=\"store\"}"), 0.0);
    let again = App::start_in(here.stop().unwrap(), &["--warm", "none"]);
    for code in codes {
        assert_eq!(again.get(&format!("/{code}")).status, 302, "it does not lie beyond what was leased");
    }
    keygen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_keygen_of_another_database_leases_again_are_for_no_second_link() {
    let alone = App::start(&[]);
    let before = alone.create("https://example.com/before");
    let (theirs, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&theirs, None, "127.0.0.1:0").await;
    let url = format!("http://{}", keygen.address);
    let here = App::start_in(alone.stop().unwrap(), &["--keygen-url", &url]);
    here.create("https://example.com/after");
    assert_eq!(here.metric("shortener_unique_violations_total"), 0.0);
    assert!(here.metric("shortener_allocation_failures_total") > 0.0);
    assert_eq!(here.get(&format!("/{before}")).header("location"), Some("https://example.com/before"));
    keygen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keygen_that_leases_a_slot_of_another_stack_is_as_good_as_away() {
    let (theirs, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&theirs, None, "127.0.0.1:0").await;
    let url = format!("http://{}", keygen.address);
    let python = App::start(&["--stack", "python"]);
    python.create("https://example.com/");
    let here = App::start_in(python.stop().unwrap(), &["--keygen-url", &url, "--block-ids", "1000"]);
    let codes: Vec<_> = (0..3).map(|_| here.create("https://example.com/after")).collect();
    assert_eq!(here.metric("shortener_allocations_total{source=\"keygen\"}"), 0.0);
    assert!(here.metric("shortener_allocation_failures_total") > 0.0);
    assert_eq!(here.metric("shortener_unique_violations_total"), 0.0);
    assert!(leased_by(&keygen).await <= 10_000, "it is not asked again and again");
    let again = App::start_in(here.stop().unwrap(), &["--warm", "none"]);
    for code in codes {
        assert_eq!(again.get(&format!("/{code}")).status, 302, "it does not lie beyond what was leased");
    }
    keygen.stop().await;
}
