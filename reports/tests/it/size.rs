//! How large a page may be: one that is to be sent by mail, and opened on a phone.

use proofload_reports::html;

#[test]
fn the_page_of_a_quick_check_is_small() {
    let page = html(&crate::synthetic::quick_run(), &crate::synthetic::verdicts()).unwrap();
    assert!(page.len() <= 400_000, "{} bytes", page.len());
}

#[test]
fn the_page_of_a_full_check_can_be_sent_around() {
    let (run, verdicts) = crate::synthetic::full_check();
    assert!(verdicts.len() >= 15 && run.measurements.len() >= 55);
    let page = html(&run, &verdicts).unwrap();
    assert!(page.len() <= 1_000_000, "{} bytes", page.len());
}
