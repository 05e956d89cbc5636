//! Bad input gets one clear line with the remedy, exit code 2, and nothing half-written.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn proofload(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the binary was built")
}

/// Runs it in an empty directory and expects one line that holds all of `words`, exit code 2 and no new file.
fn refused(arguments: &[&str], words: &[&str]) {
    refused_with(&[], arguments, words);
}

fn refused_with(files: &[(&str, &[u8])], arguments: &[&str], words: &[&str]) {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let output = proofload(directory.path(), arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    let lines: Vec<&str> = error.lines().filter(|line| line.starts_with("proofload: ")).collect();
    assert_eq!(lines.len(), 1, "{arguments:?} must say one line: {error}");
    for word in words {
        assert!(lines[0].contains(word), "{arguments:?} must name '{word}': {error}");
    }
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), files.len(), "{arguments:?} left something behind: {left:?}");
}

/// As with `proofload list | head`.
#[test]
fn a_reader_who_has_seen_enough() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofload"));
    let output = command.arg("list").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 13), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_unknown_claim() {
    refused(&["check", "hit-rat"], &["hit-rat", "hit-rate"]);
}

#[test]
fn a_gate_on_builds_that_are_not_there_or_not_alike() {
    refused(&["gate", "--base", "missing", "--head", "missing"], &["--base", "missing", "executable"]);
    let this = env!("CARGO_BIN_EXE_proofload");
    refused(&["gate", "--base", this, "--head", "http://127.0.0.1:1/"], &["both"]);
    refused(
        &["gate", "--base", this, "--head", this, "creates-before-after"],
        &["creates-before-after", "variant"],
    );
}

#[test]
fn an_unknown_scenario() {
    refused(&["run", "redirect"], &["redirect", "proofload list"]);
}

#[test]
fn a_scenario_that_is_not_there() {
    refused(&["run", "missing.toml"], &["missing.toml"]);
}

/// Each scenario is measured once: the second claim would be judged by the first's workload.
#[test]
fn two_scenarios_of_one_name() {
    let claim = |scenario: &str| {
        format!(
            "id = \"mine\"\nstatement = \"s\"\n[[check]]\nkind = \"upheld\"\ntitle = \"t\"\nscenario = \"{scenario}\"\n\
             metric.count = {{ sum = [\"client.wrong\"] }}\nbound.at-most = 0\n"
        )
    };
    let scenario = "name = \"creates-before-after\"\nload.closed = { connections = 1 }\nphases.measurement_s = 1\n\
        [variant.after]\ndesign = \"after\"\n[[operation]]\naction = \"create\"\n";
    let of = claim("creates-before-after");
    refused_with(
        &[("mine.toml", of.as_bytes()), ("creates-before-after.toml", scenario.as_bytes())],
        &["check", "pool", "mine.toml"],
        &["claim 'mine'", "'creates-before-after'", "rename one"],
    );
    let of = claim("load");
    refused_with(
        &[("mine.toml", of.as_bytes()), ("load.toml", scenario.as_bytes())],
        &["check", "mine.toml"],
        &["load.toml calls itself 'creates-before-after'", "name = \"load\""],
    );
}

#[test]
fn a_claim_that_is_named_twice() {
    refused(&["check", "pool", "pool"], &["pool is named twice: name it once"]);
    let claim = |title: &str| {
        format!(
            "id = \"mine\"\nstatement = \"s\"\n[[check]]\nkind = \"upheld\"\ntitle = \"{title}\"\n\
             scenario = \"gate-redirects\"\nmetric.count = {{ sum = [\"client.wrong\"] }}\nbound.at-most = 0\n"
        )
    };
    refused_with(
        &[("one.toml", claim("one").as_bytes()), ("other.toml", claim("other").as_bytes())],
        &["check", "one.toml", "other.toml"],
        &["'mine'", "an id of its own"],
    );
}

#[test]
fn a_scenario_beside_its_claim_that_has_another_name() {
    let directory = TempDir::new().unwrap();
    let (scenario, claim) = readme();
    fs::create_dir(directory.path().join("claims")).unwrap();
    fs::write(directory.path().join("claims/shop.toml"), claim).unwrap();
    let check = |scenario: &str| {
        fs::write(directory.path().join("claims/shop-load.toml"), scenario).unwrap();
        proofload(
            directory.path(),
            &["check", "claims/shop.toml", "--target", "http://localhost:8080", "--plan"],
        )
    };
    let followed = check(scenario);
    assert_eq!(followed.status.code(), Some(0), "as the README tells: {followed:?}");

    let misnamed = check(&scenario.replace("\"shop-load\"", "\"shop\""));
    let said = String::from_utf8_lossy(&misnamed.stderr);
    assert_eq!(misnamed.status.code(), Some(2), "{said}");
    assert!(said.contains("claims/shop-load.toml calls itself 'shop'"), "{said}");
}

/// The scenario and the claim that the README shows.
fn readme() -> (&'static str, &'static str) {
    let mut blocks = include_str!("../../../README.md").split("```toml\n").skip(1);
    let mut next = || blocks.next().and_then(|block| block.split("```").next()).expect("a block of TOML");
    (next(), next())
}

#[test]
fn a_gate_names_its_own_options() {
    let (this, url) = (env!("CARGO_BIN_EXE_proofload"), "http://127.0.0.1:1");
    let scenario = readme().0.as_bytes();
    refused_with(
        &[("mine.toml", scenario)],
        &["gate", "mine.toml", "--base", this, "--head", this],
        &["'shop-load'", "give --base and --head as URLs"],
    );
    refused(
        &["gate", "--base", url, "--head", url],
        &["'gate-redirects'", "name a scenario file", "proofload list example-http-service"],
    );
}

#[test]
fn a_misspelt_field() {
    let text =
        b"name = \"mine\"\nabuot = \"x\"\n[load.closed]\nconnections = 1\n[phases]\nmeasurement_s = 1.0\n";
    refused_with(&[("mine.toml", text)], &["run", "mine.toml"], &["mine.toml", "abuot"]);
}

#[test]
fn a_rate_of_zero() {
    let text =
        b"name = \"mine\"\n[load.open.schedule.poisson]\nper-second = 0.0\n[phases]\nmeasurement_s = 1.0\n\
        [[operation]]\naction = \"create\"\n";
    refused_with(&[("mine.toml", text)], &["run", "mine.toml"], &["mine.toml", "rate", "0"]);
}

#[test]
fn a_rate_of_zero_on_the_command_line() {
    refused(&["run", "--url", "http://127.0.0.1:1/", "--rate", "0"], &["--rate"]);
}

#[test]
fn options_that_would_do_nothing() {
    let url = "http://127.0.0.1:1/";
    refused(&["run", "mine.toml", "--rate", "5"], &["--rate", "scenario"]);
    refused(&["run", "--url", url, "--target", url], &["--target", "--url"]);
    refused(&["run", "--url", url, "--cache-entries", "5"], &["--cache-entries", "--url"]);
    refused(&["run", "--url", url, "--generator-cores", "4096"], &["--generator-cores 4096", "no such core"]);
    refused(&["run", "--url", url, "--generator-cores", "0,0"], &["core 0 twice"]);
    refused(&["run", "--url", url, "--stages", "1s:0"], &["--stages", "above 0"]);
    refused(&["run", "--url", url, "--body-file", "missing"], &["--body-file missing"]);
    refused(&["run", "--url", url, "--insecure"], &["--insecure", "certificate"]);
}

/// Found out before the load, and not by files that cannot be opened after it.
#[test]
fn more_connections_than_files_that_may_be_opened() {
    let directory = TempDir::new().unwrap();
    let url = "http://127.0.0.1:1/";
    let limited = format!("ulimit -n 256; exec {} run --url {url} -c 256", env!("CARGO_BIN_EXE_proofload"));
    let output = Command::new("sh").args(["-c", &limited]).current_dir(directory.path()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = error.lines().collect();
    assert!(output.status.code() == Some(2) && lines.len() == 1, "{error}");
    for word in ["--connections", "`ulimit -n`", "256 connections"] {
        assert!(lines[0].contains(word), "{word}: {error}");
    }
}

#[test]
fn a_password_in_a_url_that_is_none() {
    let directory = TempDir::new().unwrap();
    for url in
        ["http://ann:secret@127.0.0.1:1/", "ftp://ann:secret@host/", "http://ann:secret@nowhere.invalid/"]
    {
        let output = proofload(directory.path(), &["run", "--url", url]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && !said.contains("secret"), "{said}");
    }
}

#[test]
fn a_log_that_is_no_log() {
    refused_with(
        &[("a.log", b"hello\nworld\n")],
        &["run", "--access-log", "a.log"],
        &["a.log", "access log"],
    );
    refused_with(&[("a.log", b"\xff\xfe\0\0")], &["run", "--access-log", "a.log"], &["a.log", "access log"]);
    refused(&["run", "--access-log", "missing.log"], &["missing.log"]);
}

#[test]
fn an_unwritable_report_directory() {
    // A file where a directory should be cannot be written into, not even by root.
    refused_with(&[("taken", b"")], &["check", "--out", "taken/report"], &["taken/report", "--out"]);
}

#[test]
fn a_port_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    refused(&["check", "hit-rate", "--listen", &address], &[&address, "in use"]);
}

#[test]
fn an_address_beyond_this_machine() {
    refused(&["check", "--listen", "192.0.2.1:80"], &["192.0.2.1:80", "loopback"]);
}

#[test]
fn a_run_file_that_is_cut_short() {
    refused_with(&[("run.json", b"{\"version\": 1, ")], &["report", "run.json"], &["run.json"]);
}

#[test]
fn nothing_to_run() {
    refused(&["run"], &["SCENARIO.toml", "--access-log", "--url"]);
}
