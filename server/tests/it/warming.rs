//! Warming: what it reads is kept only while it is true.

use std::sync::Arc;
use std::time::Duration;

use crate::support::sqlite;
use proofload_server::cache::table::{Cached, Capacity, Name, Table};
use proofload_server::clicks::ClickLimits;
use proofload_server::codes::{Codec, Key, PUBLIC_DEFAULT_KEY};
use proofload_server::creator::{Creator, CreatorOptions};
use proofload_server::keygen::Leases;
use proofload_server::marks::HighMarks;
use proofload_server::shortener::{Parts, Shortener, now};
use proofload_server::store::{NewRow, Patch, Store};
use proofload_server::target::Targets;
use tokio::runtime::Handle;

/// More than a reading connection holds in hand: when the first arrives, the last is still to be read.
const LINKS: u64 = 5_000;

fn shortener(store: &Store) -> Arc<Shortener> {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let leases = Leases::new(store.clone(), "rust".parse().unwrap(), None, None).unwrap();
    let home = Handle::current();
    Shortener::new(Parts {
        marks: HighMarks::new(store.clone(), &codec),
        creator: Creator::start(store.clone(), codec.clone(), leases, CreatorOptions::default(), &home),
        store: store.clone(),
        codec,
        table: Table::new(Capacity::Entries(2 * LINKS as usize)),
        targets: Targets::new(2_048, &["http://localhost"]),
        public_base: "http://localhost".into(),
        store_timeout: Duration::from_secs(10),
        changes: None,
        redis: None,
        threads: 1,
        reads: 100,
        unknown: 1_000,
        clicks: ClickLimits { pending: 1_000, rows: 1_000 },
        home,
    })
}

/// Links 0 to [`LINKS`], the first the hottest.
async fn fill(store: &Store) {
    let url = |id| format!("https://example.com/{id}");
    let row = |id| NewRow { id, url: url(id), created: 1, expires: None, clicks: LINKS - id };
    let rows: Vec<_> = (0..LINKS).map(row).collect();
    store.insert_all(&rows.iter().collect::<Vec<_>>()).await.unwrap();
}

fn cached(shortener: &Shortener, id: u64) -> Option<String> {
    let code = shortener.codec.text(&Key::Generated(id));
    match shortener.table().get(Name::of(&code), || now() as u32) {
        Cached::Found(url) => Some(String::from_utf8(url.to_vec()).unwrap()),
        Cached::Absent | Cached::Gone => None,
    }
}

/// Warms, and does `meanwhile` when the store has answered and nothing is kept yet.
async fn warm_and_meanwhile<F: Future<Output = ()>>(
    shortener: &Arc<Shortener>,
    meanwhile: impl FnOnce() -> F + Send,
) {
    let survey = shortener.survey();
    let mut meanwhile = Some(meanwhile);
    let keep = |link| {
        if let Some(meanwhile) = meanwhile.take() {
            tokio::task::block_in_place(|| Handle::current().block_on(meanwhile()));
        }
        shortener.keep_warm(&survey, &link);
    };
    shortener.store.hottest(LINKS as usize, keep).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_while_a_warming_reads_is_not_brought_back() {
    let (store, _directory) = sqlite().await;
    fill(&store).await;
    let shortener = shortener(&store);
    let (first, last) = (Key::Generated(0), Key::Generated(LINKS - 1));
    let code = |key: &Key| shortener.codec.text(key);
    let url = Patch { url: Some("https://example.com/changed".into()), expires: None };
    warm_and_meanwhile(&shortener, || async {
        assert!(shortener.delete(&code(&first)).await.unwrap());
        assert!(shortener.delete(&code(&last)).await.unwrap());
        assert!(shortener.update(&code(&Key::Generated(7)), url).await.unwrap().is_some());
    })
    .await;
    assert_eq!([0, 7, LINKS - 1].map(|id| cached(&shortener, id)), [None, None, None]);
    assert_eq!(cached(&shortener, 1).as_deref(), Some("https://example.com/1"));
    assert_eq!(shortener.table().figures().entries, LINKS as usize - 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_emptied_while_a_warming_reads_stays_empty() {
    let (store, _directory) = sqlite().await;
    fill(&store).await;
    let shortener = shortener(&store);
    warm_and_meanwhile(&shortener, || shortener.empty_cache()).await;
    assert_eq!(shortener.table().figures().entries, 0);
    warm_and_meanwhile(&shortener, || async {}).await;
    assert_eq!(shortener.table().figures().entries, LINKS as usize);
}
