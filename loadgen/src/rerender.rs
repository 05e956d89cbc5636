//! The verbs `report` and `compare`: reports of runs that were recorded before.

use anyhow::{Result, bail};
use proofload_reports::compare::{self, Compared, Reading, Row};
use proofload_reports::{file, render};

use crate::cli::{CompareArgs, ReportArgs};
use crate::publish::Destination;

/// Judges and renders each run again. Several runs go into directories of their own.
pub fn report(args: &ReportArgs) -> Result<u8> {
    if args.runs.len() > 1 && args.output.out.is_some() {
        bail!("--out DIR takes one run at a time: render them one by one, or leave --out away");
    }
    let mut codes = Vec::new();
    for path in &args.runs {
        let recorded = file::recorded(path)?;
        let destination = Destination::prepare(&args.output, "report")?;
        codes.push(destination.publish_again(&recorded, args.output.json)?);
    }
    // As for the checks of one run: what is invalid comes before what fails, and that before what is not settled.
    Ok([4, 1, 3].into_iter().find(|code| codes.contains(code)).unwrap_or(0))
}

/// Puts two runs side by side: a page, and a table on the terminal.
pub fn compare(args: &CompareArgs) -> Result<u8> {
    let (a, b) = (file::read(&args.a)?, file::read(&args.b)?);
    let destination = Destination::prepare(&args.output, "compare")?;
    let page = destination.publish_page("compare.html", &render::compare_html(&a, &b)?)?;
    let comparison = compare::compare(&a, &b);
    if args.output.json {
        println!("{}", serde_json::to_string(&comparison)?);
        return Ok(0);
    }
    for row in &comparison.rows {
        println!("{}", line(row));
    }
    for change in &comparison.changes {
        let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
        println!("changed: {}: {} → {}", change.what, told(&change.a), told(&change.b));
    }
    comparison.unmatched.iter().for_each(|only| println!("in one of them alone: {only}"));
    comparison.invalid.iter().for_each(|reason| println!("{reason}"));
    println!("\n{}\n\nreport: {}", compare::CAVEAT, page.display());
    Ok(0)
}

/// `creates-before-after (after)  throughput  1.02 × (0.99 to 1.05): no difference shown`.
fn line(row: &Row) -> String {
    let ratio = match (row.ratio, &row.interval) {
        (Some(ratio), Some(interval)) if interval.high.is_finite() => {
            format!("{ratio:.3} × ({:.3} to {:.3})", interval.low, interval.high)
        }
        (Some(ratio), Some(interval)) => format!("{ratio:.3} × ({:.3} to ∞)", interval.low),
        (Some(ratio), None) => format!("{ratio:.3} ×"),
        (None, _) => row.reasons.join("; "),
    };
    let reading = match row.reading {
        Reading::Higher => "higher",
        Reading::Lower => "lower",
        Reading::NoDifferenceShown => "no difference shown",
        Reading::Unknown => "unknown",
    };
    format!("{:<26} {:<10} {:<22} {ratio}: {reading}", row.scenario, row.variant, metric(row.metric))
}

fn metric(metric: Compared) -> String {
    match metric {
        Compared::Throughput => "throughput".to_owned(),
        Compared::Response { quantile } => format!("response p{}", quantile * 100.0),
        Compared::Service { quantile } => format!("service p{}", quantile * 100.0),
        Compared::ServerCpu => "server CPU per answer".to_owned(),
        Compared::HitRate => "hit rate".to_owned(),
        Compared::StatementsPerCreate => "statements per create".to_owned(),
    }
}
