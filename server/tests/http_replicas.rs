//! Replicas that share a database and Redis serve no link for long after it was changed elsewhere.

mod app;
mod support;

use app::App;
use support::Redis;

const LINK: &str = r#"{"url":"https://example.com/old","code":"shared-link"}"#;

fn location(app: &App) -> Option<String> {
    app.get("/shared-link").header("location").map(str::to_owned)
}

/// Asks until the answer is the one awaited; that it never comes is for the test runner to notice.
fn until(app: &App, awaited: Option<&str>) {
    while location(app).as_deref() != awaited {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn changes_reach_every_replica_with_redis_and_without() {
    let redis = Redis::start().await;
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", directory.path().join("links.db").display());
    let url = redis.url();
    let here = App::start_on(&database, &["--redis-url", &url]);
    let there = App::start_on(&database, &["--redis-url", &url]);
    assert_eq!(here.post("/api/links", LINK).status, 201);
    until(&there, Some("https://example.com/old"));

    here.ask("PATCH", "/api/links/shared-link", &[], r#"{"url":"https://example.com/new"}"#);
    until(&there, Some("https://example.com/new"));
    assert_eq!(there.get("/health").json()["status"], "ok");

    drop(redis);
    here.ask("PATCH", "/api/links/shared-link", &[], r#"{"url":"https://example.com/newer"}"#);
    until(&there, Some("https://example.com/newer"));
    here.ask("DELETE", "/api/links/shared-link", &[], "");
    until(&there, None);
    while there.get("/health").json()["status"] != "degraded" {
        std::thread::yield_now();
    }
}
