//! Leases: no id twice, whatever becomes of keygen and Redis.

mod support;

use std::sync::Arc;

use clap::Parser;
use proofload_server::codes::CODES_PER_SLOT;
use proofload_server::keygen::{Allocator, KeygenArgs, Lease, LeaseSource, Leases, Stack, run_keygen};
use proofload_server::store::Store;
use serde_json::Value;
use support::{Postgres, Redis, connect, raise_file_limit, sqlite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

fn stack(name: &str) -> Stack {
    name.parse().unwrap()
}

fn assert_disjoint(mut leases: Vec<Lease>) {
    leases.sort_by_key(|lease| (lease.slot, lease.start));
    for pair in leases.windows(2) {
        assert!(pair[0].slot != pair[1].slot || pair[0].end <= pair[1].start, "{pair:?}");
    }
}

/// Several allocators lease at once while their Redis is disturbed again and again.
async fn lease_under(store: Store, redis: &Redis, disturbances: &[&[&str]]) {
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let allocator = Allocator::new(store.clone(), Some(&redis.url())).unwrap();
        tasks.spawn(async move {
            let mut leases = vec![];
            for size in 1..=100 {
                leases.push(allocator.allocate(&stack("rust"), size).await.unwrap());
            }
            leases
        });
    }
    let disturb = async {
        for disturbance in disturbances.iter().cycle() {
            redis.ask::<redis::Value>(disturbance).await;
        }
    };
    let leases = tokio::select! {
        leases = tasks.join_all() => leases.concat(),
        () = disturb => unreachable!("it goes on for ever"),
    };
    assert_eq!(leases.len(), 400);
    assert!(leases.iter().any(|lease| lease.source == LeaseSource::Redis));
    assert_disjoint(leases);
}

const COUNTER: &str = "id_allocator:url:rust";

#[tokio::test]
async fn no_id_twice_while_redis_is_flushed_restored_and_spoiled() {
    let redis = Redis::start().await;
    let disturbances: [&[&str]; 5] = [
        &["FLUSHALL"],
        &["SET", COUNTER, "7"],
        &["SET", COUNTER, "nonsense"],
        &["SET", COUNTER, "-500"],
        &["SET", COUNTER, "9000000000000000000"],
    ];
    let (store, _directory) = sqlite().await;
    lease_under(store, &redis, &disturbances).await;
    let postgres = Postgres::start().await;
    lease_under(connect(&postgres.database("links").await).await, &redis, &disturbances).await;
}

#[tokio::test]
async fn a_restored_dump_gives_no_id_again() {
    let mut redis = Redis::start().await;
    let (store, _directory) = sqlite().await;
    let allocator = Allocator::new(store, Some(&redis.url())).unwrap();
    let mut leases = vec![];
    leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    redis.ask::<redis::Value>(&["SAVE"]).await;
    for _ in 0..10 {
        leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    }
    // Killed without saving: it comes back with the counter as it was ten leases ago.
    redis.kill();
    leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    redis.restart().await;
    assert_eq!(redis.ask::<u64>(&["GET", COUNTER]).await, 1_000);
    while leases.last().unwrap().source != LeaseSource::Redis {
        leases.push(allocator.allocate(&stack("rust"), 1).await.unwrap());
    }
    for _ in 0..10 {
        leases.push(allocator.allocate(&stack("rust"), 1_000).await.unwrap());
    }
    assert_disjoint(leases);
}

#[tokio::test]
async fn a_counter_far_ahead_does_not_burn_the_slot() {
    let redis = Redis::start().await;
    let (store, _directory) = sqlite().await;
    let allocator = Allocator::new(store.clone(), Some(&redis.url())).unwrap();
    redis.ask::<redis::Value>(&["SET", COUNTER, "700000000000"]).await;
    let lease = allocator.allocate(&stack("rust"), 1_000).await.unwrap();
    assert_eq!((lease.start, lease.end, lease.source), (0, 1_000, LeaseSource::Redis));
    assert!(store.high_marks().await.unwrap()[0].high < CODES_PER_SLOT / 1_000);
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    keygen: KeygenArgs,
}

struct Keygen {
    address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Keygen {
    async fn start(database_url: &str, redis_url: Option<String>, listen: &str) -> Keygen {
        let redis = redis_url.iter().flat_map(|url| ["--redis-url", url]);
        Keygen::start_with(database_url, listen, &redis.collect::<Vec<_>>()).await
    }

    async fn start_with(database_url: &str, listen: &str, flags: &[&str]) -> Keygen {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let args = Line::parse_from([&["keygen", "--database-url", database_url], flags].concat()).keygen;
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            run_keygen(&args, listener, stopped, |address| ready.send(address).unwrap()).await
        });
        assert_eq!(is_ready.await.expect("it starts").to_string(), address);
        Keygen { address, stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Sends one request and returns the status, the content type and the body.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: keygen\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
        (status, kind.to_owned(), body.to_owned())
    }
}

async fn sqlite_url() -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (format!("sqlite:{}", directory.path().join("links.db").display()), directory)
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
    let url = format!("postgres://postgres@127.0.0.1:{}/links", support::free_port());
    let args = Line::parse_from(["keygen", "--database-url", &url]).keygen;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ready = |_| panic!("it has no database");
    let ended = run_keygen(&args, listener, std::future::pending(), ready).await;
    assert!(ended.unwrap_err().to_string().contains("keygen's database"));
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

#[test]
fn keygens_bad_settings_name_the_flag_and_the_remedy() {
    for (flags, said) in [
        (["--max-connections", "0"], "--max-connections 0: give 1 to 1000000"),
        (["--max-head", "100"], "--max-head 100: at least 8192"),
        (["--max-body", "10"], "--max-body 10: give 256 to 1M"),
        (["--store-timeout-ms", "0"], "--store-timeout-ms 0: give 1 to 3600000"),
    ] {
        let args = Line::parse_from([&["keygen", "--database-url", "sqlite:x"], &flags[..]].concat()).keygen;
        let error = proofload_server::keygen::serve(&args).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[tokio::test]
async fn a_redis_that_hangs_makes_no_keygen_look_dead() {
    let (url, _directory) = sqlite_url().await;
    let redis = Redis::start().await;
    let keygen = Keygen::start(&url, Some(redis.url()), "127.0.0.1:0").await;
    let address = format!("http://{}", keygen.address);
    let leases = Leases::new(connect(&url).await, stack("rust"), Some(&address), None).unwrap();
    redis.freeze();
    // A busy machine may miss its time now and then.
    while leases.keygen_up().await != Some(true) {}
    let (status, _, body) = keygen.ask("GET", "/health", "").await;
    let redis = &serde_json::from_str::<Value>(&body).unwrap()["redis"]["state"];
    assert_eq!((status, redis.as_str()), (200, Some("down")));
    keygen.stop().await;
}

#[tokio::test]
async fn leases_fall_back_and_return() {
    let (url, _directory) = sqlite_url().await;
    let store = connect(&url).await;
    let mut redis = Redis::start().await;
    let keygen = Keygen::start(&url, Some(redis.url()), "127.0.0.1:0").await;
    let address = keygen.address.clone();
    let keygen_url = format!("http://{address}");
    let leases = Leases::new(store, stack("rust"), Some(&keygen_url), Some(&redis.url())).unwrap();
    let mut given = vec![leases.lease(100).await.unwrap()];
    let mut last = |lease: Lease| {
        given.push(lease);
        given.last().unwrap().source
    };
    assert_eq!(last(leases.lease(100).await.unwrap()), LeaseSource::Keygen);
    keygen.stop().await;
    assert_eq!(leases.keygen_up().await, Some(false));
    assert_eq!(last(leases.lease(100).await.unwrap()), LeaseSource::Redis);
    redis.kill();
    assert_eq!(last(leases.lease(100).await.unwrap()), LeaseSource::Store);
    redis.restart().await;
    let keygen = Keygen::start(&url, Some(redis.url()), &address).await;
    // Each lease that does not come from keygen is made while keygen is being left alone.
    while last(leases.lease(1).await.unwrap()) != LeaseSource::Keygen {
        tokio::task::yield_now().await;
    }
    keygen.stop().await;
    assert_disjoint(given);
}

#[tokio::test]
async fn allocators_that_share_nothing_but_the_database_never_overlap() {
    let postgres = Postgres::start().await;
    let url = postgres.database("links").await;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let store = connect(&url).await;
        tasks.spawn(async move {
            let allocator = Arc::new(Allocator::new(store, None).unwrap());
            let name = stack(if n % 2 == 0 { "rust" } else { "python" });
            let mut leases = vec![];
            for size in 1..50 {
                leases.push(allocator.allocate(&name, size).await.unwrap());
            }
            leases
        });
    }
    assert_disjoint(tasks.join_all().await.into_iter().flatten().collect());
}
