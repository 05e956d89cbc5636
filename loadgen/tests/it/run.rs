//! What `run` prints: of a URL, and of a scenario.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proofload::connect::Target;
use proofload::exchange::{Exchange, Templates};
use proofload::selftest::server::{Behaviour, TestServer};
use proofload_scenarios::{Claim, Scenario};
use serde_json::Value;
use tempfile::TempDir;

fn proofload(place: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(arguments)
        .current_dir(place)
        .env("XDG_STATE_HOME", place)
        .output()
        .expect("the binary was built")
}

/// What it prints for programs. Whether a busy machine spoilt the latencies is not the point here.
fn json(place: &Path, arguments: &[&str]) -> Value {
    let output = proofload(place, &[arguments, &["--json"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{arguments:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?} prints no JSON: {error}"))
}

fn loaded(server: &TestServer, options: &[&str]) -> Value {
    let place = TempDir::new().unwrap();
    let url = format!("http://{}/abc", server.addr);
    json(place.path(), &[&["run", "--url", &url], options].concat())
}

#[test]
fn a_closed_run_has_service_times_and_counts() {
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let found = loaded(&server, &["-c", "3", "-d", "300ms"]);
    assert_eq!(found["model"], "closed");
    assert_eq!(found["requests"].as_u64(), Some(server.arrivals().len() as u64));
    assert_eq!(found["status"]["302"], found["requests"]);
    assert_eq!(found["errors"], 0);
    assert!(found["throughput"].as_f64().unwrap() > 0.0);
    assert!(found["response_us"].is_null());
    for quantile in ["p50", "p99", "p99.9", "max"] {
        assert!(found["service_us"][quantile].as_f64().unwrap() > 0.0, "{quantile}");
    }
    let phases = &found["phases_us"];
    let p50 = |phase: &str| phases[phase]["p50"].as_f64().unwrap_or_else(|| panic!("{phase}: {phases}"));
    assert!(p50("connect") > 0.0);
    assert!(p50("write") <= p50("first_byte") && p50("first_byte") <= p50("last_byte"));
    assert!(phases["ready"].is_null());
}

#[test]
fn a_run_of_so_many_requests_sends_so_many() {
    for options in [&["-c", "4"][..], &["-c", "4", "--rate", "2000"], &["-c", "2", "--generator-cores", "0"]]
    {
        let server = TestServer::start(Behaviour::Prompt, None).unwrap();
        let found = loaded(&server, &[options, &["-n", "25"]].concat());
        assert_eq!(found["requests"], 25, "{options:?}");
        assert_eq!(server.arrivals().len(), 25, "{options:?}");
    }
}

#[test]
fn constant_arrivals_are_as_many_as_the_rate_says() {
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let found = loaded(&server, &["--rate", "100", "--arrivals", "constant", "-d", "500ms"]);
    assert_eq!((&found["model"], &found["requests"]), (&"open".into(), &49.into()));
}

#[test]
fn stages_are_an_open_load_that_ends_with_the_last() {
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let found = loaded(&server, &["--stages", "0s:1000,200ms:1000,100ms:0"]);
    assert_eq!(found["model"], "open");
    // 250 by the schedule, give or take what chance does.
    let requests = found["requests"].as_u64().unwrap();
    assert!((150..350).contains(&requests), "{requests}");
}

/// Keeps the requests that it is sent, and answers all alike.
fn listening() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap().to_string(), Arc::new(Mutex::new(Vec::new())));
    let kept = heard.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let kept = kept.clone();
            thread::spawn(move || answer(client, &kept));
        }
    });
    (address, heard)
}

fn answer(client: TcpStream, kept: &Mutex<Vec<String>>) {
    let mut requests = BufReader::new(client.try_clone().unwrap());
    let mut answers = client;
    loop {
        let (mut request, mut length) = (String::new(), 0);
        loop {
            let begin = request.len();
            if requests.read_line(&mut request).unwrap_or(0) == 0 {
                return;
            }
            let line = request[begin..].trim_end();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body).unwrap();
        kept.lock().unwrap().push(request + std::str::from_utf8(&body).unwrap());
        if answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

#[test]
fn a_body_comes_from_a_file_and_a_password_is_sent_and_never_shown() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("body.json"), r#"{"a":{"b":{"row":{row}}}}"#).unwrap();
    let (address, heard) = listening();
    let url = format!("http://ann:se%20cret@{address}/x?y=z");
    let options = ["run", "--url", &url, "-c", "1", "-n", "2", "--body-file", "body.json", "--out", "report"];
    let output = proofload(place.path(), &options);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let heard = heard.lock().unwrap();
    for (row, request) in heard.iter().enumerate() {
        assert!(request.starts_with("POST /x?y=z HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Basic YW5uOnNlIGNyZXQ=\r\n"), "{request}");
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
        assert!(request.ends_with(&format!("\r\n\r\n{{\"a\":{{\"b\":{{\"row\":{row}}}}}}}")), "{request}");
    }
    assert_eq!(heard.len(), 2);
    let run = fs::read_to_string(place.path().join("report/run.json")).unwrap();
    for shown in [&*String::from_utf8_lossy(&output.stdout), &*String::from_utf8_lossy(&output.stderr), &run]
    {
        assert!(!shown.contains("cret") && !shown.contains("YW5u"), "{shown}");
    }
    // The report tells of what was run.
    let run: Value = serde_json::from_str(&run).unwrap();
    let measurement = &run["measurements"][0];
    let template = &measurement["scenario"]["operation"][0]["action"]["http"];
    assert_eq!((&template["method"], &template["path"]), (&"POST".into(), &"/x?y=z".into()));
    assert_eq!(measurement["settings"]["requests at most"], "2");
    assert_eq!(measurement["scenario"]["phases"]["slice_s"], 1.0);
}

const SCENARIO: &str = r#"
name = "visits"
load.closed = { connections = 2 }
[phases]
measurement_s = 0.4
slice_s = 0.1
[[operation]]
action.http = { path = "/abc", status = 302 }
"#;

#[test]
fn a_scenario_prints_its_numbers_for_people_and_for_programs() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("visits.toml"), SCENARIO).unwrap();
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let url = format!("http://{}", server.addr);
    let options = ["run", "visits.toml", "--target", &url, "--out", "report"];
    let found = json(place.path(), &options);
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let [one] = &found.as_array().unwrap()[..] else { unreachable!() };
    assert_eq!(
        (&one["name"], &one["model"], &one["errors"]),
        (&"visits".into(), &"closed".into(), &0.into())
    );
    assert!(one["requests"].as_u64().unwrap() > 0 && one["throughput"].as_f64().unwrap() > 0.0);
    assert!(one["response_us"].is_null() && one["service_us"]["p99.9"].as_f64().is_some());
    assert_eq!(one["status"]["302"], one["requests"]);

    let said = proofload(place.path(), &options).stdout;
    let said = String::from_utf8_lossy(&said);
    for word in ["visits: closed load, 2 connections", "throughput", "p99.9", "first byte", "report: "] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// What the README tells a user to write can be run.
#[test]
fn the_readmes_scenario_and_claim_are_such() {
    let readme = include_str!("../../../README.md");
    let toml: Vec<&str> =
        readme.split("```toml\n").skip(1).map(|it| it.split("```").next().unwrap()).collect();
    let [scenario, claim] = toml[..] else { panic!("{} blocks of TOML", toml.len()) };
    let scenario = Scenario::parse(scenario, "README.md").unwrap();
    let target = Target::at(([127, 0, 0, 1], 1).into());
    let templates = Templates::of_scenario(&target, &scenario, Path::new(".")).unwrap();
    assert_eq!(templates.kinds(), ["GET /items/{item}", "POST /orders"]);
    assert!(scenario.is_for_any_service());
    assert_eq!(Claim::parse(claim, "README.md").unwrap().checks.len(), 4);
}

const USERS: &str = r#"
name = "users"
LOAD
[phases]
measurement_s = 600
slice_s = 60
[value.user]
csv = { file = "users.csv", column = "name", at_end = "stop" }
"#;

/// Ten minutes are asked for, and twenty rows given.
#[test]
fn a_load_whose_values_end_ends_with_them_and_says_so() {
    let place = TempDir::new().unwrap();
    let rows: String = (0..20).map(|row| format!("user-{row}\n")).collect();
    fs::write(place.path().join("users.csv"), format!("name\n{rows}")).unwrap();
    let operation = "[[operation]]\naction.http = { path = \"/{user}\" }\n";
    let journey = "[[journey]]\nname = \"a\"\nsteps = [{ http = { path = \"/{user}\" } }]\n";
    let loads = [
        ("load.closed = { connections = 3 }", operation),
        ("load.open = { schedule = { constant = { per-second = 500 } }, connections = 3 }", operation),
        ("load.journeys = { users = 3 }", journey),
    ];
    for (load, sent) in loads {
        let server = TestServer::start(Behaviour::Prompt, None).unwrap();
        let url = format!("http://{}", server.addr);
        fs::write(place.path().join("users.toml"), USERS.replace("LOAD", load) + sent).unwrap();
        let found = json(place.path(), &["run", "users.toml", "--target", &url, "--out", "report"]);
        assert_eq!(found[0]["requests"], 20, "{load}: {found}");
        assert!(found[0]["samples"][0].as_str().unwrap().contains("all 20 rows"), "{load}: {found}");
    }
}

/// Arrivals by a file's times, to any service; a failed answer is told with its request.
#[test]
fn a_trace_times_the_arrivals_of_any_service() {
    let place = TempDir::new().unwrap();
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let times: String = (0..40).map(|n| format!("{}\n", f64::from(n) * 0.02)).collect();
    fs::write(place.path().join("times.txt"), format!("# forty\n{times}")).unwrap();
    let open = "load.open = { schedule = { trace = { file = \"times.txt\", speed = 2 } }, connections = 4 }";
    let text =
        SCENARIO.replace("load.closed = { connections = 2 }", open).replace("status = 302", "status = 204");
    fs::write(place.path().join("visits.toml"), format!("{text}\n[http]\ntimeout_s = 2.5\n")).unwrap();
    let url = format!("http://{}", server.addr);
    let output =
        proofload(place.path(), &["run", "visits.toml", "--target", &url, "--json", "--out", "report"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["requests"], 40, "{found}");
    assert_eq!(found[0]["offered"], 100.0, "40 arrivals in the 0.4 s that are measured");
    assert_eq!(found[0]["samples"], serde_json::json!(["GET /abc, row 0: status 302 Found (40 times)"]));

    fs::remove_file(place.path().join("times.txt")).unwrap();
    let output = proofload(place.path(), &["run", "visits.toml", "--target", &url]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("times.txt cannot be read"), "{error}");
}

/// What was offered is told by the schedule, and not by when a slow target has answered the last of it.
#[test]
fn arrivals_that_are_counted_are_offered_while_they_came() {
    let times = Arc::new(vec![Duration::from_millis(20)]);
    let server = TestServer::start(Behaviour::Queue { times }, None).unwrap();
    let options = ["--rate", "200", "--arrivals", "constant", "--requests", "40", "--connections", "40"];
    let found = loaded(&server, &options);
    let offered = found["offered"].as_f64().unwrap();
    assert!((offered - 200.0).abs() < 1.0, "{found}");
    assert!(found["throughput"].as_f64().unwrap() < 60.0, "{found}");
}

/// Whoever reads what is printed may be gone: what was measured is kept first.
#[test]
fn a_report_is_written_before_anything_is_printed() {
    let place = TempDir::new().unwrap();
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let url = format!("http://{}/abc", server.addr);
    let status = Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(["run", "--url", &url, "-n", "5", "--out", "report"])
        .current_dir(place.path())
        .env("XDG_STATE_HOME", place.path())
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(128 + 13));
    assert!(place.path().join("report/run.json").is_file());
}
