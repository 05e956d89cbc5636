//! Recorded runs that no claim is about, rendered again: the terminal tells what came of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use proofload_reports::{Run, file};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A run of one scenario in one slice; `invalid` is what speaks against its latencies.
fn record(directory: &Path, invalid: &[&str]) {
    let run = json!({
        "version": 1, "verb": "run", "command": ["proofload", "run", "shop"], "profile": "", "started_unix_ms": 0,
        "duration_s": 10.0, "claims": [],
        "environment": {
            "tool_version": "0.1.0", "host_cores": 2, "cpu_model": "", "kernel": "", "memory_mb": 0, "pinning": "",
            "backends": [],
        },
        "measurements": [{
            "scenario": {
                "name": "shop", "phases": { "measurement_s": 10.0 },
                "load": { "open": { "schedule": { "poisson": { "per-second": 500.0 } } } },
            },
            "model": "open", "settings": {}, "witnesses": {}, "invalid_latency": invalid,
            "series": [{
                "variant": "target", "times": {},
                "slices": [{
                    "start_s": 0.0, "duration_s": 10.0, "counters": { "client.ok": 5000, "client.sent": 5000 },
                }],
            }],
        }],
    });
    let run: Run = serde_json::from_value(run).expect("it is a run");
    fs::write(directory.join("run.json"), file::text(&run)).unwrap();
}

fn report(directory: &Path, options: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofload"));
    command.args(["report", "run.json", "--out", "again"]).args(options).current_dir(directory);
    let output = command.output().expect("the binary was built");
    let [told, aside] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    (output, told, aside)
}

#[test]
fn what_came_of_a_load_is_told_again() {
    let directory = TempDir::new().unwrap();
    record(directory.path(), &[]);
    let (output, told, aside) = report(directory.path(), &[]);
    assert_eq!((output.status.code(), aside.as_str()), (Some(0), ""), "{told}");
    for said in
        ["shop: open load", "answered rightly 5,000 of 5,000", "throughput       500 /s", "again/report.html"]
    {
        assert!(told.contains(said), "{said}: {told}");
    }
    let (_, told, _) = report(directory.path(), &["--json"]);
    let told: Value = serde_json::from_str(&told).expect("it is JSON alone");
    assert_eq!((&told[0]["name"], &told[0]["throughput"]), (&json!("shop"), &json!(500.0)));
}

#[test]
fn exit_code_4_says_what_it_comes_from_in_one_line() {
    let directory = TempDir::new().unwrap();
    record(directory.path(), &["the generator lagged", "and waited"]);
    for options in [&[][..], &["--json"]] {
        let (output, _, aside) = report(directory.path(), options);
        assert_eq!(output.status.code(), Some(4));
        assert_eq!(aside, "exit code 4: the measurement `shop` cannot be trusted: the generator lagged\n");
    }
}
