//! Tells the commit that is built, where there is one to tell: a copy of the sources without their history has none.

use std::process::Command;

/// What the command is made of: a change to it is built anew anyway, and may be one that is not committed.
const SOURCES: [&str; 7] = [
    "../Cargo.lock",
    "src",
    "../reports/src",
    "../reports/templates",
    "../scenarios/src",
    "../scenarios/catalogue",
    "../server/src",
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = git(&["describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=, with changes"]);
    println!("cargo::rustc-env=PROOFLOAD_COMMIT={}", commit.unwrap_or_default());
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
