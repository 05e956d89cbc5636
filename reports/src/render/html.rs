//! `report.html`: one file, self-contained, that reads without JavaScript.

use askama::Template;

use crate::file::{self, ReportError};
use crate::plot::{self, Plot, Table, faults};
use crate::render::means;
use crate::render::prose::filters;
use crate::render::{claims, figure, rates, raw, rests, table};
use crate::run::{Ledger, Measurement, Run};
use crate::verdict::{CheckVerdict, ClaimVerdict, Verdict};

/// The colours and the plots' classes first: a plot that stands alone in a file has them, too.
pub const CSS: &str =
    concat!(include_str!("../../templates/plot.css"), include_str!("../../templates/report.css"));
pub const JS: &str = include_str!("../../templates/report.js");

/// # Errors
/// A plot that plotters cannot draw.
pub fn html(run: &Run, verdicts: &[ClaimVerdict]) -> Result<String, ReportError> {
    page(run, file::text(run).as_bytes(), verdicts, &plot::plots(run))
}

/// The page with plots that were drawn already; `raw` is the run as it lies beside it.
pub fn page(run: &Run, raw: &[u8], verdicts: &[ClaimVerdict], plots: &[Plot]) -> Result<String, ReportError> {
    let headline = means::headline(run, verdicts);
    let (points, loads) = rates::loads(run)
        .into_iter()
        .partition(|load| plot::is_point(&run.measurements[load.measurement - 1]));
    let (points_alone, measurements) = run
        .measurements
        .iter()
        .enumerate()
        .map(|(index, it)| Load::of(index, it, plots, run.measurements.len()))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .partition(|it| plot::is_point(&run.measurements[it.number - 1]));
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        title: format!("proofload: {headline}"),
        css: CSS,
        js: JS,
        verb: &run.verb,
        moment: figure::moment(run.started_unix_ms),
        headline,
        aloud: means::aloud(run, verdicts),
        invalid: &run.invalid,
        claim_rows: claims::rows(verdicts).into_iter().map(Claim::of).collect(),
        verdicts: verdicts.iter().flat_map(|it| it.checks.iter().map(|check| Row::of(it, check))).collect(),
        loads,
        points,
        joint: figures(plots.iter().filter(|plot| plot.measurement.is_none()))?,
        claims: verdicts.iter().map(|it| Evidence::of(it, run)).collect(),
        measurements,
        points_alone,
        bar_titles: means::BAR_TITLES,
        bars: means::bars(run),
        environment: means::environment(run),
        command: means::command(run),
        bias: means::bias(run),
        raw: raw::html(raw),
    };
    Ok(page.render().expect("a page of text renders to text"))
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    version: &'static str,
    title: String,
    css: &'static str,
    js: &'static str,
    verb: &'a str,
    moment: String,
    headline: String,
    /// What a person would say beside the headline; of several claims each says its own where its evidence is.
    aloud: Vec<String>,
    invalid: &'a [String],
    claim_rows: Vec<Claim>,
    verdicts: Vec<Row>,
    loads: Vec<rates::Load>,
    /// Loads that are points of a curve or a map: many, and of interest one by one only.
    points: Vec<rates::Load>,
    joint: Vec<Figure>,
    claims: Vec<Evidence<'a>>,
    measurements: Vec<Load<'a>>,
    /// Those that are points of a curve or a map.
    points_alone: Vec<Load<'a>>,
    bar_titles: [&'static str; 5],
    bars: Vec<[String; 5]>,
    environment: Vec<(&'static str, String)>,
    command: String,
    bias: Vec<&'static str>,
    raw: String,
}

/// A row of the table of claims.
struct Claim {
    row: claims::Row,
    value: String,
    range: String,
}

impl Claim {
    fn of(row: claims::Row) -> Claim {
        let (value, range) = apart(&row.measured);
        Claim { value, range, row }
    }
}

/// A measured value and its interval.
fn apart(measured: &str) -> (String, String) {
    let (value, range) = measured.split_at(measured.find(" (").unwrap_or(measured.len()));
    (value.to_owned(), range.trim_start().to_owned())
}

/// A row of the table of all bounds.
struct Row {
    claim: String,
    kind: &'static str,
    title: String,
    measured: String,
    range: String,
    verdict: Verdict,
    mark: char,
    why: String,
    rests_on: String,
}

impl Row {
    fn of(claim: &ClaimVerdict, check: &CheckVerdict) -> Row {
        let (value, range) = apart(&figure::measured(check));
        Row {
            claim: claim.claim.id.clone(),
            kind: table::kind(check),
            title: check.check.title.clone(),
            measured: value,
            range,
            verdict: check.verdict,
            mark: table::mark(check.verdict),
            why: claims::why(check),
            rests_on: rests::in_short(check),
        }
    }
}

/// A claim's evidence, check by check.
struct Evidence<'a> {
    id: &'a str,
    statement: &'a str,
    sentence: &'a str,
    note: &'a str,
    checks: Vec<CheckEvidence<'a>>,
}

struct CheckEvidence<'a> {
    verdict: Verdict,
    mark: char,
    kind: &'static str,
    title: &'a str,
    measured: String,
    bound: String,
    reasons: &'a [String],
    method: String,
    rests: &'a [String],
    scenario: &'a str,
    measurement: Option<usize>,
}

impl<'a> Evidence<'a> {
    fn of(claim: &'a ClaimVerdict, run: &Run) -> Evidence<'a> {
        Evidence {
            id: &claim.claim.id,
            statement: &claim.claim.statement,
            sentence: &claim.sentence,
            note: &claim.claim.note,
            checks: claim.checks.iter().map(|check| CheckEvidence::of(check, run)).collect(),
        }
    }
}

impl<'a> CheckEvidence<'a> {
    fn of(check: &'a CheckVerdict, run: &Run) -> CheckEvidence<'a> {
        let made = |it: &Measurement| it.scenario.name == check.check.scenario;
        CheckEvidence {
            verdict: check.verdict,
            mark: table::mark(check.verdict),
            kind: table::kind(check),
            title: &check.check.title,
            measured: figure::measured(check),
            bound: figure::bound(&check.check),
            reasons: &check.reasons,
            method: claims::method(check),
            rests: &check.rests_on,
            scenario: &check.check.scenario,
            measurement: run.measurements.iter().position(made).map(|index| index + 1),
        }
    }
}

/// A measurement, with its plots.
struct Load<'a> {
    number: usize,
    open: bool,
    name: &'a str,
    about: &'a str,
    remarks: Vec<String>,
    invalid: Vec<&'a str>,
    plots: Vec<Figure>,
    /// Plots that are too many for the page: those of a point of a curve or a map, and in a run of many measurements
    /// those of each variant but the first, and what is of use only where the generator's own error stands out.
    beside: Vec<&'a str>,
    /// The plots of each variant but the first.
    folded: Vec<(&'a str, Vec<Figure>)>,
    ledger: Vec<(&'static str, String)>,
    settings: Vec<(String, String)>,
    counters: Table,
    facts: Vec<(String, String)>,
}

/// A page with more measurements than this would pass the size at which it can be sent around.
const MANY: usize = 12;
/// Plots whose gist the others tell: lag is drawn over steal, and the percentiles beside those of the send delay.
const BESIDE: [&str; 2] = ["send-delay", "generator"];

impl<'a> Load<'a> {
    /// A run of few measurements lies open; of many, a reader picks.
    fn of(
        index: usize,
        measurement: &'a Measurement,
        plots: &'a [Plot],
        of: usize,
    ) -> Result<Load<'a>, ReportError> {
        let own = || plots.iter().filter(move |plot| plot.measurement == Some(index));
        let many = of > MANY;
        let is_beside = |plot: &Plot| {
            let kind = plot.id.split_once('-').map_or("", |(_, kind)| kind);
            let of_use_to_few = || BESIDE.iter().any(|id| kind.starts_with(id));
            plot::is_point(measurement) || (many && (plot.folded.is_some() || of_use_to_few()))
        };
        Ok(Load {
            number: index + 1,
            open: of <= 4 && !plot::is_point(measurement),
            name: &measurement.scenario.name,
            about: &measurement.scenario.about,
            remarks: measurement.remarks.iter().cloned().chain(faults::remark(&measurement.faults)).collect(),
            invalid: measurement
                .invalid
                .iter()
                .chain(&measurement.invalid_latency)
                .map(String::as_str)
                .collect(),
            plots: match plot::is_point(measurement) {
                true => Vec::new(),
                false => figures(own().filter(|plot| plot.folded.is_none() && !is_beside(plot)))?,
            },
            beside: own().filter(|plot| is_beside(plot)).map(|plot| plot.id.as_str()).collect(),
            folded: measurement
                .series
                .iter()
                .skip(1)
                .filter(|_| !many)
                .map(|series| series.variant.as_str())
                .map(|variant| {
                    Ok((variant, figures(own().filter(|plot| plot.folded.as_deref() == Some(variant)))?))
                })
                .collect::<Result<_, ReportError>>()?,
            ledger: measurement.ledger.as_ref().map(ledger).unwrap_or_default(),
            settings: means::settings(measurement),
            // A point's are in its CSV.
            counters: match plot::is_point(measurement) {
                true => Table::new(["counter"]),
                false => rates::counters(measurement),
            },
            facts: measurement
                .facts
                .iter()
                .map(|(name, value)| (name.clone(), figure::Unit::of_fact(name).write(*value, 4)))
                .collect(),
        })
    }
}

/// A plot in the page.
#[derive(Template)]
#[template(path = "figure.html")]
struct Drawn<'a> {
    id: &'a str,
    title: &'a str,
    svg: String,
    caption: &'a str,
    table: &'a Table,
}

pub struct Figure {
    pub html: String,
}

pub fn figures<'a>(plots: impl Iterator<Item = &'a Plot>) -> Result<Vec<Figure>, ReportError> {
    plots
        .map(|plot| {
            let (title, caption, table) = (&plot.title, &plot.caption, &plot.table);
            let drawn = Drawn { id: &plot.id, title, svg: plot.inline()?, caption, table };
            Ok(Figure { html: drawn.render().expect("a figure of text renders to text") })
        })
        .collect()
}

fn ledger(ledger: &Ledger) -> Vec<(&'static str, String)> {
    let count = |n: u64| figure::grouped(n as f64);
    let mut rows = vec![
        ("acknowledged", count(ledger.acknowledged)),
        ("present", count(ledger.present)),
        ("missing", count(ledger.missing)),
        ("wrong", count(ledger.wrong)),
        ("duplicates", count(ledger.duplicates)),
        ("indeterminate", count(ledger.indeterminate)),
        ("strangers", count(ledger.strangers)),
    ];
    rows.extend(ledger.unleased.map(|links| ("of no lease", count(links))));
    if !ledger.stacks.is_empty() {
        let stacks = ledger.stacks.iter().map(|(stack, links)| format!("{stack} {}", count(*links)));
        rows.push(("by stack", stacks.collect::<Vec<_>>().join(", ")));
    }
    rows.push(("read back", ledger.source.clone()));
    rows
}
