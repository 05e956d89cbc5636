//! What is written is read back, and what was damaged is refused with one line.

mod synthetic;

use std::fs;
use std::path::PathBuf;

use proofload_reports::{ReportError, Run, read, write};
use tempfile::TempDir;

/// A report of the hand-made run in a directory that goes with the first value.
fn written() -> (TempDir, PathBuf, Run) {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("a/report");
    let run = synthetic::quick_run();
    write(&dir, &run, &synthetic::verdicts()).unwrap();
    (temp, dir, run)
}

fn refusal(text: impl AsRef<[u8]>) -> ReportError {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("run.json");
    fs::write(&path, text).unwrap();
    let error = read(&path).unwrap_err();
    let line = error.to_string();
    assert!(line.contains("run.json") && !line.contains('\n'), "not one line that names the file: {line}");
    error
}

#[test]
fn a_run_survives_the_disk() {
    let (_temp, dir, run) = written();
    assert_eq!(read(&dir).unwrap(), run);
    assert_eq!(read(&dir.join("run.json")).unwrap(), run);
}

#[test]
fn the_version_stands_first() {
    let (_temp, dir, _) = written();
    assert!(fs::read_to_string(dir.join("run.json")).unwrap().starts_with("{\"version\":1,"));
}

#[test]
fn every_way_of_cutting_short_is_seen() {
    let (_temp, dir, _) = written();
    let text = fs::read_to_string(dir.join("run.json")).unwrap();
    for kept in [1, 2, 10, text.len() / 2, text.len() - 100, text.len() - 2] {
        assert!(matches!(refusal(&text[..kept]), ReportError::CutShort { .. }), "cut at {kept}");
    }
}

#[test]
fn a_changed_digit_is_seen() {
    let (_temp, dir, _) = written();
    let text = fs::read_to_string(dir.join("run.json")).unwrap();
    let changed = text.replacen("\"client.ok\":", "\"client.ok\":9", 1);
    assert_ne!(text, changed);
    assert!(matches!(refusal(changed), ReportError::Tampered { .. }));
    let unsealed = text.split(",\"checksum\"").next().unwrap().to_owned() + "}";
    assert!(matches!(refusal(unsealed), ReportError::Tampered { .. }));
}

#[test]
fn a_newer_version_is_named() {
    let error = refusal("{\"version\":2,\"verb\":\"sing\"}");
    assert!(matches!(error, ReportError::Newer { version: 2, .. }), "{error}");
}

#[test]
fn other_files_are_no_runs() {
    for text in ["", "not json", "[1]", "{}", "{\"version\":\"x\"}", "\u{0}"] {
        assert!(matches!(refusal(text), ReportError::NoRun { .. }), "{text:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = read(&PathBuf::from("no/such/run.json")).unwrap_err();
    assert!(error.to_string().contains("no/such/run.json"));
}

#[test]
fn a_report_that_cannot_be_written_leaves_nothing() {
    let temp = TempDir::new().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let error = write(&dir, &synthetic::quick_run(), &synthetic::verdicts()).unwrap_err();
        assert!(error.to_string().contains("--out"), "{error}");
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn a_report_replaces_an_older_one_and_spares_its_neighbours() {
    let (_temp, dir, mut run) = written();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    run.verb = "run".into();
    write(&dir, &run, &[]).unwrap();
    assert_eq!(read(&dir).unwrap(), run);
    assert_eq!(fs::read_to_string(dir.join("notes.txt")).unwrap(), "mine");
    assert!(
        fs::read_dir(&dir).unwrap().all(|it| !it.unwrap().file_name().to_string_lossy().starts_with('.'))
    );
}
