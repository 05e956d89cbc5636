//! The last selftest's result, kept for the runs that come after it.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result};
use proofload_reports::run::GeneratorError;

/// What the last selftest on this machine found.
pub fn last_known() -> Option<GeneratorError> {
    let text = fs::read_to_string(file()?).ok()?;
    serde_json::from_str(&text).ok()
}

/// Keeps a result; the path that it is kept at.
///
/// # Errors
/// When there is no home directory, or it cannot be written.
pub fn keep(error: &GeneratorError) -> Result<PathBuf> {
    let file = file().context("neither XDG_STATE_HOME nor HOME is set: the result is not kept")?;
    let directory = file.parent().context("the file has a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let text = serde_json::to_string_pretty(error)?;
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn file() -> Option<PathBuf> {
    let directory = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")))?;
    Some(state.join("proofload/selftest.json"))
}
