//! Backends: private ones count, break, come back and leave nothing; those that run already are left as they were.

use std::fs;
use std::path::Path;
use std::process::Command;
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

const CLAIM: &str = r#"
id = "few-statements"
statement = "creates share their statements"
[[check]]
kind = "upheld"
title = "≤ 1 statement per create"
scenario = "creates"
metric.ratio = { sum = ["postgres.statements"], per = ["client.created"] }
bound.at-most = 1
"#;
const SCENARIO: &str = r#"
name = "creates"
services = true
load.closed = { connections = 16 }
phases = { measurement_s = 3.2, slice_s = 0.1 }
variant.after = { design = "after" }
operation = [{ action = "create" }]
"#;

#[test]
fn servers_that_already_run_are_used_and_left_as_they_were() {
    let (postgres, redis) = (Postgres::spawn(&[]).unwrap(), Redis::spawn(&[]).unwrap());
    let url = postgres.create_database("theirs", None).unwrap();
    let ask = |words: &[&str]| -> String {
        let mut connection = ::redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection).unwrap()
    };
    block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE EXTENSION pg_stat_statements").execute(&mut connection).await.unwrap();
        sqlx::query("CREATE TABLE kept (id bigint)").execute(&mut connection).await.unwrap();
        sqlx::query("INSERT INTO kept VALUES (1), (2)").execute(&mut connection).await.unwrap();
    });
    ask(&["SET", "theirs", "kept"]);

    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("claim.toml"), CLAIM).unwrap();
    fs::write(directory.path().join("creates.toml"), SCENARIO).unwrap();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofload"));
        command.args(["check", "./claim.toml", "--out", "report", "--database-url", &url, "--redis-url"]);
        command.arg(redis.url()).current_dir(directory.path());
        let output = command.env("TMPDIR", directory.path()).output().unwrap();
        let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), told.join("\n"))
    };
    let (code, told) = check();
    assert_eq!(code, Some(0), "{told}");

    assert_eq!(rows(&url), 2, "their table is as it was");
    assert_eq!(ask(&["GET", "theirs"]), "kept");
    let keyspace = ask(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db0:keys=1,") && !keyspace.contains("db15"), "{keyspace}");
    let databases: i64 = block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let ours = "SELECT count(*) FROM pg_database WHERE datname LIKE 'proofload%'";
        sqlx::query_scalar(ours).fetch_one(&mut connection).await.unwrap()
    });
    assert_eq!(databases, 0, "ours are gone");

    // What would break them is refused before anything is started.
    let fault = "[[fault]]\nat_s = 1\ntarget = \"redis\"\naction = \"kill\"\n";
    fs::write(directory.path().join("creates.toml"), format!("{SCENARIO}{fault}")).unwrap();
    let (code, told) = check();
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("breaks Redis on purpose, and this one is not ours"), "{told}");
}
