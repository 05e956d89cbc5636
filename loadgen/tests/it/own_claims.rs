//! Claims of a user's own, about a service that is none of ours.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use tempfile::TempDir;

const CLAIM: &str = r#"
id = "shop"
statement = "the shop answers everyone, and quickly"
# Told, and no more: on a machine as busy as a test's the generator may be late, and then says so.
[[check]]
kind = "stated"
title = "p99 of responses at most a minute"
scenario = "shop-load"
metric.response = { quantile = 0.99 }
bound.at-most = 60_000_000
[[check]]
kind = "upheld"
title = "no failed request"
scenario = "shop-load"
metric.count = { sum = ["client.wrong", "client.timeout", "client.error", "client.dropped"] }
bound.at-most = 0
[[check]]
kind = "upheld"
title = "≥ 20 right answers per second"
scenario = "shop-load"
metric.rate = { sum = ["client.ok"] }
bound.at-least = 20
[[check]]
kind = "upheld"
title = "≤ 3 look-ups in its store per request, as it counts them"
scenario = "shop-load"
metric.ratio = { sum = ["target.store_lookups_total"], per = ["client.ok"] }
bound.at-most = 3
agree = [{ counters = ["target.http_requests_total*", "client.sent"], within = 0.2 }]
"#;

const SCENARIO: &str = r#"
name = "shop-load"
[load.open]
schedule = { poisson = { per-second = 200 } }
connections = 4
[phases]
warm_up_s = 0.2
measurement_s = 3.2
slice_s = 0.1
[value.user]
csv = { file = "users.csv", column = "name" }
[[operation]]
action.http = { path = "/hello/{user}", status = 200, answer_contains = "hello" }
"#;

/// A service with two look-ups a request, which counts in Prometheus's format.
struct Shop {
    requests: AtomicU64,
    lookups_each: u64,
    /// Serves nobody but ann, whose password is `secret`.
    guarded: bool,
}

impl Shop {
    fn open(lookups_each: u64) -> String {
        Self::open_to(lookups_each, false)
    }

    fn open_to(lookups_each: u64, guarded: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shop = Arc::new(Shop { requests: AtomicU64::new(0), lookups_each, guarded });
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shop = shop.clone();
                thread::spawn(move || shop.serve(client));
            }
        });
        url
    }

    fn serve(&self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        let mut requests = BufReader::new(client.try_clone().unwrap());
        let mut answers = client;
        loop {
            let (mut request, mut line) = (String::new(), String::new());
            if requests.read_line(&mut request).unwrap_or(0) == 0 {
                return;
            }
            let mut is_ann = false;
            while requests.read_line(&mut line).unwrap_or(0) > 2 {
                is_ann |= line.trim_end().eq_ignore_ascii_case("authorization: Basic YW5uOnNlY3JldA==");
                line.clear();
            }
            if self.guarded && !is_ann {
                let _ = answers.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
                continue;
            }
            let body = match request.starts_with("GET /metrics") {
                true => self.metrics(),
                false => {
                    self.requests.fetch_add(1, Relaxed);
                    "hello".to_owned()
                }
            };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if answers.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn metrics(&self) -> String {
        let requests = self.requests.load(Relaxed);
        format!(
            "# TYPE http_requests_total counter\nhttp_requests_total{{code=\"200\"}} {requests}\n\
             # TYPE store_lookups_total counter\nstore_lookups_total {}\n",
            requests * self.lookups_each
        )
    }
}

/// The files lie in a folder of their own, and the command is given elsewhere.
fn check(place: &Path, url: &str) -> Output {
    let folder = place.join("claims");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("shop.toml"), CLAIM).unwrap();
    fs::write(folder.join("shop-load.toml"), SCENARIO).unwrap();
    fs::write(folder.join("users.csv"), "name,age\nann,7\nbob,9\n").unwrap();
    Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(["check", "claims/shop.toml", "--out", "report", "--target", url])
        .current_dir(place)
        .output()
        .expect("the binary was built")
}

fn expect(output: &Output, code: i32) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
}

#[test]
fn a_claim_about_any_service_holds_or_fails_by_what_client_and_service_count() {
    let place = TempDir::new().unwrap();
    expect(&check(place.path(), &Shop::open(2)), 0);
    let report = fs::read_to_string(place.path().join("report/report.md")).unwrap();
    assert!(report.contains("self-reported, counted by the client; checked against client"), "{report}");

    let wasteful = check(place.path(), &Shop::open(5));
    expect(&wasteful, 1);
    let told = fs::read_to_string(place.path().join("report/junit.xml")).unwrap();
    assert!(told.contains("misses ≤ 3"), "{told}");
}

/// Else it would be refused, for counters that nobody shows.
#[test]
fn metrics_are_read_with_the_password_that_the_target_has() {
    let place = TempDir::new().unwrap();
    let url = Shop::open_to(2, true).replace("http://", "http://ann:secret@");
    expect(&check(place.path(), &url), 0);
}

#[test]
fn a_claim_on_counters_that_the_service_does_not_show_is_refused_before_the_load() {
    let place = TempDir::new().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    thread::spawn(move || {
        for client in silent.incoming().flatten() {
            thread::spawn(move || {
                let mut requests = BufReader::new(client.try_clone().unwrap());
                let (mut answers, mut line) = (client, String::new());
                while requests.read_line(&mut line).unwrap_or(0) > 0 {
                    if line == "\r\n" {
                        let _ = answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
                    }
                    line.clear();
                }
            });
        }
    });
    let refused = check(place.path(), &url);
    expect(&refused, 2);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("nobody counts `target.store_lookups_total`"), "{said}");
}

#[test]
fn a_scenario_of_which_nothing_is_answered_rightly_is_no_success() {
    let place = TempDir::new().unwrap();
    let scenario = SCENARIO
        .replace("answer_contains = \"hello\"", "answer_contains = \"bye\"")
        .replace("measurement_s = 3.2", "measurement_s = 0.4");
    fs::write(place.path().join("shop-load.toml"), scenario).unwrap();
    fs::write(place.path().join("users.csv"), "name,age\nann,7\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(["run", "shop-load.toml", "--out", "report", "--target", &Shop::open(1)])
        .current_dir(place.path())
        .output()
        .expect("the binary was built");
    // 1, or 4 where a busy machine spoilt the latencies as well.
    assert_ne!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("answered rightly"));
}
