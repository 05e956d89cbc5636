//! Keygen: what it answers, what it refuses, and what it survives.

use std::time::Duration;

use crate::keygens::{Keygen, Line, sqlite_url};
use crate::support::{Postgres, Redis, connect, raise_file_limit};
use clap::Parser;
use proofload_server::keygen::{LeaseSource, Leases, Stack, run_keygen};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything takes that comes to an end.
const PATIENCE: Duration = Duration::from_secs(60);

fn stack(name: &str) -> Stack {
    name.parse().unwrap()
}

#[tokio::test]
async fn keygen_allocates_over_http() {
    let (url, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&url, None, "127.0.0.1:0").await;
    let (status, kind, body) = keygen.ask("POST", "/allocate", r#"{"size": 500, "stack": "rust"}"#).await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let expected = serde_json::json!({ "stack": "rust", "slot": 0, "start": 0, "end": 500 });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    let (_, _, body) = keygen.ask("POST", "/allocate", r#"{"size": 1, "stack": "python"}"#).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["slot"], 1);

    let (status, _, body) = keygen.ask("GET", "/health", "").await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()["status"].as_str()), (200, Some("ok")));
    let (status, _, body) = keygen.ask("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    assert!(body.contains("\nkeygen_ids_total 501\n"), "{body}");
    assert!(body.contains("\nkeygen_slot_high{stack=\"rust\",slot=\"0\"} 500\n"), "{body}");
    keygen.stop().await;
}

#[tokio::test]
async fn keygen_refuses_what_is_no_request_for_a_lease() {
    let (url, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&url, None, "127.0.0.1:0").await;
    let long = format!(r#"{{"size": 1, "stack": "{}"}}"#, "x".repeat(10_000));
    let cases = [
        ("POST", "/allocate", "", 400),
        ("POST", "/allocate", "{", 400),
        ("POST", "/allocate", r#"{"stack": "rust"}"#, 422),
        ("POST", "/allocate", r#"{"size": 0, "stack": "rust"}"#, 422),
        ("POST", "/allocate", r#"{"size": 1000001, "stack": "rust"}"#, 422),
        ("POST", "/allocate", r#"{"size": -1, "stack": "rust"}"#, 422),
        ("POST", "/allocate", r#"{"size": 1.5, "stack": "rust"}"#, 422),
        ("POST", "/allocate", r#"{"size": 10, "stack": "R U S T"}"#, 422),
        ("POST", "/allocate", r#"{"size": 10, "stack": "rust", "slot": 3}"#, 422),
        ("POST", "/allocate", &long, 413),
        ("GET", "/allocate", "", 405),
        ("DELETE", "/health", "{}", 405),
        ("GET", "/nothing", "", 404),
    ];
    for (method, path, body, expected) in cases {
        let (status, kind, answer) = keygen.ask(method, path, body).await;
        assert_eq!((status, kind.as_str()), (expected, "application/problem+json"), "{method} {path} {body}");
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["status"], expected);
    }
    keygen.stop().await;
}

#[tokio::test]
async fn keygen_says_what_it_cannot_read() {
    let (url, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&url, None, "127.0.0.1:0").await;
    let many = format!("GET /health HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(120));
    for (request, expected) in [("no HTTP\r\n\r\n", 400), (many.as_str(), 431)] {
        let mut stream = TcpStream::connect(&keygen.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
        assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
    }
    keygen.stop().await;
}

#[tokio::test]
async fn keygen_says_that_it_listens_once_it_has_its_database_and_not_before() {
    let url = format!("postgres://postgres@127.0.0.1:{}/links", crate::support::free_port());
    let args = Line::parse_from(["keygen", "--database-url", &url]).keygen;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ready = |_| panic!("it has no database");
    let ended = run_keygen(&args, listener, std::future::pending(), ready).await;
    assert!(ended.unwrap_err().to_string().contains("start PostgreSQL there"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_with_its_flag_and_the_remedy() {
    let postgres = Postgres::start().await;
    let url = postgres.database("links").await.replace("/links", "/nowhere");
    let args = Line::parse_from(["keygen", "--database-url", &url]).keygen;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = run_keygen(&args, listener, std::future::pending(), |_| panic!("it has no database")).await;
    let told = ended.unwrap_err().to_string();
    assert!(
        told.starts_with("--database-url: ") && told.ends_with(": create that, or name another"),
        "{told}"
    );
}

#[tokio::test]
async fn keygen_ends_when_told_to_while_all_its_places_are_taken() {
    raise_file_limit();
    let (url, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&url, None, "127.0.0.1:0").await;
    let mut crowd = vec![];
    for _ in 0..1_100 {
        crowd.push(TcpStream::connect(&keygen.address).await.unwrap());
    }
    // Whoever is served can ask; the last ones wait for a place.
    let waits = crowd.last_mut().unwrap();
    waits.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = tokio::time::timeout(std::time::Duration::from_millis(300), waits.read_u8()).await;
    assert!(answer.is_err(), "there is no place left");
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(5), keygen.stop()).await;
    assert!(stopped.is_ok(), "it is heard at once, long before anybody's time is over");
}

#[tokio::test]
async fn who_waits_for_a_place_when_keygen_ends_is_answered() {
    let (url, _directory) = sqlite_url().await;
    let keygen = Keygen::start_with(&url, "127.0.0.1:0", &["--max-connections", "1"]).await;
    let mut first = TcpStream::connect(&keygen.address).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
    first.write_all(request).await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'H');
    let mut waits = TcpStream::connect(&keygen.address).await.unwrap();
    waits.write_all(request).await.unwrap();
    keygen.stop().await;
    let mut answer = String::new();
    waits.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn keygens_limits_are_those_that_were_set() {
    let (url, _directory) = sqlite_url().await;
    let flags = [
        "--max-body",
        "300",
        "--body-timeout-ms",
        "100",
        "--head-timeout-ms",
        "100",
        "--max-connections",
        "2",
    ];
    let keygen = Keygen::start_with(&url, "127.0.0.1:0", &flags).await;
    let long = format!(r#"{{"size": 1, "stack": "{}"}}"#, "x".repeat(300));
    assert_eq!(keygen.ask("POST", "/allocate", &long).await.0, 413);
    let mut slow = TcpStream::connect(&keygen.address).await.unwrap();
    slow.write_all(b"POST /allocate HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\n{").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // Two that say nothing take all places, until their time is over.
    let silent = [TcpStream::connect(&keygen.address).await, TcpStream::connect(&keygen.address).await];
    assert_eq!(keygen.ask("GET", "/health", "").await.0, 200);
    drop(silent);
    keygen.stop().await;
}

#[tokio::test]
async fn keygen_says_which_methods_a_path_has() {
    let (url, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&url, None, "127.0.0.1:0").await;
    for (request, first, allow) in [
        ("PUT /allocate", "HTTP/1.1 405 ", Some("POST")),
        ("POST /health", "HTTP/1.1 405 ", Some("GET, HEAD")),
        ("HEAD /metrics", "HTTP/1.1 200 ", None),
    ] {
        let mut stream = TcpStream::connect(&keygen.address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(first), "{answer}");
        let said = answer.lines().find_map(|line| line.strip_prefix("allow: "));
        assert_eq!(said, allow, "{answer}");
    }
    keygen.stop().await;
}

#[tokio::test]
async fn keygen_invites_nobody_to_send_what_it_refuses() {
    let (url, _directory) = sqlite_url().await;
    let keygen = Keygen::start(&url, None, "127.0.0.1:0").await;
    for (request, length, status) in
        [("PUT /allocate", 2, 405), ("POST /nothing", 2, 404), ("POST /allocate", 300_000_000, 413)]
    {
        let mut stream = TcpStream::connect(&keygen.address).await.unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    keygen.stop().await;
}

#[tokio::test]
async fn who_asks_and_never_reads_leaves_its_place_to_others() {
    let (url, _directory) = sqlite_url().await;
    let flags = ["--head-timeout-ms", "100", "--max-connections", "1"];
    let keygen = Keygen::start_with(&url, "127.0.0.1:0", &flags).await;
    let mut deaf = TcpStream::connect(&keygen.address).await.unwrap();
    let requests = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1_000);
    let asking = async { while deaf.write_all(requests.as_bytes()).await.is_ok() {} };
    let answered = async { assert_eq!(keygen.ask("GET", "/health", "").await.0, 200) };
    let both = async { tokio::join!(asking, answered) };
    tokio::time::timeout(PATIENCE, both).await.expect("its connection is ended, and another has the place");
    keygen.stop().await;
}

/// How many statements for leases keygen has sent.
fn leases_sent(metrics: &str) -> u64 {
    let count =
        metrics.lines().find_map(|line| line.strip_prefix("keygen_statements_total{kind=\"lease\"} "));
    count.expect("a count").parse().unwrap()
}

#[test]
fn keygens_bad_settings_name_the_flag_and_the_remedy() {
    for (flags, said) in [
        (["--max-connections", "0"], "--max-connections 0: give 1 to 1000000"),
        (["--max-head", "100"], "--max-head 100: give 8192 to 16777216"),
        (["--max-body", "10"], "--max-body 10: give 256 to 1M"),
        (["--store-timeout-ms", "0"], "--store-timeout-ms 0: give 1 to 3600000"),
    ] {
        let args = Line::parse_from([&["keygen", "--database-url", "sqlite:x"], &flags[..]].concat()).keygen;
        let error = proofload_server::keygen::serve(&args).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

/// A keygen whose Redis hangs, and who leases from it.
async fn on_frozen_redis(url: &str) -> (Keygen, Leases, Redis) {
    let redis = Redis::start().await;
    let keygen = Keygen::start(url, Some(redis.url()), "127.0.0.1:0").await;
    let address = format!("http://{}", keygen.address);
    let leases = Leases::new(connect(url).await, stack("rust"), Some(&address), None).unwrap();
    redis.freeze();
    (keygen, leases, redis)
}

#[tokio::test]
async fn a_redis_that_hangs_makes_no_keygen_look_dead() {
    let (url, _directory) = sqlite_url().await;
    let (keygen, leases, _redis) = on_frozen_redis(&url).await;
    // A busy machine may miss its time now and then.
    while leases.keygen_up().await != Some(true) {}
    let (status, _, body) = keygen.ask("GET", "/health", "").await;
    let redis = &serde_json::from_str::<Value>(&body).unwrap()["redis"]["state"];
    assert_eq!((status, redis.as_str()), (200, Some("down")));
    keygen.stop().await;
}

#[tokio::test]
async fn a_redis_that_refuses_is_told_as_down_until_it_counts_again() {
    let (url, _directory) = sqlite_url().await;
    let redis = Redis::start().await;
    let keygen = Keygen::start(&url, Some(redis.url()), "127.0.0.1:0").await;
    let lease = async || keygen.ask("POST", "/allocate", r#"{"size": 10, "stack": "rust"}"#).await.0;
    let state = async || {
        let (_, _, body) = keygen.ask("GET", "/health", "").await;
        serde_json::from_str::<Value>(&body).unwrap()["redis"]["state"].clone()
    };
    let refusals: [[&[&str]; 2]; 2] = [
        [&["ACL", "SETUSER", "default", "-incrby"], &["ACL", "SETUSER", "default", "+incrby"]],
        [&["CONFIG", "SET", "min-replicas-to-write", "1"], &["CONFIG", "SET", "min-replicas-to-write", "0"]],
    ];
    for [refuse, allow] in refusals {
        assert_eq!((lease().await, state().await), (200, "up".into()));
        redis.ask::<redis::Value>(refuse).await;
        assert_eq!((lease().await, state().await), (200, "down".into()), "{refuse:?}");
        assert!(keygen.ask("GET", "/metrics", "").await.2.contains("\nkeygen_redis_up 0\n"));
        redis.ask::<redis::Value>(allow).await;
    }
    assert_eq!((lease().await, state().await), (200, "up".into()));
    keygen.stop().await;
}

#[tokio::test]
async fn a_redis_that_hangs_leaves_keygen_the_time_to_lease() {
    let (url, _directory) = sqlite_url().await;
    let (keygen, leases, _redis) = on_frozen_redis(&url).await;
    // A busy machine may miss its time now and then.
    let leased = async { while leases.lease(1).await.unwrap().source != LeaseSource::Keygen {} };
    tokio::time::timeout(PATIENCE, leased).await.expect("a lease from keygen");
    keygen.stop().await;
}

#[test]
fn keygen_gives_redis_up_before_its_clients_give_keygen_up() {
    #[derive(Parser)]
    struct Server {
        #[command(flatten)]
        serve: proofload_server::config::ServeArgs,
    }
    let keygen = Line::parse_from(["keygen", "--database-url", "sqlite:x"]).keygen;
    let server = Server::parse_from(["serve"]).serve;
    assert!(keygen.limits.redis_timeout_ms * 2 <= server.limits.keygen_timeout_ms);
}

#[tokio::test]
async fn a_database_that_hangs_holds_no_metrics_back() {
    let postgres = Postgres::start().await;
    let url = postgres.database("links").await;
    let keygen = Keygen::start_with(&url, "127.0.0.1:0", &["--store-timeout-ms", "3600000"]).await;
    let lease = r#"{"size": 10, "stack": "rust"}"#;
    assert_eq!(keygen.ask("POST", "/allocate", lease).await.0, 200);
    postgres.freeze();
    let metrics = async || {
        let asked = keygen.ask("GET", "/metrics", "");
        tokio::time::timeout(PATIENCE, asked).await.expect("an answer without the database").2
    };
    let before = metrics().await;
    assert!(before.contains("keygen_ids_total 10") && !before.contains("keygen_slot_high"), "{before}");

    // Whoever gives up a lease that the database has been asked for does not undo it: it counts.
    let mut hasty = TcpStream::connect(&keygen.address).await.unwrap();
    let head = format!("POST /allocate HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", lease.len());
    hasty.write_all(format!("{head}{lease}").as_bytes()).await.unwrap();
    let sending = async { while leases_sent(&metrics().await) == leases_sent(&before) {} };
    tokio::time::timeout(PATIENCE, sending).await.expect("the database is asked");
    drop(hasty);
    metrics().await;
    postgres.thaw();
    let counted = async { while !metrics().await.contains("keygen_ids_total 20") {} };
    tokio::time::timeout(PATIENCE, counted).await.expect("the lease is counted");
    assert!(metrics().await.contains("keygen_slot_high{stack=\"rust\",slot=\"0\"} 20"));
    keygen.stop().await;
}
