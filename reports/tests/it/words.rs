//! The terminal table and the job summary against golden files.

use std::path::Path;

use proofload_reports::{Verdict, html, markdown, plot, table};

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
    assert_golden("table-120.txt", &table(&crate::synthetic::verdicts(), 120, false));
    assert_golden("table-80.txt", &table(&crate::synthetic::verdicts(), 80, false));
    assert_golden("table-60.txt", &table(&crate::synthetic::verdicts(), 60, false));
}

#[test]
fn no_line_of_the_table_is_wider_than_the_terminal() {
    for width in [40, 60, 72, 80, 100, 200] {
        for line in table(&crate::synthetic::verdicts(), width, false).lines() {
            assert!(line.chars().count() <= width, "{} > {width}: {line}", line.chars().count());
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let mut coloured = table(&crate::synthetic::verdicts(), 100, true);
    for code in ["0", "1", "2", "32", "33", "1;31", "1;35"] {
        coloured = coloured.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(coloured, table(&crate::synthetic::verdicts(), 100, false));
}

#[test]
fn the_job_summary_reads_as_it_should() {
    assert_golden("report.md", &markdown(&crate::synthetic::quick_run(), &crate::synthetic::verdicts()));
}

/// What stands before the first fold is what is read in ten seconds.
#[test]
fn a_claim_has_one_row_and_its_bounds_are_folded() {
    let (run, verdicts) = (crate::synthetic::quick_run(), crate::synthetic::verdicts());
    let page = html(&run, &verdicts).unwrap();
    let (open, _) = page.split_once("<details").unwrap();
    assert_eq!(open.matches("<tr><td").count(), verdicts.len());
    assert!(page.contains("<summary>All 4 bounds</summary>"));
    let text = markdown(&run, &verdicts);
    let (open, folded) = text.split_once("<details>").unwrap();
    assert_eq!(open.lines().filter(|line| line.starts_with("| `")).count(), verdicts.len(), "{open}");
    assert_eq!(folded.lines().filter(|line| line.starts_with("| `")).count(), 4);
    for text in [open, page.split_once("</header>").unwrap().0] {
        assert!(text.contains("57,110 of 57,283 requests were answered rightly (99.70"), "{text}");
    }
}

#[test]
fn counters_that_counted_nothing_take_no_room() {
    let page = html(&crate::synthetic::quick_run(), &[]).unwrap();
    assert!(!page.contains("<td>client.wrong") && page.contains("<td>client.sent"));
}

/// The row is that of the worst of the bounds that decide.
#[test]
fn a_claim_is_told_by_the_bound_that_decides_it() {
    let mut verdicts = crate::synthetic::verdicts();
    let mut failing = verdicts[0].checks[1].clone();
    failing.check.title = "≥ 99.9 % of the ceiling".into();
    failing.verdict = Verdict::Fails;
    failing.reasons = vec!["99.63 % (99.41 to 99.82) misses ≥ 99 %".into()];
    verdicts[0].checks.push(failing);
    verdicts[0].upheld = Some(Verdict::Fails);
    let text = markdown(&crate::synthetic::quick_run(), &verdicts);
    let row = text.lines().find(|line| line.starts_with("| `hit-rate`")).unwrap();
    assert!(
        row.starts_with("| `hit-rate` ≥ 99.9 % of the ceiling | ✗ fails |"),
        "that it misses stands beside it: {row}"
    );
}

#[test]
fn foreign_text_breaks_no_table_row() {
    let text = markdown(&crate::synthetic::quick_run(), &crate::synthetic::verdicts());
    let row = text.lines().find(|line| line.contains("counted")).unwrap();
    assert_eq!(row.replace("\\|", "").matches('|').count(), 7, "{row}");
}

#[test]
fn a_long_report_stays_within_the_cap_of_a_job_summary() {
    let mut run = crate::synthetic::quick_run();
    run.invalid = vec!["é".repeat(2_000); 1_000];
    let text = markdown(&run, &crate::synthetic::verdicts());
    assert!(text.len() <= 1 << 20 && text.contains("cut at 1 MiB"));
}

/// The cells of the row of the table of loads that begins so.
fn cells<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let row = text.lines().find(|line| line.starts_with(&format!("| {name}"))).expect("it has a row");
    row.split('|').map(str::trim).collect()
}

#[test]
fn latencies_that_cannot_be_trusted_are_marked() {
    let mut run = crate::synthetic::quick_run();
    run.measurements[0].invalid_latency = vec!["the generator <lagged>".into()];
    run.measurements[2].invalid = vec!["the target died".into()];
    let text = markdown(&run, &[]);
    let lagging = cells(&text, "hit-rate-entries");
    assert_eq!(lagging[3], "2,040", "counts stand");
    assert!(lagging[6..9].iter().all(|cell| cell.starts_with("! ")), "{lagging:?}");
    let dead = cells(&text, "journeys");
    assert!([3, 6, 7, 8].iter().all(|at| dead[*at].starts_with("! ")), "{dead:?}");
    assert!(cells(&text, "create-only, after")[3..].iter().all(|cell| !cell.contains('!')));
    for reason in
        ["- **hit-rate-entries**: the generator \\<lagged\\>\n", "- **journeys**: the target died\n"]
    {
        assert!(text.contains(reason), "{reason}: {text}");
    }
}

#[test]
fn no_more_than_all_is_answered_rightly() {
    let mut run = crate::synthetic::quick_run();
    run.measurements.truncate(1);
    for slice in &mut run.measurements[0].series[0].slices {
        slice.counters.extend([("client.error".into(), 0), ("client.dropped".into(), 0)]);
        // What was under way when the slice began ends in it, too.
        let before = slice.counters["client.ok"] - 64;
        slice.counters.extend([("client.sent".into(), before), ("client.arrivals".into(), before)]);
    }
    let (text, plots) = (markdown(&run, &[]), plot::plots(&run));
    let cells = cells(&text, "hit-rate-entries");
    assert_eq!(cells[2], cells[3], "as many were offered as were answered");
    let captions: String = plots.iter().map(|plot| format!("{}\n", plot.caption)).collect();
    assert!(captions.contains("answered rightly (100.00 %)"), "{captions}");
    assert!(!captions.contains("slowest"), "none was lost: {captions}");
}

#[test]
fn what_is_under_way_at_the_end_is_not_called_lost() {
    let mut run = crate::synthetic::quick_run();
    run.measurements.truncate(1);
    let slices = &mut run.measurements[0].series[0].slices;
    for slice in slices.iter_mut() {
        slice.counters.extend([("client.error".into(), 0), ("client.dropped".into(), 0)]);
        slice.counters.insert("client.sent".into(), slice.counters["client.ok"]);
    }
    *slices[3].counters.get_mut("client.sent").unwrap() += 32;
    let captions: Vec<String> = plot::plots(&run).into_iter().map(|plot| plot.caption).collect();
    let telling = captions.iter().filter(|it| it.contains("32 were still under way at the end"));
    assert_eq!(telling.count(), 2, "{captions:#?}");
    assert!(captions.iter().all(|it| !it.contains("slowest") && !it.contains("100.00 %")), "{captions:#?}");
}

#[test]
fn a_server_that_drops_is_not_flattered() {
    let mut run = crate::synthetic::quick_run();
    run.measurements.truncate(1);
    for slice in &mut run.measurements[0].series[0].slices {
        slice.counters.insert("client.dropped".into(), slice.counters["client.sent"] / 50);
    }
    let text = markdown(&run, &[]);
    let cells = cells(&text, "hit-rate-entries");
    assert_ne!(cells[6], "never", "half were answered: {cells:?}");
    assert_eq!(cells[7], "never", "of a hundred requests, two were dropped: {cells:?}");
}
