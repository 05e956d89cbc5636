//! Redis that is slow, or away for one replica alone: changes are told before they are answered, and creates harm no cache.

use std::pin::Pin;
use std::time::Duration;

use crate::app::App;
use crate::proxy::Proxy;
use crate::support::Redis;
use futures_core::Stream;

const CHANNEL: &str = "proofload:changed";
const ANY: &str = "*";

/// Asks until it is so; that it never is is for the test runner to notice.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

fn redis_is_up(app: &App) -> bool {
    app.get("/health").json()["dependencies"][1]["up"] == true
}

/// A server that reaches Redis by a way of its own, and all that is said on Redis.
struct Apart {
    app: App,
    way: Proxy,
    /// The short way.
    beside: redis::aio::MultiplexedConnection,
    heard: redis::aio::PubSubStream,
    _kept: (Redis, tempfile::TempDir),
}

impl Apart {
    async fn start(delay: Duration, flags: &[&str]) -> Apart {
        let redis = Redis::start().await;
        let way = Proxy::start(redis.address(), delay).await;
        let directory = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", directory.path().join("links.db").display());
        let url = format!("redis://{}/", way.address);
        let app = App::start_on(&database, &[&["--redis-url", &url], flags].concat());
        let client = redis::Client::open(redis.url()).unwrap();
        let mut heard = client.get_async_pubsub().await.unwrap();
        heard.subscribe(CHANNEL).await.unwrap();
        until(|| redis_is_up(&app));
        let beside = client.get_multiplexed_async_connection().await.unwrap();
        Apart { app, way, beside, heard: heard.into_on_message(), _kept: (redis, directory) }
    }

    /// What is said next, heartbeats left out.
    async fn next(&mut self) -> String {
        loop {
            let heard = std::future::poll_fn(|context| Pin::new(&mut self.heard).poll_next(context));
            let said: String = heard.await.expect("Redis goes on").get_payload().unwrap();
            if !said.is_empty() {
                return said;
            }
        }
    }
}

fn body(code: &str) -> String {
    serde_json::json!({ "url": "https://example.com/", "code": code }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_before_it_is_answered() {
    for values in ["on", "off"] {
        let mut apart = Apart::start(Duration::from_millis(25), &["--redis-values", values]).await;
        // Again where Redis was too slow for the quarter of a second that an answer waits for it.
        for round in 0.. {
            let code = format!("changed-{round}");
            assert_eq!(apart.app.post("/api/links", &body(&code)).status, 201);
            while apart.next().await != code {}
            assert_eq!(apart.app.ask("DELETE", &format!("/api/links/{code}"), &[], "").status, 204);
            let publish = redis::cmd("PUBLISH").arg(CHANNEL).arg("mark").to_owned();
            publish.exec_async(&mut apart.beside).await.unwrap();
            let mut told = 0;
            loop {
                match apart.next().await.as_str() {
                    "mark" => break,
                    said => told += usize::from(said == code),
                }
            }
            // Before the change and after it, also by who keeps no links in Redis: others may.
            if told == 2 {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_that_cannot_be_told_empty_no_cache() {
    let mut apart = Apart::start(Duration::ZERO, &[]).await;
    apart.way.cut();
    let new = |n: usize| serde_json::json!({ "url": "https://example.com/", "code": format!("new-{n}") });
    let many = serde_json::Value::from_iter((0..50).map(new));
    assert_eq!(apart.app.post("/api/links/bulk", &many.to_string()).status, 200);
    until(|| !redis_is_up(&apart.app));
    apart.way.mend();
    until(|| redis_is_up(&apart.app));
    // Whatever there was to make good would be said before this.
    for n in 0.. {
        assert_eq!(apart.app.post("/api/links", &body(&format!("last-{n}"))).status, 201);
        let said = tokio::time::timeout(Duration::from_millis(100), apart.next()).await;
        match said.as_deref() {
            Ok(ANY) => panic!("nothing was changed while Redis was away"),
            Ok(code) if code.starts_with("last-") => break,
            _ => {}
        }
    }
}
