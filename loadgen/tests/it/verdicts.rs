//! The main job from outside: verdicts that follow the design, runs that are kept, processes that end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A claim on a hit rate, and one on statements, each small enough for a test.
const HITS_CLAIM: &str = r#"
id = "hits"
statement = "nearly all redirects are answered by the cache"
[[check]]
kind = "upheld"
title = "≥ 90 % of redirects"
scenario = "redirects"
metric.ratio = { sum = ["server.lookups_process"], per = ["server.lookups_process", "server.lookups_waiter", "server.lookups_store"] }
bound.at-least = 0.90
"#;
const STATEMENTS_CLAIM: &str = r#"
id = "statements"
statement = "several times fewer statements per create"
[[check]]
kind = "upheld"
title = "≥ 3 × fewer statements per create"
scenario = "creates"
metric.versus = { sum = ["server.statements_*"], per = ["client.created"], compare = { of = "before", over = "after" } }
bound.at-least = 3
"#;

const UNIQUENESS_CLAIM: &str = r#"
id = "uniqueness"
statement = "no query asks whether a code is free"
[[check]]
kind = "upheld"
title = "≤ 0.05 uniqueness queries per create"
scenario = "creates"
metric.ratio = { sum = ["server.statements_uniqueness"], per = ["client.created"], variant = "after" }
bound.at-most = 0.05
"#;
const POOL_CLAIM: &str = r#"
id = "pool"
statement = "codes come from the pool"
[[check]]
kind = "upheld"
title = "≥ 90 % of the codes come from the pool"
scenario = "creates"
metric.ratio = { sum = ["server.pool_served"], per = ["server.pool_served", "server.pool_dry"], variant = "after" }
bound.at-least = 0.9
"#;

fn redirects(flags: &str, seconds: f64) -> String {
    format!(
        r#"
name = "redirects"
[load.open]
schedule = {{ poisson = {{ per-second = 400 }} }}
connections = 16
[phases]
measurement_s = {seconds}
slice_s = 0.1
[links]
count = 3_000
zipf = 0.99
clicks = 100_000
restart = true
[variant.after]
{flags}
[[operation]]
action = "visit"
"#
    )
}

fn creates(after: &str) -> String {
    format!(
        r#"
name = "creates"
load.closed = {{ connections = 32 }}
[phases]
measurement_s = 3.6
slice_s = 0.06
[variant.before]
design = "before"
[variant.after]
{after}
[[operation]]
action = "create"
"#
    )
}

struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self { directory }
    }

    fn report(&self) -> PathBuf {
        self.directory.path().join("report")
    }

    fn command(&self, claims: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofload"));
        command
            .arg("check")
            .args(claims.split(' '))
            .args(["--out", "report"])
            .current_dir(self.directory.path());
        command.env("TMPDIR", self.directory.path());
        command
    }

    fn check(&self, claim: &str) -> Output {
        self.command(claim).output().expect("the binary was built")
    }

    fn start(&self, claim: &str) -> Child {
        self.command(claim).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary was built")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.report().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

fn expect(output: &Output, code: i32) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
}

#[test]
fn a_warmed_cache_holds_and_the_report_is_whole() {
    let bench =
        Bench::new(&[("hits.toml", HITS_CLAIM), ("redirects.toml", &redirects("design = \"after\"", 4.0))]);
    expect(&bench.check("./hits.toml"), 0);
    for name in ["run.json", "report.html", "report.md", "junit.xml"] {
        assert!(!bench.text(name).is_empty());
    }
    assert!(bench.text("junit.xml").contains("hits"));
    let again = Command::new(env!("CARGO_BIN_EXE_proofload"))
        .args(["report", "report/run.json", "--out", "again"])
        .current_dir(bench.directory.path())
        .output()
        .unwrap();
    expect(&again, 0);
    let table = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(table.contains("holds"), "{table}");
    let run_of = |report: &str| fs::read(bench.directory.path().join(report).join("run.json")).unwrap();
    assert!(run_of("again") == run_of("report"), "what was measured stays as it was written");
}

#[test]
fn a_cache_that_is_not_warmed_turns_the_hit_rate_red() {
    let broken = redirects("design = \"after\"\nwarm = \"none\"", 4.0);
    let bench = Bench::new(&[("hits.toml", HITS_CLAIM), ("redirects.toml", &broken)]);
    expect(&bench.check("./hits.toml"), 1);
    assert!(bench.text("junit.xml").contains("<failure"));
}

#[test]
fn coalesced_inserts_hold() {
    let bench = creating(&creates("design = \"after\""));
    expect(&bench.check("./statements.toml ./uniqueness.toml ./pool.toml"), 0);
}

#[test]
fn a_design_that_only_claims_to_be_new_turns_the_statements_red() {
    let bench = creating(&creates("design = \"after\"\ncodes = \"checked\"\ninsert = \"single\""));
    expect(&bench.check("./statements.toml ./uniqueness.toml"), 1);
    assert_eq!(bench.text("junit.xml").matches("<failure").count(), 2);
}

#[test]
fn a_pool_that_is_switched_off_proves_nothing_of_its_claim() {
    let bench = creating(&creates("design = \"after\"\npool = 0"));
    expect(&bench.check("./pool.toml"), 4);
    assert!(bench.text("junit.xml").contains("counted nothing"));
}

fn creating(scenario: &str) -> Bench {
    Bench::new(&[
        ("statements.toml", STATEMENTS_CLAIM),
        ("uniqueness.toml", UNIQUENESS_CLAIM),
        ("pool.toml", POOL_CLAIM),
        ("creates.toml", scenario),
    ])
}

#[test]
fn a_server_that_dies_leaves_a_run_that_is_invalid() {
    let bench =
        Bench::new(&[("hits.toml", HITS_CLAIM), ("redirects.toml", &redirects("design = \"after\"", 30.0))]);
    let mut check = bench.start("./hits.toml");
    let server = await_load(&bench, check.id());
    kill(server, libc::SIGKILL);
    assert_eq!(check.wait().unwrap().code(), Some(4));
    assert!(bench.text("junit.xml").contains("<error"));
}

#[test]
fn an_interrupted_run_is_kept_as_invalid_and_leaves_nothing_running() {
    let bench =
        Bench::new(&[("hits.toml", HITS_CLAIM), ("redirects.toml", &redirects("design = \"after\"", 30.0))]);
    let mut check = bench.start("./hits.toml");
    let server = await_load(&bench, check.id());
    kill(check.id(), libc::SIGINT);
    assert_eq!(check.wait().unwrap().code(), Some(4));
    assert!(bench.text("run.json").contains("interrupted"));
    assert!(!exists(server), "the server outlived the command");
    assert_eq!(temporary(&bench), Vec::<PathBuf>::new());
}

#[test]
fn a_replay_that_is_interrupted_while_its_links_are_made_is_kept_too() {
    let line = |n| format!("127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /{n} HTTP/1.1\" 200 5\n");
    let log: String = (0..100_000).map(line).collect();
    let bench = Bench::new(&[("a.log", &log)]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofload"));
    command.args(["run", "--access-log", "a.log", "--out", "report"]).current_dir(bench.directory.path());
    command.env("TMPDIR", bench.directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut replay = command.spawn().unwrap();
    until("a server", || child_of(replay.id()).map(drop));
    kill(replay.id(), libc::SIGINT);
    assert_eq!(replay.wait().unwrap().code(), Some(4));
    assert!(bench.text("run.json").contains("interrupted"));
}

#[test]
fn a_killed_command_leaves_no_server_behind() {
    let bench =
        Bench::new(&[("hits.toml", HITS_CLAIM), ("redirects.toml", &redirects("design = \"after\"", 30.0))]);
    let mut check = bench.start("./hits.toml");
    let server = await_load(&bench, check.id());
    check.kill().unwrap();
    check.wait().unwrap();
    until("the server to end", || (!exists(server)).then_some(()));
    assert_ne!(temporary(&bench), Vec::<PathBuf>::new(), "nobody could tidy up");
    let mut plan = Command::new(env!("CARGO_BIN_EXE_proofload"));
    plan.args(["check", "./hits.toml", "--plan"]).current_dir(bench.directory.path());
    expect(&plan.env("TMPDIR", bench.directory.path()).output().unwrap(), 0);
    assert_eq!(temporary(&bench), Vec::<PathBuf>::new(), "the next start does");
}

/// Waits until the server that `parent` started has links and answers redirects, and returns its process id.
fn await_load(bench: &Bench, parent: u32) -> u32 {
    let mut server = 0;
    until("the load to begin", || {
        server = child_of(parent)?;
        // The database is there, the links were made, and the generator has connected: a server that dies before that was
        // never to be reached, which is another end.
        let busy = !temporary(bench).is_empty() && generator_runs(parent) && sockets(server) >= CONNECTIONS;
        busy.then_some(())
    });
    server
}

/// As many as the generator makes.
const CONNECTIONS: usize = 16;

fn sockets(process: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files
        .filter(|file| fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
        .count()
}

fn generator_runs(parent: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok())
        .any(|name| name.starts_with("generator"))
}

fn child_of(parent: u32) -> Option<u32> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = status.rsplit_once(") ")?;
        let of: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        (of == parent).then_some(pid)
    })
}

fn exists(pid: u32) -> bool {
    // A zombie has ended.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

fn temporary(bench: &Bench) -> Vec<PathBuf> {
    let ours =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("proofload-"));
    let entries = fs::read_dir(bench.directory.path()).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| ours(path)).collect()
}

fn kill(pid: u32, signal: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Looks again and again, for a minute at most.
fn until(what: &str, mut condition: impl FnMut() -> Option<()>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while condition().is_none() {
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
