//! Private backends: they count, they break, they come back, and nothing is left of them.

use std::path::Path;
use std::time::{Duration, Instant};

use proofload::services::{Postgres, Redis, Service};
use sqlx::{Connection, PgConnection};

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn ends_soon(pid: u32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while runs(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    !runs(pid)
}

fn pid(service: &Service) -> u32 {
    service.pids()()[0]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn rows(url: &str) -> i64 {
    block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut connection).await.unwrap()
    })
}

#[test]
fn postgres_keeps_what_it_acknowledged_when_it_is_killed() {
    let mut postgres = Postgres::spawn(&[]).unwrap();
    assert!(postgres.version().starts_with("PostgreSQL 1"), "{}", postgres.version());
    let url = postgres.create_database("shop", None).unwrap();
    block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE kept (id bigint)").execute(&mut connection).await.unwrap();
        sqlx::query("INSERT INTO kept VALUES (1), (2)").execute(&mut connection).await.unwrap();
        // The session is still there when the server is killed.
        let first = pid(postgres.service().unwrap());
        postgres.service().unwrap().kill();
        assert!(!runs(first));
        assert!(sqlx::query("SELECT 1").execute(&mut connection).await.is_err());
    });
    postgres.service().unwrap().start().unwrap();
    assert_eq!(rows(&url), 2);
    postgres.service().unwrap().restart().unwrap();
    assert_eq!(rows(&url), 2);
    let last = pid(postgres.service().unwrap());
    drop(postgres);
    assert!(ends_soon(last));
}

#[test]
fn redis_can_forget_crash_and_be_set_back() {
    let mut redis = Redis::spawn(&[]).unwrap();
    let url = redis.url();
    let ask = |words: &[&str]| -> i64 {
        let mut connection = ::redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection).unwrap()
    };
    assert!(redis.restore().is_err(), "there is no dump yet");
    assert_eq!(ask(&["INCRBY", "mark", "10"]), 10);
    redis.dump().unwrap();
    assert_eq!(ask(&["INCRBY", "mark", "10"]), 20);
    redis.service().unwrap().restart().unwrap();
    assert_eq!(ask(&["INCRBY", "mark", "0"]), 20, "an orderly end loses nothing");
    redis.restore().unwrap();
    assert_eq!(ask(&["INCRBY", "mark", "5"]), 15, "the dump was older");
    redis.service().unwrap().restart().unwrap();
    assert_eq!(ask(&["INCRBY", "mark", "0"]), 15, "after a restore it keeps what is new, too");
    redis.service().unwrap().kill();
    redis.service().unwrap().start().unwrap();
    redis.flush().unwrap();
    assert_eq!(ask(&["EXISTS", "mark"]), 0);
    let last = pid(redis.service().unwrap());
    drop(redis);
    assert!(ends_soon(last));
}
