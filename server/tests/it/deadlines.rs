//! Creates take no longer than `--store-timeout-ms`, whatever the database does; and for as long they are not given up.

use std::net::TcpListener;
use std::time::Duration;

use crate::app::App;
use crate::support::{Postgres, connect, sqlite};
use proofload_server::codes::{CODES_PER_SLOT, Codec, PUBLIC_DEFAULT_KEY};
use proofload_server::creator::{
    CodeDesign, CreateError, Creator, CreatorOptions, Idempotency, InsertDesign, NewLink,
};
use proofload_server::keygen::Leases;
use proofload_server::store::{Kind, Store, StoreOptions};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(300);
/// Whoever has not been given up by now is not going to be.
const HANG: Duration = Duration::from_secs(60);

const DESIGNS: [(CodeDesign, InsertDesign); 2] =
    [(CodeDesign::Checked, InsertDesign::Single), (CodeDesign::Blocks, InsertDesign::Coalesced)];

fn creator(store: &Store, (codes, insert): (CodeDesign, InsertDesign), patience: Duration) -> Creator {
    let leases = Leases::new(store.clone(), "rust".parse().unwrap(), None, None).unwrap();
    let options = CreatorOptions { codes, insert, patience, ..CreatorOptions::default() };
    Creator::start(store.clone(), Codec::new(&PUBLIC_DEFAULT_KEY), leases, options, &Handle::current())
}

/// A store whose own limits end nothing: what ends is ended by the deadline of its create.
async fn patient_store(url: &str) -> Store {
    let options = StoreOptions { acquire_timeout: LONG, statement_timeout: LONG, ..StoreOptions::default() };
    Store::connect(url, &options).await.expect("a store")
}

/// One link of each kind: plain, with a code of its own, and one that may be asked for again.
fn links(name: &str) -> [NewLink; 3] {
    let url = format!("https://example.com/{name}");
    let plain = NewLink { url, ..NewLink::default() };
    let custom = NewLink { custom: Some(format!("my-{name}")), ..plain.clone() };
    let idempotency = Some(Idempotency { key: name.into(), fingerprint: 1 });
    [plain.clone(), custom, NewLink { idempotency, ..plain }]
}

fn create_all(
    creator: &Creator,
    links: impl IntoIterator<Item = NewLink>,
) -> JoinSet<Result<(), CreateError>> {
    let create = |new| {
        let creator = creator.clone();
        async move { creator.create(new).await.map(drop) }
    };
    links.into_iter().map(create).collect()
}

/// Asks for links while the database is away, of those who have little time and of one who has much.
async fn each_in_its_time(store: &Store, fail: impl AsyncFnOnce(), mend: impl AsyncFnOnce()) {
    let hasty = DESIGNS.map(|design| creator(store, design, SHORT));
    let patient = creator(store, DESIGNS[1], LONG);
    // With ids at hand, what is asked for later gets as far as it can. A busy machine may be too slow for the hasty.
    for creator in hasty.iter().chain([&patient]) {
        let [plain, ..] = links("before");
        while creator.create(plain.clone()).await.is_err() {}
    }
    fail().await;
    let [plain, ..] = links("waits");
    let mut waiting = create_all(&patient, [plain]);
    for creator in &hasty {
        let all = create_all(creator, links("hasty")).join_all();
        let all = tokio::time::timeout(HANG, all).await.expect("they are given up in their time");
        let is_told = |outcome: &Result<(), CreateError>| {
            matches!(outcome, Err(CreateError::Store(_) | CreateError::Indeterminate(_)))
        };
        assert!(all.iter().all(is_told), "{all:?}");
    }
    let waited = waiting.try_join_next();
    assert!(waited.is_none(), "it has an hour: {waited:?}");
    mend().await;
    let waited = tokio::time::timeout(HANG, waiting.join_all()).await.expect("it is made in the end");
    assert!(waited[0].is_ok(), "it was tried until it worked: {waited:?}");
}

/// Takes the place of a database that was killed: it takes connections, and says nothing.
fn mute(port: u16) -> TcpListener {
    loop {
        // The dead server's children may hold the port for a moment longer.
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn while_the_database_is_away() {
    let postgres = Postgres::start().await;
    let store = patient_store(&postgres.database("away").await).await;
    let postgres = tokio::sync::Mutex::new(postgres);
    each_in_its_time(
        &store,
        async || postgres.lock().await.kill(),
        async || postgres.lock().await.restart().await,
    )
    .await;
}

#[tokio::test]
async fn while_the_database_stands_still() {
    let postgres = Postgres::start().await;
    let store = patient_store(&postgres.database("still").await).await;
    each_in_its_time(&store, async || postgres.freeze(), async || postgres.thaw()).await;
}

#[tokio::test]
async fn while_the_database_takes_connections_and_says_nothing() {
    let postgres = Postgres::start().await;
    let store = patient_store(&postgres.database("mute").await).await;
    let (postgres, muted) = (tokio::sync::Mutex::new(postgres), std::cell::Cell::new(None));
    let fail = async || {
        let mut postgres = postgres.lock().await;
        postgres.kill();
        muted.set(Some(mute(postgres.port())));
    };
    let mend = async || {
        drop(muted.take());
        postgres.lock().await.restart().await;
    };
    each_in_its_time(&store, fail, mend).await;
}

#[tokio::test]
async fn while_no_ids_can_be_had() {
    let (store, _directory) = sqlite().await;
    store.slot_of("rust").await.unwrap();
    assert!(store.commit_lease("rust", 0, CODES_PER_SLOT).await.unwrap().is_some());
    let (hasty, patient) = (creator(&store, DESIGNS[1], SHORT), creator(&store, DESIGNS[1], LONG));
    let [plain, _, keyed] = links("no-ids");
    let mut waiting = create_all(&patient, [plain.clone(), keyed.clone()]);
    let all = create_all(&hasty, [plain, keyed]).join_all().await;
    assert!(all.iter().all(|outcome| matches!(outcome, Err(CreateError::NoIds(_)))), "{all:?}");
    assert!(waiting.try_join_next().is_none(), "they have an hour");
    assert_eq!(hasty.counters().blocks.waits, 2, "two creates waited, and the pool is no create");
}

#[tokio::test]
async fn an_outage_is_not_the_clients_fault() {
    let mut postgres = Postgres::start().await;
    let flags = ["--store-timeout-ms", "300", "--warm", "none"];
    let app = App::start_on(&postgres.database("outage").await, &flags);
    let path = format!("/{}", app.create("https://example.com/before"));
    app.ask("DELETE", "/api/cache", &[], "");
    assert_eq!(app.get(&path).status, 302);
    app.ask("DELETE", "/api/cache", &[], "");
    postgres.kill();
    let muted = mute(postgres.port());
    let plain = r#"{"url":"https://example.com/"}"#;
    for body in [plain, plain, r#"{"url":"https://example.com/","code":"my-code"}"#] {
        let reply = app.post("/api/links", body);
        assert!(reply.is_problem(503).header("retry-after").is_some());
    }
    let creates = |result: &str| app.metric(&format!("shortener_creates_total{{result=\"{result}\"}}"));
    assert_eq!((creates("failed"), creates("rejected")), (3.0, 0.0));
    for _ in 0..3 {
        app.get(&path).is_problem(503);
    }
    // What got no connection was not sent, and counts as no statement.
    let sent = |kind: &str| app.metric(&format!("shortener_statements_total{{kind=\"{kind}\"}}"));
    assert_eq!(app.metric("shortener_insert_batches_total"), sent("insert"));
    let lookups = |level: &str| app.metric(&format!("shortener_lookups_total{{level=\"{level}\"}}"));
    assert_eq!((lookups("store"), lookups("store") + lookups("failed")), (sent("select"), 4.0));
    drop(muted);
    postgres.restart().await;
    app.create("https://example.com/after");
}

#[tokio::test]
async fn a_statement_that_nobody_waited_for_has_failed() {
    let postgres = Postgres::start().await;
    let store = connect(&postgres.database("cut").await).await;
    store.ping().await.unwrap();
    postgres.freeze();
    let ping = tokio::time::timeout(Duration::from_millis(50), store.ping());
    assert!(ping.await.is_err(), "it stands still");
    let pings = store.statements().of(Kind::Ping);
    assert_eq!((pings.attempts, pings.failures), (2, 1));
}
