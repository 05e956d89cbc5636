//! `junit.xml` as quick-junit's own reader sees it.

use std::path::Path;
use std::process::Command;

use proofload_reports::junit;
use proofload_reports::verdict::Verdict;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};

fn status_of(verdict: Verdict) -> TestCaseStatus {
    let mut verdicts = crate::synthetic::verdicts();
    verdicts.truncate(1);
    verdicts[0].upheld = Some(verdict);
    verdicts[0].checks[1].verdict = verdict;
    verdicts[0].checks[1].reasons = vec!["a <reason> & \u{1b}[31m more".into()];
    let xml = junit(&crate::synthetic::quick_run(), &verdicts);
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

/// The schema is ours, its reader is not. `tests/formats.sh` does the same with the reports of CI.
#[test]
fn it_is_what_its_schema_says() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("no xmllint here: junit.xml was not held against junit.xsd");
        return;
    }
    let mut broken = crate::synthetic::quick_run();
    broken.invalid.push("the target died".into());
    let (good, directory) = (crate::synthetic::quick_run(), tempfile::tempdir().unwrap());
    let valid = |xml: &str| {
        let file = directory.path().join("junit.xml");
        std::fs::write(&file, xml).unwrap();
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("junit.xsd");
        Command::new("xmllint").args(["--noout", "--schema"]).args([schema, file]).output().unwrap()
    };
    for xml in [junit(&good, &crate::synthetic::verdicts()), junit(&broken, &[])] {
        let said = valid(&xml);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert!(!valid(&xml.replace("tests=", "trials=")).status.success(), "the schema can refuse");
    }
}

/// What decided the numbers is told with them.
#[test]
fn a_claim_comes_with_its_workload() {
    let xml = junit(&crate::synthetic::quick_run(), &crate::synthetic::verdicts());
    for said in
        ["measured by hit-rate-entries", "links.zipf = 0.99", "load.open.schedule.poisson.per-second = 2000"]
    {
        assert!(xml.contains(said), "{said}");
    }
}

#[test]
fn a_run_that_cannot_be_trusted_is_an_error_even_without_claims() {
    let mut run = crate::synthetic::quick_run();
    run.invalid.push("the target died".into());
    run.not_checked.clear();
    let report = Report::deserialize_from_str(&junit(&run, &[])).unwrap();
    assert_eq!((report.tests, report.errors), (1, 1));
}

#[test]
fn what_was_not_checked_is_skipped_and_says_why() {
    let report = Report::deserialize_from_str(&junit(&crate::synthetic::quick_run(), &[])).unwrap();
    let cases = &report.test_suites[0].test_cases;
    assert_eq!(cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["health", "rewarm"]);
    for case in cases {
        let TestCaseStatus::Skipped { message, .. } = &case.status else { panic!("not skipped") };
        assert!(message.as_ref().unwrap().as_str().contains("--backends spawn"));
    }
}
