//! Replicas that share a database and Redis serve no link for long after it was changed elsewhere.

use std::time::{Duration, Instant};

use crate::app::App;
use crate::proxy::Proxy;
use crate::support::Redis;
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

const LINK: &str = r#"{"url":"https://example.com/old","code":"shared-link"}"#;
const PROCESS: &str = "shortener_lookups_total{level=\"process\"}";
const REDIS: &str = "shortener_lookups_total{level=\"redis\"}";
const STORE: &str = "shortener_lookups_total{level=\"store\"}";
const SELECTS: &str = "shortener_statements_total{kind=\"select\"}";

fn location(app: &App) -> Option<String> {
    app.get("/shared-link").header("location").map(str::to_owned)
}

/// A change is to be seen everywhere within one second. A busy machine is given more; what stays in a cache until it is too
/// old, or until someone else needs the room, takes longer than that.
const SOON: Duration = Duration::from_secs(10);

/// Asks until it is so.
fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "it should have been so long since");
        std::thread::yield_now();
    }
}

fn until_at(app: &App, awaited: Option<&str>) {
    until(|| location(app).as_deref() == awaited);
}

/// A database for replicas; it goes with its directory.
fn database() -> (String, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (format!("sqlite:{}", directory.path().join("links.db").display()), directory)
}

/// Asks for links that nobody has yet until one that `first` read comes to `second` by way of Redis: from then on both
/// trust it. Returns that link's path.
fn until_shared(first: &App, second: &App) -> String {
    loop {
        let path = format!("/{}", first.create("https://example.com/shared"));
        first.ask("DELETE", "/api/cache", &[], "");
        assert_eq!(first.get(&path).status, 302);
        let before = second.metric(REDIS);
        assert_eq!(second.get(&path).status, 302);
        if second.metric(REDIS) > before {
            return path;
        }
    }
}

#[tokio::test]
async fn changes_reach_every_replica_with_redis_and_without() {
    let (database, _directory) = database();
    for values in ["on", "off"] {
        let redis = Redis::start().await;
        let flags = ["--redis-url", &redis.url(), "--redis-values", values];
        let here = App::start_on(&database, &flags);
        let there = App::start_on(&database, &flags);
        assert_eq!(here.post("/api/links", LINK).status, 201);
        until_at(&there, Some("https://example.com/old"));

        here.ask("PATCH", "/api/links/shared-link", &[], r#"{"url":"https://example.com/new"}"#);
        until_at(&there, Some("https://example.com/new"));
        assert_eq!(there.get("/health").json()["status"], "ok");

        drop(redis);
        here.ask("PATCH", "/api/links/shared-link", &[], r#"{"url":"https://example.com/newer"}"#);
        until_at(&there, Some("https://example.com/newer"));
        here.ask("DELETE", "/api/links/shared-link", &[], "");
        until_at(&there, None);
        until(|| there.get("/health").json()["status"] == "degraded");
    }
}

#[tokio::test]
async fn what_one_replica_read_the_other_finds_in_redis() {
    let redis = Redis::start().await;
    let (database, _directory) = database();
    let flags = ["--redis-url", &redis.url(), "--warm", "none"];
    let here = App::start_on(&database, &flags);
    let there = App::start_on(&database, &flags);
    let path = until_shared(&here, &there);
    let counts = |app: &App| [PROCESS, REDIS, STORE, SELECTS].map(|name| app.metric(name));

    let before = counts(&there);
    (0..3).for_each(|_| assert_eq!(there.get(&path).status, 302));
    let after = counts(&there);
    assert_eq!(after[0] - before[0], 3.0, "by now it is in the process");
    assert_eq!(after[1..], before[1..]);
    assert_eq!(after[2], after[3], "each look-up that went to the store is one statement");

    there.ask("DELETE", &format!("/api/links{path}"), &[], "");
    assert_eq!(there.get(&path).status, 404);
    until(|| here.get(&path).status == 404);
    here.get(&path).is_problem(404);
}

#[tokio::test]
async fn a_replica_that_hears_nothing_forgets_everything() {
    let redis = Redis::start().await;
    let (database, _directory) = database();
    let store = crate::support::connect(&database).await;
    store.insert_custom("shared-link", "https://example.com/old", 0, None, 0).await.unwrap();
    let app = App::start_on(&database, &["--redis-url", &redis.url(), "--redis-values", "off"]);
    until(|| {
        app.get("/shared-link");
        app.metric("shortener_cache_entries") == 1.0
    });
    // Someone changes the link and tells nobody: a message that was lost.
    let patch = proofload_server::store::Patch { url: Some("https://example.com/new".into()), expires: None };
    store.update(&proofload_server::codes::Key::Custom("shared-link".into()), &patch).await.unwrap();
    assert_eq!(location(&app).as_deref(), Some("https://example.com/old"), "it is cached");
    let _: i64 = redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    until_at(&app, Some("https://example.com/new"));
    // What was emptied is warmed again, without a look-up that asks for it.
    until(|| app.metric("shortener_warmings_total") >= 2.0);
}

#[tokio::test]
async fn a_warming_that_failed_is_made_up_for() {
    let redis = Redis::start().await;
    let (database, directory) = database();
    let app = App::start_on(&database, &["--redis-url", &redis.url(), "--redis-values", "off"]);
    let options = SqliteConnectOptions::new().filename(directory.path().join("links.db"));
    let mut beside = options.connect().await.unwrap();
    beside.execute("ALTER TABLE links RENAME TO away").await.unwrap();
    let _: i64 = redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    until(|| app.metric("shortener_statement_failures_total{kind=\"warm\"}") >= 1.0);
    let before = app.metric("shortener_warmings_total");
    beside.execute("ALTER TABLE away RENAME TO links").await.unwrap();
    // No look-up shows that the cache is cold.
    until(|| app.metric("shortener_warmings_total") > before);
}

#[tokio::test]
async fn a_redis_that_hangs_fails_no_redirect() {
    let redis = Redis::start().await;
    let (database, _directory) = database();
    let flags = ["--redis-url", &redis.url(), "--warm", "none", "--redis-timeout-ms", "20"];
    let here = App::start_on(&database, &flags);
    let there = App::start_on(&database, &flags);
    let path = until_shared(&here, &there);
    redis.freeze();
    for _ in 0..3 {
        assert_eq!(there.ask("DELETE", "/api/cache", &[], "").status, 204);
        assert_eq!(there.get(&path).status, 302);
    }
    let patch = r#"{"url":"https://example.com/changed"}"#;
    assert_eq!(here.ask("PATCH", &format!("/api/links{path}"), &[], patch).status, 200);
    until(|| there.get(&path).header("location") == Some("https://example.com/changed"));
    redis.thaw();
    // What Redis still holds from before is taken out before anyone believes it again.
    let second = until_shared(&here, &there);
    assert_eq!(there.get(&path).header("location"), Some("https://example.com/changed"));
    assert_ne!(path, second);
}

#[tokio::test]
async fn a_redis_that_refuses_brings_no_deleted_link_back() {
    let redis = Redis::start().await;
    let rule = async |rule: &str| redis.ask::<()>(&["ACL", "SETUSER", "default", rule]).await;
    let (database, _directory) = database();
    let flags = ["--redis-url", &redis.url(), "--warm", "none"];
    let here = App::start_on(&database, &flags);
    let there = App::start_on(&database, &flags);
    let path = until_shared(&here, &there);
    // From here on what is cached in Redis can be read, and not be taken out.
    rule("-eval").await;
    assert_eq!(here.ask("DELETE", &format!("/api/links{path}"), &[], "").status, 204);
    until(|| there.get(&path).status == 404);
    let stays_deleted = |time| {
        let begun = Instant::now();
        while begun.elapsed() < time {
            assert_eq!(there.ask("DELETE", "/api/cache", &[], "").status, 204);
            assert_eq!(there.get(&path).status, 404);
        }
    };
    stays_deleted(Duration::from_millis(1_500));
    rule("+eval").await;
    // Nobody asks for it, or empties anything, until it was taken out.
    let key = format!("proofload:link:*:{}", &path[1..]);
    let begun = Instant::now();
    while !redis.ask::<Vec<String>>(&["KEYS", &key]).await.is_empty() {
        assert!(begun.elapsed() < SOON, "{key} should have been taken out");
    }
    until_shared(&here, &there);
    assert_eq!(there.get(&path).status, 404);
}

#[tokio::test]
async fn who_keeps_no_links_in_redis_takes_those_of_others_out() {
    let redis = Redis::start().await;
    let (database, _directory) = database();
    let url = redis.url();
    let flags = ["--redis-url", &url, "--warm", "none"];
    let [here, there] = [&flags, &flags].map(|flags| App::start_on(&database, flags));
    let apart = App::start_on(&database, &["--redis-url", &url, "--warm", "none", "--redis-values", "off"]);
    let path = until_shared(&here, &there);
    assert_eq!(apart.ask("DELETE", &format!("/api/links{path}"), &[], "").status, 204);
    until(|| there.get(&path).status == 404);
    let key = format!("proofload:link:*:{}", &path[1..]);
    let keys: Vec<String> = redis.ask(&["KEYS", &key]).await;
    for key in keys {
        let held: Option<String> = redis.ask(&["GET", &key]).await;
        // A lease of who reads the database for it just now may stand there, and nothing else.
        assert!(held.iter().all(|held| held.starts_with('l')), "{held:?}");
    }
}

#[tokio::test]
async fn changes_are_told_by_a_redis_whose_run_is_unknown() {
    let redis = Redis::start().await;
    redis.ask::<()>(&["ACL", "SETUSER", "default", "-info"]).await;
    let (database, _directory) = database();
    let flags = ["--redis-url", &redis.url()];
    let here = App::start_on(&database, &flags);
    let there = App::start_on(&database, &flags);
    assert_eq!(here.post("/api/links", LINK).status, 201);
    until_at(&there, Some("https://example.com/old"));
    here.ask("DELETE", "/api/links/shared-link", &[], "");
    until_at(&there, None);
}

/// What Redis holds of the link, tombstones and leases left out.
async fn values(redis: &Redis) -> usize {
    let mut values = 0;
    for key in redis.ask::<Vec<String>>(&["KEYS", "proofload:link:*:shared-link"]).await {
        let held: Option<String> = redis.ask(&["GET", &key]).await;
        values += usize::from(held.is_some_and(|held| held.starts_with('v')));
    }
    values
}

/// Where someone listens on Redis, asks a replica until it has the link from before in its table, and Redis too where it may.
async fn until_cached_at(app: &App, redis: &Redis, is_shared: bool) {
    while redis.ask::<Vec<(String, u64)>>(&["PUBSUB", "NUMSUB", "proofload:changed"]).await[0].1 == 0 {}
    until(|| app.get("/health").json()["status"] == "ok");
    let begun = Instant::now();
    while is_shared && values(redis).await == 0 {
        assert!(begun.elapsed() < SOON, "Redis should have the link by now");
        app.ask("DELETE", "/api/cache", &[], "");
        assert_eq!(location(app).as_deref(), Some("https://example.com/old"));
    }
    until(|| {
        let before = app.metric(PROCESS);
        assert_eq!(location(app).as_deref(), Some("https://example.com/old"));
        app.metric(PROCESS) > before
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_to_another_redis_last_tells_those_who_moved_before() {
    for is_shared in [true, false] {
        let (from, to) = (Redis::start().await, Redis::start().await);
        let (database, _directory) = database();
        let start = async |values| {
            let way = Proxy::start(from.address(), Duration::ZERO).await;
            let url = format!("redis://{}/", way.address);
            let flags = ["--redis-url", &url, "--warm", "none", "--redis-values", values];
            (App::start_on(&database, &flags), way)
        };
        let values_are = if is_shared { "on" } else { "off" };
        let ((here, my_way), (there, other_way)) = (start(values_are).await, start(values_are).await);
        assert_eq!(here.post("/api/links", LINK).status, 201);
        other_way.turn_to(to.address());
        until_cached_at(&there, &to, is_shared).await;

        assert_eq!(here.ask("DELETE", "/api/links/shared-link", &[], "").status, 204);
        assert_eq!(
            location(&there).as_deref(),
            Some("https://example.com/old"),
            "told where it does not listen"
        );
        my_way.turn_to(to.address());
        until_at(&there, None);
        let begun = Instant::now();
        while values(&to).await > 0 {
            assert!(begun.elapsed() < SOON, "Redis should not have the link any more");
        }
        if is_shared {
            // Trusted again by both, it brings nothing back.
            until_shared(&here, &there);
        }
        assert_eq!(location(&there), None);
    }
}

#[tokio::test]
async fn who_ends_tells_first_what_could_not_be_told_before() {
    let redis = Redis::start().await;
    let rules = async |rules: &[&str]| {
        redis.ask::<()>(&[&["ACL", "SETUSER", "leaver"], rules].concat()).await;
    };
    rules(&["on", ">word", "~*", "&*", "+@all"]).await;
    let (database, _directory) = database();
    let there = App::start_on(&database, &["--redis-url", &redis.url(), "--warm", "none"]);
    let leavers = redis.url().replace("//", "//leaver:word@");
    let mut here = App::start_on(&database, &["--redis-url", &leavers, "--warm", "none"]);
    assert_eq!(there.post("/api/links", LINK).status, 201);
    until_cached_at(&there, &redis, false).await;

    rules(&["-publish", "-eval"]).await;
    assert_eq!(here.ask("DELETE", "/api/links/shared-link", &[], "").status, 204);
    here.begin_to_stop();
    until(|| std::net::TcpStream::connect(here.address).is_err());
    assert_eq!(location(&there).as_deref(), Some("https://example.com/old"), "nobody could tell");
    rules(&["+publish", "+eval"]).await;
    here.stop();
    until_at(&there, None);
}

#[tokio::test]
async fn who_cannot_tell_ends_all_the_same() {
    let redis = Redis::start().await;
    let (database, _directory) = database();
    let flags = ["--redis-url", &redis.url(), "--drain-timeout-ms", "300"];
    let app = App::start_on(&database, &flags);
    assert_eq!(app.post("/api/links", LINK).status, 201);
    drop(redis);
    assert_eq!(app.ask("DELETE", "/api/links/shared-link", &[], "").status, 204);
    app.stop();
}

#[test]
fn without_redis_what_is_cached_has_an_age() {
    let (database, _directory) = database();
    let here = App::start_on(&database, &[]);
    let there = App::start_on(&database, &["--cache-max-age", "1"]);
    assert_eq!(here.post("/api/links", LINK).status, 201);
    until_at(&there, Some("https://example.com/old"));
    here.ask("PATCH", "/api/links/shared-link", &[], r#"{"url":"https://example.com/new"}"#);
    until_at(&there, Some("https://example.com/new"));
}
