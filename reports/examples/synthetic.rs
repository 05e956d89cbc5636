//! Writes the reports of hand-made runs below the directory named: for eyes, and for the check in a browser.

#[path = "../tests/it/synthetic/mod.rs"]
mod synthetic;

use std::path::PathBuf;

fn main() {
    let dir = PathBuf::from(std::env::args_os().nth(1).expect("name a directory"));
    for (name, run) in [("quick", synthetic::quick_run()), ("grouped", synthetic::grouped_run())] {
        if let Err(error) = proofload_reports::write(&dir.join(name), &run, &synthetic::verdicts()) {
            eprintln!("{error}");
            std::process::exit(2);
        }
    }
    let (run, verdicts) = synthetic::full_check();
    proofload_reports::write(&dir.join("full"), &run, &verdicts).expect("a directory that can be written");
    let (a, mut b) = (synthetic::quick_run(), synthetic::quick_run());
    b.environment.kernel = "Linux 6.2".into();
    let page = proofload_reports::render::compare_html(&a, &b).expect("plots that can be drawn");
    std::fs::write(dir.join("compare.html"), page).expect("a directory that can be written");
}
