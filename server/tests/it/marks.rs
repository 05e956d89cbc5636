//! The high-water shortcut: it says no without a query, and never wrongly.

use crate::support::sqlite;
use proofload_server::codes::{CODES_PER_SLOT, Codec, Key, PUBLIC_DEFAULT_KEY, Slot, join};
use proofload_server::marks::HighMarks;
use proofload_server::store::Kind;
use tokio::task::JoinSet;

#[tokio::test]
async fn what_lies_beyond_the_marks_is_known_not_to_exist() {
    let (store, _directory) = sqlite().await;
    store.slot_of("rust").await.unwrap();
    store.commit_lease("rust", 0, 1_000).await.unwrap();
    let marks = HighMarks::new(store.clone(), &Codec::new(&PUBLIC_DEFAULT_KEY));
    let cases = [
        (Key::Generated(join(0, Slot(0))), true),
        (Key::Generated(join(999, Slot(0))), true),
        (Key::Generated(join(1_000, Slot(0))), false),
        (Key::Generated(join(0, Slot(1))), false),
        (Key::Generated(join(CODES_PER_SLOT - 1, Slot(255))), false),
        (Key::Custom("my-code".into()), true),
    ];
    for (key, exists) in cases {
        assert_eq!(marks.may_exist(&key).await.unwrap(), exists, "{key:?}");
    }
}

#[tokio::test]
async fn a_lease_of_another_process_is_seen_at_once() {
    let (store, _directory) = sqlite().await;
    store.slot_of("rust").await.unwrap();
    let marks = HighMarks::new(store.clone(), &Codec::new(&PUBLIC_DEFAULT_KEY));
    for n in 0..5 {
        let key = Key::Generated(join(n, Slot(0)));
        assert!(!marks.may_exist(&key).await.unwrap());
        store.commit_lease("rust", n, n + 1).await.unwrap();
        assert!(marks.may_exist(&key).await.unwrap());
    }
}

#[tokio::test]
async fn a_thousand_guesses_share_a_query() {
    let (store, _directory) = sqlite().await;
    let marks = std::sync::Arc::new(HighMarks::new(store.clone(), &Codec::new(&PUBLIC_DEFAULT_KEY)));
    let mut guesses = JoinSet::new();
    for n in 0..1_000 {
        let marks = marks.clone();
        guesses.spawn(async move { marks.may_exist(&Key::Generated(join(n, Slot(9)))).await.unwrap() });
    }
    assert!(guesses.join_all().await.iter().all(|exists| !exists));
    let queries = store.statements().of(Kind::Monitor).attempts;
    assert!(queries <= 3, "{queries} queries");
}

#[tokio::test]
async fn unpartitioned_codes_may_all_exist() {
    let (store, _directory) = sqlite().await;
    let marks = HighMarks::new(store, &Codec::unpartitioned());
    assert!(marks.may_exist(&Key::Generated(CODES_PER_SLOT * 7)).await.unwrap());
}
