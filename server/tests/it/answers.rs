//! What PostgreSQL says to a statement is taken for what it means.

use std::sync::Arc;

use crate::app::App;
use crate::support::{END_OURS, Postgres};
use sqlx::{ConnectOptions, Executor};

const LINK: &str = r#"{"url":"https://example.com/"}"#;

#[tokio::test]
async fn what_a_pooler_says_of_a_dead_connection_is_no_refusal() {
    let postgres = Postgres::start().await;
    let app = App::start_on(&postgres.database("links").await, &[]);
    let mut owner = postgres.options("links").connect().await.unwrap();
    // Once: a sequence does not go back when a statement fails.
    owner
        .execute(
            "CREATE SEQUENCE asked;
             CREATE FUNCTION die_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('asked') = 1 THEN
                     RAISE EXCEPTION 'server conn crashed?' USING ERRCODE = '08P01';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER die_once BEFORE INSERT ON links FOR EACH ROW EXECUTE FUNCTION die_once()",
        )
        .await
        .unwrap();
    let created = app.post("/api/links", LINK);
    assert_eq!(created.status, 201, "whether it was stored was unknown, and is found out: {created:?}");
    let links: i64 = sqlx::query_scalar("SELECT count(*) FROM links").fetch_one(&mut owner).await.unwrap();
    assert_eq!(links, 1);
}

#[tokio::test]
async fn creates_go_on_once_the_database_takes_writes_again() {
    let postgres = Postgres::start().await;
    let app = Arc::new(App::start_on(&postgres.database("links").await, &[]));
    app.create("https://example.com/before");
    let mut owner = postgres.options("links").connect().await.unwrap();
    // As where connections lead to a standby, until it is made the primary.
    owner.execute("ALTER DATABASE links SET default_transaction_read_only = on").await.unwrap();
    owner.execute(END_OURS).await.unwrap();
    let asking = app.clone();
    let creating = tokio::task::spawn_blocking(move || asking.post("/api/links", LINK));
    // The first insert finds its connection dead, and what holds the lease for the next finds the database read-only.
    while app.metric("shortener_statement_failures_total{kind=\"lease\"}") < 1.0 {
        assert!(!creating.is_finished(), "it is tried again for as long as its client waits");
        tokio::task::yield_now().await;
    }
    owner.execute("ALTER DATABASE links RESET default_transaction_read_only").await.unwrap();
    let created = creating.await.unwrap();
    assert_eq!(created.status, 201, "{created:?}");
}

#[tokio::test]
async fn a_commit_is_on_disk_whatever_the_database_is_set_to() {
    let postgres = Postgres::start().await;
    let url = postgres.database("links").await;
    drop(App::start_on(&url, &[]));
    let mut owner = postgres.options("links").connect().await.unwrap();
    owner
        .execute(
            "ALTER DATABASE links SET synchronous_commit = off;
             CREATE TABLE seen (setting TEXT);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO seen VALUES (current_setting('synchronous_commit'));
                 RETURN NEW;
             END $$;
             CREATE TRIGGER see BEFORE INSERT ON links FOR EACH ROW EXECUTE FUNCTION see()",
        )
        .await
        .unwrap();
    let said = format!("{url}?options=-c%20synchronous_commit%3Dremote_apply");
    for url in [&url, &said] {
        App::start_on(url, &[]).create("https://example.com/");
    }
    let seen: Vec<(String,)> =
        sqlx::query_as("SELECT setting FROM seen").fetch_all(&mut owner).await.unwrap();
    assert_eq!(seen, [("on".to_owned(),), ("remote_apply".to_owned(),)]);
}
