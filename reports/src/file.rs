//! `run.json`: a run as it lies on disk, sealed by a checksum.

mod sound;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::run::{Run, VERSION};

/// The name of the file within a report's directory.
pub const NAME: &str = "run.json";

/// What stands between the run and its checksum; the checksum is over all that comes before.
const SEAL: &str = ",\"checksum\":\"sha256:";

/// Why a run could not be read, or a report not be written. Each is one line that names the file.
#[derive(Debug, Error)]
pub enum ReportError {
    #[error("{}: cannot read it: {cause}; name a run.json or the directory of a report", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{}: is cut short; copy the whole file again, or repeat the run", path.display())]
    CutShort { path: PathBuf },
    #[error(
        "{}: has format version {version}, this proofload reads up to {VERSION}; use a newer proofload",
        path.display()
    )]
    Newer { path: PathBuf, version: u64 },
    #[error("{}: was changed after it was written (its checksum differs); use the original", path.display())]
    Tampered { path: PathBuf },
    #[error("{}: is no run of proofload: {reason}", path.display())]
    NoRun { path: PathBuf, reason: String },
    #[error("{}: cannot write the report there: {cause}; choose another directory with --out", dir.display())]
    Unwritable { dir: PathBuf, cause: io::Error },
    #[error("cannot draw {what}: {reason}")]
    Undrawable { what: String, reason: String },
}

/// A run with the bytes that it was read from: what is rendered again keeps them, whatever wrote them.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub run: Run,
    pub bytes: Vec<u8>,
}

/// Reads a run from `run.json` or the directory that holds it.
///
/// # Errors
/// A file that is missing, cut short, of a newer version or changed since it was written, or that holds numbers that
/// cannot be.
pub fn read(path: &Path) -> Result<Run, ReportError> {
    recorded(path).map(|it| it.run)
}

/// The same, with the file's bytes.
///
/// # Errors
/// As [`read`].
pub fn recorded(path: &Path) -> Result<Recorded, ReportError> {
    let path = if path.is_dir() { path.join(NAME) } else { path.to_owned() };
    match fs::read(&path) {
        Ok(bytes) => parse(&bytes, &path).map(|run| Recorded { run, bytes }),
        Err(source) => Err(ReportError::Unreadable { path, cause: source }),
    }
}

/// The text of `run.json`: one JSON object, whose last member is the checksum of all before it.
pub fn text(run: &Run) -> String {
    let mut text = serde_json::to_string(run).expect("a run has string keys only");
    let closing = text.pop();
    debug_assert_eq!(closing, Some('}'));
    let checksum = checksum(text.as_bytes());
    text.push_str(SEAL);
    text.push_str(&checksum);
    text.push_str("\"}\n");
    text
}

/// Reads the text of a `run.json`; `path` is for the errors.
fn parse(bytes: &[u8], path: &Path) -> Result<Run, ReportError> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    let path = path.to_owned();
    if bytes.trim_ascii().is_empty() {
        return Err(ReportError::CutShort { path });
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(ReportError::NoRun { path, reason: "it does not hold a JSON object".to_owned() });
    }
    let head: Head = match serde_json::from_slice(bytes) {
        Ok(head) => head,
        Err(error) if error.is_eof() => return Err(ReportError::CutShort { path }),
        Err(error) => return Err(ReportError::NoRun { path, reason: error.to_string() }),
    };
    if head.version > VERSION.into() {
        return Err(ReportError::Newer { path, version: head.version });
    }
    if !sealed(bytes) {
        return Err(ReportError::Tampered { path });
    }
    let run = match serde_json::from_slice(bytes) {
        Ok(run) => run,
        Err(error) => return Err(ReportError::NoRun { path, reason: error.to_string() }),
    };
    match sound::fault(&run) {
        None => Ok(run),
        Some(reason) => Err(ReportError::NoRun { path, reason }),
    }
}

fn sealed(bytes: &[u8]) -> bool {
    let Some(start) = bytes.windows(SEAL.len()).rposition(|window| window == SEAL.as_bytes()) else {
        return false;
    };
    let (run, seal) = bytes.split_at(start);
    seal[SEAL.len()..].trim_ascii_end() == format!("{}\"}}", checksum(run)).as_bytes()
}

/// SHA-256, in hexadecimal digits.
pub fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
