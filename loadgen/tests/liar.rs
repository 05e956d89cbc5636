//! A planted server that under-reports its statements: PostgreSQL contradicts it, and nothing that rests on it counts.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use proofload::services::Child;
use tempfile::TempDir;

const CLAIM: &str = r#"
id = "few-statements"
statement = "creates share their statements"
[[check]]
kind = "upheld"
title = "≤ 1 statement per create"
scenario = "creates"
metric.ratio = { sum = ["server.statements_*"], per = ["client.created"] }
bound.at-most = 1
agree = [{ counters = ["server.statements_*", "postgres.statements"], within = 0.1 }]
"#;

const SCENARIO: &str = r#"
name = "creates"
services = true
load.closed = { connections = 32 }
[phases]
measurement_s = 3.2
slice_s = 0.1
[variant.after]
design = "after"
[[operation]]
action = "create"
"#;

/// The arguments that the planted server was started with.
const ARGUMENTS: &str = "PROOFLOAD_TEST_LIAR";

#[test]
fn a_server_that_under_reports_its_statements_is_caught_by_postgres() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("claim.toml"), CLAIM).unwrap();
    fs::write(directory.path().join("creates.toml"), SCENARIO).unwrap();

    let honest = check(directory.path(), Path::new(env!("CARGO_BIN_EXE_proofload")));
    assert_eq!(honest.status.code(), Some(0), "{}", told(&honest));

    let liar = plant(directory.path());
    let caught = check(directory.path(), &liar);
    assert_eq!(caught.status.code(), Some(4), "{}", told(&caught));
    let said = told(&caught);
    assert!(said.contains("the witnesses disagree") && said.contains("postgres.statements says"), "{said}");
    let junit = fs::read_to_string(directory.path().join("report/junit.xml")).unwrap();
    assert!(junit.contains("<error") && junit.contains("% apart, 10 % allowed"), "{junit}");
}

fn check(directory: &Path, server: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(["check", "./claim.toml", "--backends", "spawn", "--out", "report", "--server"])
        .arg(server)
        .current_dir(directory)
        .env("TMPDIR", directory)
        .output()
        .expect("the binary was built")
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program that is this test's own, in the shape of a proofload: it hands its arguments on to [`liar`].
fn plant(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("liar.sh");
    let test = std::env::current_exe().unwrap();
    let script =
        format!("#!/bin/sh\n{ARGUMENTS}=\"$*\" exec '{}' --exact liar --nocapture\n", test.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// No test where nobody asks for it: the planted server, which hands everything on to an honest one but tells only a tenth
/// of its statements.
#[test]
fn liar() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let mut words: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let place = words.iter().position(|word| word == "--listen").expect("it is told where to listen") + 1;
    let address = std::mem::replace(&mut words[place], "127.0.0.1:0".to_owned());
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofload"));
    command.args(&words);
    let (_honest, behind) =
        Child::spawn(command, &[], |line| line.strip_prefix("listening on http://").map(str::to_owned))
            .unwrap();
    let listener = TcpListener::bind(&address).unwrap();
    // A line of its own, whatever the test's harness has begun.
    println!("\nlistening on http://{address}");
    for client in listener.incoming().flatten() {
        let behind = behind.clone();
        thread::spawn(move || serve(client, &behind));
    }
}

fn serve(mut client: TcpStream, behind: &str) {
    let mut first = [0; 16 << 10];
    let Ok(length) = client.read(&mut first) else { return };
    if first.starts_with(b"GET /metrics") {
        let body = lied(&metrics(behind));
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = client.write_all(format!("{head}{body}").as_bytes());
        return;
    }
    let Ok(mut server) = TcpStream::connect(behind) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if server.write_all(&first[..length]).is_err() {
        return;
    }
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let answers = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
}

fn metrics(behind: &str) -> String {
    let mut server = TcpStream::connect(behind).unwrap();
    server.write_all(b"GET /metrics HTTP/1.1\r\nhost: liar\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").expect("an answer has a head").1.to_owned()
}

/// A tenth of each count of statements.
fn lied(metrics: &str) -> String {
    let lines = metrics.lines().map(|line| match line.rsplit_once(' ') {
        Some((series, value)) if series.starts_with("shortener_statements_total") => {
            format!("{series} {}\n", value.parse::<u64>().expect("a count") / 10)
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}
