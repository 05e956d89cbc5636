//! Writes the report of a hand-made run into the directory named: for eyes, and for the check in a browser.

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

fn main() {
    let dir = std::env::args_os().nth(1).expect("name a directory");
    let written = proofload_reports::write(dir.as_ref(), &synthetic::quick_run(), &synthetic::verdicts());
    if let Err(error) = written {
        eprintln!("{error}");
        std::process::exit(2);
    }
}
