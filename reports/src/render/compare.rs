//! Two runs side by side, as a page: ratios, overlaid curves, what else was changed.

use askama::Template;

use crate::compare::{self, CAVEAT, Compared, Comparison, Reading};
use crate::figure;
use crate::file::ReportError;
use crate::plot;
use crate::render::html::{CSS, Figure, JS, figures};
use crate::render::prose::filters;
use crate::run::Run;

/// # Errors
/// A plot that plotters cannot draw.
pub fn compare_html(a: &Run, b: &Run) -> Result<String, ReportError> {
    let comparison = compare::compare(a, b);
    let plots = plot::overlaid(a, b);
    let page = Page {
        css: CSS,
        js: JS,
        headline: headline(&comparison),
        a: named(a),
        b: named(b),
        caveat: CAVEAT,
        invalid: invalid("A", a).chain(invalid("B", b)).collect(),
        rows: comparison.rows.iter().map(Row::of).collect(),
        unmatched: comparison.unmatched.join(", "),
        plots: figures(plots.iter())?,
        changes: comparison.changes.iter().map(Change::of).collect(),
    };
    Ok(page.render().expect("a page of text renders to text"))
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    css: &'static str,
    js: &'static str,
    headline: String,
    a: String,
    b: String,
    caveat: &'static str,
    invalid: Vec<String>,
    rows: Vec<Row>,
    unmatched: String,
    plots: Vec<Figure>,
    changes: Vec<Change>,
}

struct Row {
    name: String,
    metric: String,
    a: String,
    b: String,
    ratio: String,
    range: String,
    reading: &'static str,
    why: String,
}

impl Row {
    fn of(row: &compare::Row) -> Row {
        let value = |value: Option<f64>| value.map_or("–".to_owned(), |value| said(row.metric, value));
        Row {
            name: format!("{}, {}", row.scenario, row.variant),
            metric: name(row.metric),
            a: value(row.a),
            b: value(row.b),
            ratio: row.ratio.map_or("–".to_owned(), |it| format!("{it:.3}")),
            range: row.interval.map_or(String::new(), |it| format!("({:.3} to {})", it.low, upper(it.high))),
            reading: reading(row.reading),
            why: row.reasons.join("; "),
        }
    }
}

fn upper(high: f64) -> String {
    if high.is_finite() { format!("{high:.3}") } else { "∞".to_owned() }
}

/// A setting that differs, in words.
struct Change {
    what: String,
    a: String,
    b: String,
}

impl Change {
    fn of(change: &compare::Change) -> Change {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        Change { what: change.what.clone(), a: said(&change.a), b: said(&change.b) }
    }
}

fn headline(comparison: &Comparison) -> String {
    let count = |reading| comparison.rows.iter().filter(|row| row.reading == reading).count();
    let (higher, lower) = (count(Reading::Higher), count(Reading::Lower));
    let (same, unknown) = (count(Reading::NoDifferenceShown), count(Reading::Unknown));
    match comparison.rows.len() {
        0 => "The runs have nothing in common that could be compared".to_owned(),
        all if unknown == all => format!("Too little was measured to compare any of {all} metrics"),
        all => format!(
            "Of {all} metrics, {higher} are higher in B, {lower} lower; {same} show no difference, {unknown} cannot tell"
        ),
    }
}

fn named(run: &Run) -> String {
    format!(
        "{}, proofload {} {}",
        figure::moment(run.started_unix_ms),
        run.environment.tool_version,
        run.verb
    )
}

/// What makes a run, or a part of it, one that cannot be trusted.
fn invalid<'a>(side: &'a str, run: &'a Run) -> impl Iterator<Item = String> + 'a {
    let parts = run.measurements.iter().flat_map(|it| it.invalid.iter().chain(&it.invalid_latency));
    run.invalid.iter().chain(parts).map(move |reason| format!("{side}: {reason}"))
}

fn name(metric: Compared) -> String {
    match metric {
        Compared::Throughput => "right answers a second".to_owned(),
        Compared::Response { quantile } => format!("response time, {}", percentile(quantile)),
        Compared::Service { quantile } => format!("service time, {}", percentile(quantile)),
        Compared::ServerCpu => "server CPU a request".to_owned(),
        Compared::HitRate => "hit rate".to_owned(),
        Compared::StatementsPerCreate => "statements a create".to_owned(),
    }
}

fn said(metric: Compared, value: f64) -> String {
    match metric {
        Compared::Response { .. } | Compared::Service { .. } | Compared::ServerCpu => figure::time_us(value),
        Compared::HitRate => format!("{:.2} %", value * 100.0),
        Compared::Throughput | Compared::StatementsPerCreate => figure::significant(value),
    }
}

/// Undoes what a binary fraction adds: 0.999 × 100 is not 99.9.
fn percentile(quantile: f64) -> String {
    format!("p{}", (quantile * 1e8).round() / 1e6)
}

fn reading(reading: Reading) -> &'static str {
    match reading {
        Reading::Higher => "higher in B",
        Reading::Lower => "lower in B",
        Reading::NoDifferenceShown => "no difference shown",
        Reading::Unknown => "unknown",
    }
}
