//! `junit.xml` as quick-junit's own reader sees it.

mod synthetic;

use proofload_reports::junit;
use proofload_reports::verdict::Verdict;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};

fn status_of(verdict: Verdict) -> TestCaseStatus {
    let mut verdicts = synthetic::verdicts();
    verdicts.truncate(1);
    verdicts[0].upheld = Some(verdict);
    verdicts[0].checks[1].verdict = verdict;
    verdicts[0].checks[1].reasons = vec!["a <reason> & \u{1b}[31m more".into()];
    let xml = junit(&synthetic::quick_run(), &verdicts);
    let report = Report::deserialize_from_str(&xml).unwrap();
    let case = &report.test_suites[0].test_cases[0];
    assert_eq!(case.name.as_str(), "hit-rate");
    case.status.clone()
}

#[test]
fn each_verdict_has_its_element() {
    assert!(matches!(status_of(Verdict::Holds), TestCaseStatus::Success { .. }));
    assert!(matches!(
        status_of(Verdict::Fails),
        TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. }
    ));
    assert!(matches!(
        status_of(Verdict::Invalid),
        TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. }
    ));
    let TestCaseStatus::Skipped { message, .. } = status_of(Verdict::Inconclusive) else {
        panic!("not skipped")
    };
    assert!(message.unwrap().as_str().contains("a <reason> &"));
}

#[test]
fn a_run_that_cannot_be_trusted_is_an_error_even_without_claims() {
    let mut run = synthetic::quick_run();
    run.invalid.push("the target died".into());
    let report = Report::deserialize_from_str(&junit(&run, &[])).unwrap();
    assert_eq!((report.tests, report.errors), (1, 1));
}
