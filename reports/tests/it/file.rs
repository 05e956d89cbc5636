//! What is written is read back, and what was damaged is refused with one line.

use std::fs;
use std::path::{Path, PathBuf};

use proofload_reports::render::write_again;
use proofload_reports::{ReportError, Run, file, read, write};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A report of the hand-made run in a directory that goes with the first value.
fn written() -> (TempDir, PathBuf, Run) {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("a/report");
    let run = crate::synthetic::quick_run();
    write(&dir, &run, &crate::synthetic::verdicts()).unwrap();
    (temp, dir, run)
}

fn refusal(text: impl AsRef<[u8]>) -> ReportError {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("run.json");
    fs::write(&path, text).unwrap();
    let Err(error) = read(&path) else { panic!("it was read") };
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

/// Nothing is rounded, no histogram is trimmed anew, no member is lost or added.
#[test]
fn a_run_that_was_read_is_written_as_it_was() {
    let mut run = crate::synthetic::quick_run();
    // A number whose nearest neighbours are what a hasty reader takes it for.
    for (index, slice) in run.measurements[0].series[0].slices.iter_mut().enumerate() {
        slice.start_s = 0.1 + 0.2 * index as f64 / 3.0;
        slice.duration_s = 1.000_000_000_000_000_2 / (index + 7) as f64;
    }
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("run.json");
    let text = file::text(&run);
    fs::write(&path, &text).unwrap();
    let read = read(&path).unwrap();
    assert!(file::text(&read) == text, "it was {} bytes and is {}", text.len(), file::text(&read).len());
}

/// What an older or a newer proofload wrote stays as it wrote it.
#[test]
fn a_report_made_again_copies_the_run() {
    let (_temp, dir, _) = written();
    let path = dir.join("run.json");
    let spaced = fs::read_to_string(&path).unwrap().replacen(":1,\"verb\"", ": 1, \"verb\"", 1);
    let spaced = resealed(&spaced, |text| text);
    fs::write(&path, &spaced).unwrap();
    let recorded = file::recorded(&dir).unwrap();
    write_again(&dir, &recorded, &[]).unwrap();
    assert!(fs::read_to_string(&path).unwrap() == spaced);
}

/// The run, changed and sealed anew, as a forger would.
fn resealed(text: &str, change: impl Fn(String) -> String) -> String {
    let run = change(text.split(",\"checksum\"").next().unwrap().to_owned());
    let sum: String = Sha256::digest(&run).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{run},\"checksum\":\"sha256:{sum}\"}}\n")
}

#[test]
fn numbers_that_cannot_be_are_refused_however_well_sealed() {
    let (_temp, dir, _) = written();
    let text = fs::read_to_string(dir.join("run.json")).unwrap();
    for (from, to, said) in [
        ("\"duration_s\":61.5", "\"duration_s\":1e300", "duration_s is 1e300"),
        ("\"duration_s\":61.5", "\"duration_s\":-1.0", "duration_s is -1.0"),
        ("\"duration_s\":61.5", "\"duration_s\":1e999", "number out of range"),
        ("\"duration_s\":61.5", "\"duration_s\":null", "invalid type: null"),
        ("\"start_s\":3.0", "\"start_s\":-3.0", "`hit-rate-entries`, start_s is -3.0"),
        ("\"at_s\":12.5", "\"at_s\":1e10", "at_s is 10000000000.0"),
        ("\"ceiling\":0.892", "\"ceiling\":892", "the ceiling is 892.0"),
        ("\"client.sent\":2", "\"client.sent\":9999999999999999", "more than can be counted"),
        ("\"client.sent\":2", "\"client.sent\":-2", "invalid value: integer `-2"),
        ("\"count\":100000", "\"count\":0", "links.count is 0"),
        ("\"send_delay_p50_us\":1.5", "\"send_delay_p50_us\":-1.5", "generator_error holds -1.5"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = refusal(resealed(&text, |text| text.replacen(from, to, 1)));
        assert!(matches!(&error, ReportError::NoRun { .. }), "{to}: {error}");
        assert!(error.to_string().contains(said), "{to}: {error}");
    }
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
    assert!(matches!(refusal(""), ReportError::CutShort { .. }));
    for text in ["not json", "[1]", "{}", "{\"version\":\"x\"}", "\u{0}"] {
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
        let error = write(&dir, &crate::synthetic::quick_run(), &crate::synthetic::verdicts()).unwrap_err();
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

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = ["", "plots", "data"]
        .iter()
        .flat_map(|folder| fs::read_dir(dir.join(folder)).into_iter().flatten())
        .map(|entry| entry.unwrap().path().strip_prefix(dir).unwrap().display().to_string())
        .collect();
    names.sort();
    names
}

/// What is left of an earlier run would be taken for this one's; what is not ours is none of our business.
#[test]
fn a_report_replaces_an_earlier_one_and_nothing_else() {
    let (temp, dir, mut run) = written();
    let theirs = ["notes.txt", "plots/mine.svg", "data/m1-hit-rate-entries.csv"];
    theirs.iter().for_each(|name| fs::write(dir.join(name), "mine").unwrap());
    let outside = temp.path().join("outside.svg");
    fs::rename(dir.join("plots/m3-heat.svg"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, dir.join("plots/m3-heat.svg")).unwrap();
    run.measurements = vec![run.measurements.swap_remove(1)];
    write(&dir, &run, &[]).unwrap();
    let fresh = temp.path().join("fresh");
    write(&fresh, &run, &[]).unwrap();
    let mut expected = files(&fresh);
    expected.extend(theirs.map(str::to_owned));
    expected.push("plots/m3-heat.svg".to_owned());
    expected.sort();
    assert_eq!(files(&dir), expected);
    assert!(theirs.iter().all(|name| fs::read_to_string(dir.join(name)).unwrap() == "mine"));
    assert!(outside.exists());
}

/// A manifest is no licence to remove what lies elsewhere.
#[test]
fn no_manifest_leads_out_of_the_report() {
    let (temp, dir, run) = written();
    let outside = temp.path().join("outside.txt");
    fs::write(&outside, "mine").unwrap();
    let sum: String = Sha256::digest("mine").iter().map(|byte| format!("{byte:02x}")).collect();
    let names = ["../../outside.txt".to_owned(), outside.display().to_string()];
    let lines: String = names.iter().map(|name| format!("{sum}  {name}\n")).collect();
    fs::write(dir.join("files.sha256"), lines).unwrap();
    write(&dir, &run, &[]).unwrap();
    assert!(outside.exists());
}
