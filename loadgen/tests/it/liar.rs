//! Planted servers that tell less than they do: PostgreSQL contradicts them, and nothing that rests on them counts.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::planted::{Fault, plant};
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

#[test]
fn a_server_that_under_reports_its_statements_is_caught_by_postgres() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("claim.toml"), CLAIM).unwrap();
    fs::write(directory.path().join("creates.toml"), SCENARIO).unwrap();

    let honest = check(directory.path(), Path::new(env!("CARGO_BIN_EXE_proofload")));
    assert_eq!(honest.status.code(), Some(0), "{}", told(&honest));

    let caught = check(directory.path(), &plant(directory.path(), Fault::TellsTenth));
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
