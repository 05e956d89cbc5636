//! Clicks are counted once, whatever becomes of their links and of the statements that store them.

use crate::app::App;
use crate::support::{END_OURS, Postgres};
use proofload_server::codes::{Codec, Key, PUBLIC_DEFAULT_KEY};
use sqlx::{ConnectOptions, Executor, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

const FLUSHED: &str = "shortener_clicks_flushed_total";
const ORPHANED: &str = "shortener_clicks_orphaned_total";

/// A server, and a second way into its database.
async fn start() -> (App, SqliteConnection, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("links.db");
    let app = App::start_on(&format!("sqlite:{}", file.display()), &[]);
    let beside = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    (app, beside, directory)
}

/// Asks until it is so; that it never is is for the test runner to notice.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

fn click(app: &App, code: &str, times: usize) {
    let mut client = app.connect();
    (0..times).for_each(|_| assert_eq!(client.ask("GET", &format!("/{code}"), &[], "").status, 302));
}

#[tokio::test]
async fn clicks_of_links_that_are_gone_are_not_flushed() {
    let (app, mut beside, _directory) = start().await;
    let (kept, gone) = (app.create("https://example.com/kept"), app.create("https://example.com/gone"));
    app.post("/api/links", r#"{"url":"https://example.com/","code":"gone-too"}"#);
    click(&app, "gone-too", 1);
    until(|| app.metric(FLUSHED) == 1.0);
    // Nobody tells the server, so that it still answers from its cache.
    let Some(Key::Generated(id)) = Codec::new(&PUBLIC_DEFAULT_KEY).key(&gone) else {
        panic!("a generated code")
    };
    sqlx::query("DELETE FROM links WHERE id = $1").bind(id.cast_signed()).execute(&mut beside).await.unwrap();
    beside.execute("DELETE FROM custom_links").await.unwrap();
    click(&app, &kept, 3);
    click(&app, &gone, 4);
    click(&app, "gone-too", 5);
    until(|| app.metric(FLUSHED) + app.metric(ORPHANED) == 13.0);
    assert_eq!((app.metric(FLUSHED), app.metric(ORPHANED)), (4.0, 9.0));
}

#[tokio::test]
async fn the_last_clicks_are_stored_though_their_connection_died_meanwhile() {
    let postgres = Postgres::start().await;
    let app = App::start_on(&postgres.database("links").await, &["--drain-grace-ms", "0"]);
    let code = app.create("https://example.com/");
    click(&app, &code, 1);
    until(|| app.metric(FLUSHED) == 1.0);
    let mut owner = postgres.options("links").connect().await.unwrap();
    owner.execute(END_OURS).await.unwrap();
    click(&app, &code, 1);
    app.stop();
    let clicks: i64 = sqlx::query_scalar("SELECT clicks FROM links").fetch_one(&mut owner).await.unwrap();
    assert_eq!(clicks, 2);
}

#[tokio::test]
async fn what_one_statement_stored_is_not_stored_again_when_the_other_fails() {
    let (app, mut beside, _directory) = start().await;
    let code = app.create("https://example.com/");
    app.post("/api/links", r#"{"url":"https://example.com/","code":"my-code"}"#);
    click(&app, "my-code", 1);
    until(|| app.metric(FLUSHED) == 1.0);
    beside.execute("ALTER TABLE custom_links RENAME TO away").await.unwrap();
    click(&app, &code, 3);
    click(&app, "my-code", 2);
    until(|| app.metric("shortener_statement_failures_total{kind=\"clicks\"}") >= 2.0);
    assert_eq!(app.metric(FLUSHED), 4.0);
    beside.execute("ALTER TABLE away RENAME TO custom_links").await.unwrap();
    until(|| app.metric(FLUSHED) == 6.0);
    let clicks = |code: &str| app.get(&format!("/api/links/{code}")).json()["clicks"].clone();
    assert_eq!((clicks(&code), clicks("my-code")), (3.into(), 3.into()));
}
