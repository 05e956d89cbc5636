//! The verbs `report` and `compare`: reports of runs that were recorded before.

use anyhow::{Result, bail};
use proofload_reports::compare::{self, Compared, Comparison, Reading, Row};
use proofload_reports::{file, render};

use crate::cli::{CompareArgs, ReportArgs};
use crate::publish::Destination;
use crate::terminal;

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
    println!("{}report: {}", terminal::folded(&told(&comparison)), page.display());
    Ok(0)
}

/// All rows of a measurement below its name, why some are unknown once below these, then what else the runs differ in.
fn told(comparison: &Comparison) -> String {
    let rows = &comparison.rows;
    let longest = |of: fn(&Row) -> String| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let sizes = (longest(|row| row.variant.clone()), longest(|row| metric(row.metric)));
    let mut text = String::new();
    for measurement in rows.chunk_by(|one, other| one.scenario == other.scenario) {
        text += &format!("{}\n", measurement[0].scenario);
        measurement.iter().for_each(|row| text += &format!("  {}\n", line(row, sizes)));
        for (reason, metrics) in unknown(measurement, &comparison.invalid) {
            text += &format!("    {reason} (unknown: {})\n", metrics.join(", "));
        }
    }
    let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
    for change in &comparison.changes {
        text += &format!("changed: {}: {} → {}\n", change.what, told(&change.a), told(&change.b));
    }
    comparison.unmatched.iter().for_each(|only| text += &format!("in one of them alone: {only}\n"));
    comparison.invalid.iter().for_each(|reason| text += &format!("{reason}\n"));
    format!("{text}\n{}\n\n", compare::CAVEAT)
}

/// Each reason for which something is unknown, with all that is; those of a whole run stand at the end.
fn unknown<'a>(rows: &'a [Row], of_run: &[String]) -> Vec<(&'a str, Vec<String>)> {
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    for row in rows.iter().filter(|row| row.reading == Reading::Unknown) {
        let name = metric(row.metric);
        for reason in row.reasons.iter().filter(|reason| !of_run.contains(reason)) {
            match found.iter_mut().find(|(known, _)| known == reason) {
                None => found.push((reason, vec![name.clone()])),
                // Of several variants.
                Some((_, names)) if names.contains(&name) => {}
                Some((_, names)) => names.push(name.clone()),
            }
        }
    }
    found
}

/// `after  throughput  no difference shown  1.020 × (0.990 to 1.050)`.
fn line(row: &Row, (variant, measured): (usize, usize)) -> String {
    let ratio = match (row.ratio, &row.interval) {
        (Some(ratio), Some(interval)) if interval.high.is_finite() => {
            format!("{ratio:.3} × ({:.3} to {:.3})", interval.low, interval.high)
        }
        (Some(ratio), Some(interval)) => format!("{ratio:.3} × ({:.3} to ∞)", interval.low),
        (Some(ratio), None) => format!("{ratio:.3} ×"),
        (None, _) => String::new(),
    };
    let reading = match row.reading {
        Reading::Higher => "higher",
        Reading::Lower => "lower",
        Reading::NoDifferenceShown => "no difference shown",
        Reading::Unknown => "unknown",
    };
    let line =
        format!("{:<variant$}  {:<measured$}  {reading:<19}  {ratio}", row.variant, metric(row.metric));
    line.trim_end().to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(metric: Compared, ratio: Option<f64>, reasons: &[&str]) -> Row {
        Row {
            scenario: "shop".to_owned(),
            variant: "default".to_owned(),
            metric,
            a: None,
            b: None,
            ratio,
            interval: None,
            reading: if ratio.is_some() { Reading::NoDifferenceShown } else { Reading::Unknown },
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
        }
    }

    #[test]
    fn why_rows_are_unknown_is_told_once_a_measurement() {
        let late = ["B: the generator was late", "A is invalid: it was cut short"];
        let rows = vec![
            row(Compared::Throughput, Some(1.0), &[]),
            row(Compared::Response { quantile: 0.5 }, None, &late),
            row(Compared::Response { quantile: 0.99 }, None, &late),
        ];
        let invalid = vec![late[1].to_owned()];
        let text = told(&Comparison { rows, changes: Vec::new(), unmatched: Vec::new(), invalid });
        assert_eq!(
            text.lines().take(6).collect::<Vec<_>>(),
            [
                "shop",
                "  default  throughput    no difference shown  1.000 ×",
                "  default  response p50  unknown",
                "  default  response p99  unknown",
                "    B: the generator was late (unknown: response p50, response p99)",
                "A is invalid: it was cut short",
            ]
        );
    }
}
