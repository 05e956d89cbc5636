//! `junit.xml`: one test case a claim, named by the claim's id.

use std::time::Duration;

use proofload_scenarios::Kind;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::render::{claims, figure, means, table};
use crate::run::{Measurement, Run};
use crate::verdict::{CheckVerdict, ClaimVerdict, Verdict, untrusted};

/// A claim that fails is a `<failure>`, an invalid one an `<error>`, one that is inconclusive or was left out `<skipped>`.
///
/// The bound that is upheld decides, as it decides the exit code, so that a test summary and the exit
/// code never disagree. What became of the published bound stands in the case's properties and output.
pub fn junit(run: &Run, verdicts: &[ClaimVerdict]) -> String {
    let mut suite = TestSuite::new("claims");
    suite.set_time(Duration::try_from_secs_f64(run.duration_s).unwrap_or_default());
    suite.add_test_cases(verdicts.iter().map(|it| case(it, run)));
    suite.add_test_cases(untrusted(run, verdicts).map(|measurement| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        let reasons = [&measurement.invalid[..], &measurement.invalid_latency].concat();
        status.set_message(reasons.join("; ")).set_type("invalid");
        TestCase::new(format!("scenario {}", measurement.scenario.name), status)
    }));
    for left_out in &run.not_checked {
        suite.add_test_cases(left_out.claims.iter().map(|claim| {
            let mut status = TestCaseStatus::skipped();
            status.set_message(left_out.why.clone()).set_type("not checked");
            let mut case = TestCase::new(claim.clone(), status);
            case.set_classname("proofload");
            case
        }));
    }
    if !run.invalid.is_empty() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(run.invalid.join("; ")).set_type("invalid");
        suite.add_test_case(TestCase::new("run", status));
    }
    let mut report = Report::new("proofload");
    report.add_test_suite(suite);
    report.to_string().expect("a report of text serializes to text")
}

fn case(claim: &ClaimVerdict, run: &Run) -> TestCase {
    let mut case = TestCase::new(claim.claim.id.clone(), status(claim));
    case.set_classname("proofload");
    case.add_properties(claim.checks.iter().enumerate().map(|(index, check)| {
        Property::new(format!("{}.{}", table::kind(check), index + 1), in_short(check))
    }));
    let workloads = run.measurements.iter().filter(|it| claim.checks.iter().any(|check| is_of(check, it)));
    let evidence: Vec<String> = claim.checks.iter().map(evidence).chain(workloads.map(workload)).collect();
    case.set_system_out(evidence.join("\n\n"));
    case
}

fn is_of(check: &CheckVerdict, measurement: &Measurement) -> bool {
    check.check.scenario == measurement.scenario.name
}

/// What decided the numbers: a claim fixes it.
fn workload(measurement: &Measurement) -> String {
    let settings = means::settings(measurement);
    let lines = settings.iter().map(|(name, value)| format!("  {name} = {value}"));
    [format!("measured by {}", measurement.scenario.name)]
        .into_iter()
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

fn status(claim: &ClaimVerdict) -> TestCaseStatus {
    let (verdict, kind) = match claim.upheld {
        Some(verdict) => (verdict, Kind::Upheld),
        None => (claim.stated.unwrap_or(Verdict::Invalid), Kind::Stated),
    };
    let mut status = match verdict {
        // What is published alone decides nothing.
        Verdict::Fails if kind == Kind::Stated => TestCaseStatus::skipped(),
        Verdict::Holds => return TestCaseStatus::success(),
        Verdict::Fails => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Invalid => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Inconclusive => TestCaseStatus::skipped(),
    };
    let deciding = claim.checks.iter().filter(|it| it.check.kind == kind && it.verdict == verdict);
    status.set_message(deciding.map(message).collect::<Vec<_>>().join(" | "));
    if matches!(status, TestCaseStatus::NonSuccess { .. }) {
        status.set_type(verdict.name());
    }
    status
}

fn message(check: &CheckVerdict) -> String {
    match check.reasons.is_empty() {
        true => in_short(check),
        false => format!("{}: {}", in_short(check), check.reasons.join("; ")),
    }
}

fn in_short(check: &CheckVerdict) -> String {
    let (measured, bound) = (figure::measured(check), figure::bound(&check.check));
    format!("{}: {}, measured {measured}, bound {bound}", check.verdict, check.check.title)
}

fn evidence(check: &CheckVerdict) -> String {
    let mut lines = vec![format!("{} {}", table::kind(check), in_short(check))];
    let method = claims::method(check);
    lines.extend((!method.is_empty()).then(|| format!("  {method}")));
    lines.extend(check.reasons.iter().map(|it| format!("  because {it}")));
    lines.extend(check.rests_on.iter().map(|it| format!("  rests on {it}")));
    lines.join("\n")
}
