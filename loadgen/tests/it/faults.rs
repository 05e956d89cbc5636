//! A deployment that kills its processes instead of letting them end: the claim of no downtime must turn red.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const CLAIM: &str = r#"
id = "no-downtime"
statement = "a deployment fails no request"
[[check]]
kind = "upheld"
title = "no failed request while processes go and come"
scenario = "deployment"
metric.count = { sum = ["client.wrong", "client.timeout", "client.error", "client.dropped"] }
bound.at-most = 0
"#;

/// Clients that do not wait, so that something is under way whenever a process goes.
const SCENARIO: &str = r#"
name = "deployment"
load.closed = { connections = 16 }
[phases]
warm_up_s = 0.2
measurement_s = 3.2
slice_s = 0.1
[links]
count = 500
zipf = 0.99
clicks = 1_000
restart = true
[variant.after]
design = "after"
threads = 1
processes = 2
[[operation]]
action = "visit"
"#;

fn check(directory: &Path, faults: &str) -> Output {
    check_scenario(directory, SCENARIO, faults)
}

fn check_scenario(directory: &Path, scenario: &str, faults: &str) -> Output {
    fs::write(directory.join("claim.toml"), CLAIM).unwrap();
    fs::write(directory.join("deployment.toml"), format!("{scenario}{faults}")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(["check", "./claim.toml", "--backends", "spawn", "--out", "report"])
        .current_dir(directory)
        .env("TMPDIR", directory)
        .output()
        .expect("the binary was built")
}

#[track_caller]
fn expect(output: &Output, code: i32) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
}

#[test]
fn a_restart_that_outlasts_the_load_proves_nothing() {
    let directory = TempDir::new().unwrap();
    let late = "[[fault]]\nat_s = 3.18\ntarget = \"app\"\naction = \"restart\"\n";
    let scenario = SCENARIO.replace("slice_s = 0.1", "slice_s = 0.02");
    let output = check_scenario(directory.path(), &scenario, late);
    expect(&output, 4);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("a fault outlasted the load: restart app from 3."), "{error}");
}

#[test]
fn processes_that_end_in_good_order_fail_no_request_and_killed_ones_do() {
    let directory = TempDir::new().unwrap();
    let restart = "[[fault]]\nat_s = 0.5\ntarget = \"app\"\naction = \"restart\"\n";
    expect(&check(directory.path(), restart), 0);
    let run = fs::read_to_string(directory.path().join("report/run.json")).unwrap();
    assert!(run.contains(r#""what":"restart","whom":"app""#), "faults are kept with their moments");

    let fault = |at_s: f64, action: &str, process: u32| {
        format!("[[fault]]\nat_s = {at_s:.1}\ntarget = \"app\"\nprocess = {process}\naction = \"{action}\"\n")
    };
    // Creates, which wait for the database: where clients are slower than the processes, one may die with all visits answered.
    let creates = SCENARIO.replace("\"visit\"", "\"create\"");
    let killed: String = [0.3, 0.8, 1.3, 1.8, 2.3]
        .map(|at_s| fault(at_s, "kill", 0) + &fault(at_s + 0.2, "start", 0))
        .concat();
    expect(&check_scenario(directory.path(), &creates, &killed), 1);
}
