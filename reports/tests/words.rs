//! The terminal table and the job summary against golden files.

mod synthetic;

use std::path::Path;

use proofload_reports::{markdown, table};

/// Compares with `tests/golden/NAME`; `GOLDEN=write` writes it anew, to be looked at and committed.
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{name} differs; if that is meant, run once with GOLDEN=write");
}

#[test]
fn the_table_reads_as_it_should() {
    assert_golden("table-120.txt", &table(&synthetic::verdicts(), 120, false));
    assert_golden("table-80.txt", &table(&synthetic::verdicts(), 80, false));
    assert_golden("table-60.txt", &table(&synthetic::verdicts(), 60, false));
}

#[test]
fn no_line_of_the_table_is_wider_than_the_terminal() {
    for width in [40, 60, 72, 80, 100, 200] {
        for line in table(&synthetic::verdicts(), width, false).lines() {
            assert!(line.chars().count() <= width, "{} > {width}: {line}", line.chars().count());
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let mut coloured = table(&synthetic::verdicts(), 100, true);
    for code in ["0", "1", "2", "32", "33", "1;31", "1;35"] {
        coloured = coloured.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(coloured, table(&synthetic::verdicts(), 100, false));
}

#[test]
fn the_job_summary_reads_as_it_should() {
    assert_golden("report.md", &markdown(&synthetic::quick_run(), &synthetic::verdicts()));
}

#[test]
fn foreign_text_breaks_no_table_row() {
    let text = markdown(&synthetic::quick_run(), &synthetic::verdicts());
    let row = text.lines().find(|line| line.contains("counted")).unwrap();
    assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
}

#[test]
fn a_long_report_stays_within_the_cap_of_a_job_summary() {
    let mut run = synthetic::quick_run();
    run.invalid = vec!["é".repeat(2_000); 1_000];
    let text = markdown(&run, &synthetic::verdicts());
    assert!(text.len() <= 1 << 20 && text.contains("cut at 1 MiB"));
}

#[test]
fn a_server_that_drops_is_not_flattered() {
    let mut run = synthetic::quick_run();
    run.measurements.truncate(1);
    for slice in &mut run.measurements[0].series[0].slices {
        slice.counters.insert("client.dropped".into(), slice.counters["client.sent"] / 50);
    }
    let text = markdown(&run, &[]);
    let row = text.lines().find(|line| line.starts_with("| hit-rate-entries")).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_ne!(cells[6], "never", "half were answered: {row}");
    assert_eq!(cells[7], "never", "of a hundred requests, two were dropped: {row}");
}
