//! The raw data of a report, within the page or beside it.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::file;

/// More than this is linked instead: a page is to be sent by mail.
const MOST: usize = 160_000;

/// A link to `run.json`, and the file itself within the page where it is small.
pub fn html(run: &[u8]) -> String {
    let packed = packed(run);
    let beside = format!(
        r#"<p><a href="{}">run.json</a> beside this page holds every slice that was measured, {} kB; <code>proofload report</code> makes this page from it again.</p>"#,
        file::NAME,
        run.len() / 1_000
    );
    if packed.len() > MOST {
        return beside;
    }
    format!(
        r#"{beside}<p>This page carries it, too: <a download="run.json.gz" href="data:application/gzip;base64,{packed}">run.json.gz</a>.</p>"#
    )
}

fn packed(bytes: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes all");
    STANDARD.encode(encoder.finish().expect("memory takes all"))
}
