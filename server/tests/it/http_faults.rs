//! A real process under faults: ended, killed, short of disk, its database locked. What it acknowledged is kept.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::app::{Client, Reply};
use crate::process::Process;
use crate::support::{Postgres, connect, raise_file_limit};
use proofload_server::codes::{Codec, PUBLIC_DEFAULT_KEY};
use proofload_server::store::Store;
use sqlx::{ConnectOptions, Connection, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

#[test]
fn child() {
    crate::process::serve_if_child();
}

fn sqlite() -> (String, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (format!("sqlite:{}", directory.path().join("links.db").display()), directory)
}

fn start(database: &str, flags: &[&str]) -> Process {
    Process::start("http_faults::child", &[&["--database-url", database], flags].concat())
}

fn create(client: &mut Client, url: &str) -> Option<Reply> {
    client.try_ask("POST", "/api/links", &[], &serde_json::json!({ "url": url }).to_string())
}

fn code(reply: &Reply) -> String {
    reply.json()["code"].as_str().unwrap().to_owned()
}

/// Creates links from several clients at once, each URL once, until `is_enough` of those that were acknowledged; returns
/// these as code and URL.
fn create_until(
    process: &Process,
    round: usize,
    is_enough: impl Fn(usize) -> bool + Sync,
) -> Vec<(String, String)> {
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (acknowledged, is_enough) = (&acknowledged, &is_enough);
            scope.spawn(move || {
                let mut connection = process.connect();
                for n in 0.. {
                    let url = format!("https://example.com/{round}/{client}/{n}");
                    let Some(reply) = create(&mut connection, &url) else { return };
                    assert_eq!(reply.status, 201, "{reply:?}");
                    let mut acknowledged = acknowledged.lock().unwrap();
                    acknowledged.push((code(&reply), url));
                    if is_enough(acknowledged.len()) {
                        return;
                    }
                }
            });
        }
    });
    acknowledged.into_inner().unwrap()
}

/// Asserts that each acknowledged link is in the store as it was acknowledged, and no URL twice.
async fn assert_kept(store: &Store, acknowledged: &[(String, String)]) {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    for (code, url) in acknowledged {
        let link = store.find(&codec.key(code).unwrap()).await.unwrap();
        assert_eq!(link.map(|link| link.url).as_ref(), Some(url), "{code} was acknowledged");
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    let all = store.count().await.unwrap() as usize;
    store.hottest(all, |link| *times.entry(link.url).or_default() += 1).await.unwrap();
    assert_eq!(times.values().sum::<usize>(), all);
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

async fn a_killed_server_keeps_its_word(database: &str) {
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        let process = start(database, &[]);
        acknowledged.extend(create_until(&process, round, |count| {
            if count == 300 {
                process.signal(libc::SIGKILL);
            }
            false
        }));
    }
    assert!(acknowledged.len() >= 600, "{}", acknowledged.len());
    assert_kept(&connect(database).await, &acknowledged).await;
}

#[tokio::test]
async fn killed_mid_batch_on_sqlite() {
    let (database, _directory) = sqlite();
    a_killed_server_keeps_its_word(&database).await;
}

#[tokio::test]
async fn killed_mid_batch_on_postgresql() {
    let postgres = Postgres::start().await;
    a_killed_server_keeps_its_word(&postgres.database("killed").await).await;
}

/// Sends one kind of request after another on one connection until the server says that it ends it; each is answered.
fn until_told_to_close(mut client: Client, mut ask: impl FnMut(&mut Client) -> Option<Reply>) {
    loop {
        let reply = ask(&mut client).expect("no accepted request is cut");
        if reply.header("connection") == Some("close") {
            return assert!(client.reply().is_none(), "it closes, as it said");
        }
    }
}

#[tokio::test]
async fn told_to_end_under_load_it_cuts_no_request() {
    let (database, _directory) = sqlite();
    let mut process = start(&database, &[]);
    let reply = create(&mut process.connect(), "https://example.com/followed").unwrap();
    let path = format!("/{}", code(&reply));
    let (acknowledged, answered) = (Mutex::new(vec![]), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (path, acknowledged, answered, connection) =
                (&path, &acknowledged, &answered, process.connect());
            let mut n = 0;
            scope.spawn(move || {
                until_told_to_close(connection, |connection| {
                    n += 1;
                    answered.fetch_add(1, Relaxed);
                    if client % 2 == 0 {
                        let reply = connection.try_ask("GET", path, &[], "")?;
                        assert_eq!(reply.status, 302);
                        return Some(reply);
                    }
                    let url = format!("https://example.com/{client}/{n}");
                    let reply = create(connection, &url)?;
                    assert_eq!(reply.status, 201, "{reply:?}");
                    acknowledged.lock().unwrap().push((code(&reply), url));
                    Some(reply)
                });
            });
        }
        while answered.load(Relaxed) < 200 {
            std::thread::yield_now();
        }
        process.signal(libc::SIGTERM);
    });
    assert_eq!(process.wait().code(), Some(0));
    assert_kept(&connect(&database).await, &acknowledged.into_inner().unwrap()).await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_got_over() {
    let (database, _directory) = sqlite();
    let process = start(&database, &[]);
    let mut client = process.connect();
    let mut acknowledged = vec![];
    let mut n = 0;
    let mut next = |client: &mut Client| {
        n += 1;
        let url = format!("https://example.com/{n}/{}", "x".repeat(1_500));
        let reply = create(client, &url).expect("an answer");
        (reply, url)
    };
    for _ in 0..50 {
        let (reply, url) = next(&mut client);
        acknowledged.push((code(&reply), url));
    }
    process.limit_files(Some(400_000));
    let refused = loop {
        let (reply, url) = next(&mut client);
        if reply.status != 201 {
            break reply;
        }
        acknowledged.push((code(&reply), url));
    };
    assert!((500..600).contains(&refused.status), "{refused:?}");
    refused.is_problem(refused.status);
    let cached = client.ask("GET", &format!("/{}", acknowledged[0].0), &[], "");
    assert_eq!(cached.header("location"), Some(&*acknowledged[0].1), "redirects go on");
    process.limit_files(None);
    let (reply, url) = next(&mut client);
    assert_eq!(reply.status, 201, "{reply:?}");
    acknowledged.push((code(&reply), url));
    drop(process);
    assert_kept(&connect(&database).await, &acknowledged).await;
}

/// With the database locked by someone else: what is cached is served, what waits is bounded, and told so.
async fn a_locked_database(database: &str, lock: impl AsyncFnOnce(), release: impl AsyncFnOnce()) {
    let flags = ["--store-timeout-ms", "300", "--max-queue", "4", "--warm", "none"];
    let process = start(database, &flags);
    let reply = create(&mut process.connect(), "https://example.com/cached").unwrap();
    let path = format!("/{}", code(&reply));
    lock().await;
    let (refused, answered, is_free) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let acknowledged = Mutex::new(vec![]);
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            for n in 0..24 {
                let (process, refused, answered, acknowledged) =
                    (&process, &refused, &answered, &acknowledged);
                scope.spawn(move || {
                    let url = format!("https://example.com/waiting/{n}");
                    let reply = create(&mut process.connect(), &url).expect("an answer");
                    match reply.status {
                        201 => acknowledged.lock().unwrap().push((code(&reply), url)),
                        _ => {
                            assert!(reply.is_problem(503).header("retry-after").is_some());
                            refused.fetch_add(1, Relaxed);
                        }
                    }
                    answered.fetch_add(1, Relaxed);
                });
            }
            scope.spawn(|| {
                let mut client = process.connect();
                while !is_free.load(Relaxed) {
                    assert_eq!(client.ask("GET", &path, &[], "").status, 302);
                }
            });
            // The queue is full long before the first statement is given up.
            while refused.load(Relaxed) < 10 {
                std::thread::yield_now();
            }
            is_free.store(true, Relaxed);
            tokio::runtime::Handle::current().block_on(release());
        });
    });
    assert_eq!(answered.load(Relaxed), 24);
    let reply = create(&mut process.connect(), "https://example.com/after").unwrap();
    assert_eq!(reply.status, 201, "{reply:?}");
    drop(process);
    assert_kept(&connect(database).await, &acknowledged.into_inner().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite() {
    let (database, directory) = sqlite();
    connect(&database).await;
    let options = SqliteConnectOptions::new().filename(directory.path().join("links.db"));
    let other = tokio::sync::Mutex::new(options.connect().await.unwrap());
    a_locked_database(
        &database,
        async || {
            other.lock().await.execute("BEGIN IMMEDIATE").await.unwrap();
        },
        async || {
            other.lock().await.execute("ROLLBACK").await.unwrap();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_postgresql() {
    let postgres = Postgres::start().await;
    let database = postgres.database("locked").await;
    connect(&database).await;
    let other = tokio::sync::Mutex::new(postgres.options("locked").connect().await.unwrap());
    a_locked_database(
        &database,
        async || {
            let mut other = other.lock().await;
            other.execute("BEGIN").await.unwrap();
            other.execute("LOCK TABLE links IN ACCESS EXCLUSIVE MODE").await.unwrap();
        },
        async || {
            other.lock().await.execute("ROLLBACK").await.unwrap();
        },
    )
    .await;
    other.into_inner().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_have_made_what_they_asked_for_and_it_is_counted() {
    let (database, directory) = sqlite();
    // However slow the disk is, nothing is given up.
    let process = start(&database, &["--warm", "none", "--store-timeout-ms", "3600000"]);
    let watcher = Mutex::new(process.connect());
    let metric = |name: &str| {
        let metrics = watcher.lock().unwrap().ask("GET", "/metrics", &[], "").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        line.parse::<usize>().unwrap()
    };
    let options = SqliteConnectOptions::new().filename(directory.path().join("links.db"));
    let mut other = options.connect().await.unwrap();
    create(&mut process.connect(), "https://example.com/").unwrap();
    // Two blocks are at hand, so that no lease comes in between.
    until(|| metric("shortener_allocations_total{source=\"store\"}") == 2);
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut clients: Vec<Client> = (0..10).map(|_| process.connect()).collect();
    let body = r#"{"url":"https://example.com/"}"#;
    let head = format!("POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: {}", body.len());
    let (first, rest) = clients.split_first_mut().unwrap();
    first.send(&format!("{head}\r\n\r\n{body}"));
    // One waits for the lock, and the others for their turn.
    until(|| metric("shortener_statements_total{kind=\"insert\"}") == 2);
    rest.iter_mut().for_each(|client| client.send(&format!("{head}\r\n\r\n{body}")));
    until(|| metric("shortener_insert_queue_rows") == 9);
    for client in &mut clients {
        client.hang_up();
        assert!(client.reply().is_none(), "the server has hung up too");
    }
    other.execute("ROLLBACK").await.unwrap();
    until(|| metric("shortener_creates_total{result=\"created\"}") == 11);
    assert_eq!(connect(&database).await.count().await.unwrap(), 11);
}

/// Asks until it is so; that it never is is for the test runner to notice.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

/// More clients than the process may have files.
#[tokio::test(flavor = "multi_thread")]
async fn short_of_files_it_keeps_some_for_the_database() {
    const CLIENTS: usize = 120;
    let postgres = Postgres::start().await;
    let database = postgres.database("files").await;
    let flags = ["--database-url", &database, "--warm", "none"];
    let (process, said) = Process::start_short_of_files("http_faults::child", &flags, 100);
    let about: Vec<&str> = said.lines().filter(|line| line.contains("ulimit -n")).collect();
    assert!(matches!(about[..], [line] if line.contains("--max-connections")), "{said}");
    let clients: Vec<Client> = (0..CLIENTS).map(|_| process.connect()).collect();
    let mut taken = Vec::new();
    for mut client in clients {
        match client.ask("GET", "/health", &[], "") {
            reply if reply.status == 200 => taken.push(client),
            reply => assert!(reply.is_problem(503).header("retry-after").is_some()),
        }
    }
    assert!((10..100).contains(&taken.len()), "{} of {CLIENTS}", taken.len());
    // Each of them wants a connection to the database, which were not all open before.
    std::thread::scope(|scope| {
        for (n, client) in taken.iter_mut().enumerate() {
            scope.spawn(move || {
                let body = format!(r#"{{"url":"https://example.com/","code":"custom-{n}"}}"#);
                assert_eq!(client.ask("POST", "/api/links", &[], &body).status, 201);
                assert_eq!(client.ask("GET", &format!("/api/links/custom-{n}"), &[], "").status, 200);
            });
        }
    });
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_harm_nobody() {
    const IDLE: usize = 10_000;
    raise_file_limit();
    let (database, _directory) = sqlite();
    let process = start(&database, &[]);
    let reply = create(&mut process.connect(), "https://example.com/").unwrap();
    let path = format!("/{}", code(&reply));
    let resident = || {
        let metrics = process.connect().ask("GET", "/metrics", &[], "").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let before = resident();
    let mut idle: Vec<Client> = (0..IDLE).map(|_| process.connect()).collect();
    // One in ten has asked once, and one in ten has begun to ask.
    for (n, client) in idle.iter_mut().enumerate() {
        match n % 10 {
            0 => assert_eq!(client.ask("GET", &path, &[], "").status, 302),
            1 => client.send("GET / HTTP/1.1\r\nHos"),
            _ => {}
        }
    }
    let each = (resident() - before) / IDLE as f64;
    eprintln!("{each:.0} bytes for each idle connection");
    assert!(each < 24_576.0, "{each} bytes for each");
    let mut client = process.connect();
    for _ in 0..1_000 {
        assert_eq!(client.ask("GET", &path, &[], "").status, 302);
    }
    assert_eq!(create(&mut client, "https://example.com/").unwrap().status, 201);
    assert_eq!(idle[0].ask("GET", &path, &[], "").status, 302, "an idle one may still ask");
}
