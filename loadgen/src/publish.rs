//! Where a report goes, and the last thing that the terminal shows.

use std::fs;
use std::fs::Permissions;
use std::io::{IsTerminal, Write, stdout};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use proofload_reports::file::Recorded;
use proofload_reports::verdict::{self, ClaimVerdict};
use proofload_reports::{Run, exit_code, judge_all, render};

use crate::cli::Output;
use crate::summary::Summary;
use crate::terminal;

const HOME: &str = "proofload-report";

/// A directory that was tried before anything was measured: an unwritable one costs no run.
pub struct Destination {
    directory: PathBuf,
    /// `proofload-report/latest`, where the directory was not named by the user.
    latest: Option<PathBuf>,
}

impl Destination {
    /// # Errors
    /// When the directory cannot be written: one line with the remedy.
    pub fn prepare(output: &Output, verb: &str) -> Result<Self> {
        let (directory, latest) = match &output.out {
            Some(directory) => (directory.clone(), None),
            None => {
                let home = Path::new(HOME);
                (free(home.join(format!("{}-{verb}", timestamp()))), Some(home.join("latest")))
            }
        };
        let parent =
            directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent)
            .and_then(|()| {
                tempfile::tempfile_in(if directory.is_dir() { &directory } else { parent }).map(drop)
            })
            .with_context(|| {
                format!(
                    "the report directory {} cannot be written; name another with --out DIR",
                    directory.display()
                )
            })?;
        Ok(Self { directory, latest })
    }

    /// Judges the run, writes the report, prints what came of it, and returns the exit code.
    pub fn publish(&self, run: &Run, json: bool) -> Result<u8> {
        let verdicts = self.keep(run)?;
        self.show(run, &verdicts, json)
    }

    /// The same of a run that was recorded before; its `run.json` is copied as it is.
    pub fn publish_again(&self, recorded: &Recorded, json: bool) -> Result<u8> {
        let verdicts = judge_all(&recorded.run);
        render::write_again(&self.directory, recorded, &verdicts)?;
        self.point_latest()?;
        self.show(&recorded.run, &verdicts, json)
    }

    /// Of a run that no claim is about, what came of each load.
    fn show(&self, run: &Run, verdicts: &[ClaimVerdict], json: bool) -> Result<u8> {
        match (verdicts.is_empty(), json) {
            (true, true) => println!("{}", serde_json::to_string_pretty(&Summary::of_run(run))?),
            (true, false) => Summary::of_run(run)
                .iter()
                .for_each(|summary| println!("{}", terminal::folded(&summary.to_string()))),
            (false, true) => println!("{}", serde_json::to_string(verdicts)?),
            (false, false) => {
                println!("{}", render::table(verdicts, terminal::width(), stdout().is_terminal()))
            }
        }
        if !json {
            println!("report: {}", self.report().display());
        }
        if let Some(reason) = verdict::why_invalid(run, verdicts) {
            eprintln!("exit code 4: {reason}");
        }
        Ok(exit_code(run, verdicts))
    }

    /// The page that a person opens.
    pub fn report(&self) -> PathBuf {
        self.directory.join("report.html")
    }

    /// Judges the run and writes the report.
    pub fn keep(&self, run: &Run) -> Result<Vec<ClaimVerdict>> {
        let verdicts = judge_all(run);
        render::write(&self.directory, run, &verdicts)?;
        self.point_latest()?;
        Ok(verdicts)
    }

    /// Writes one page into the directory and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish_page(&self, name: &str, page: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        let written = fs::create_dir_all(&self.directory).and_then(|()| {
            let mut aside = tempfile::NamedTempFile::new_in(&self.directory)?;
            aside.write_all(page.as_bytes())?;
            aside.as_file().set_permissions(Permissions::from_mode(0o644))?;
            aside.persist(&path).map_err(|error| error.error)
        });
        written.with_context(|| {
            format!("{} cannot be written; name another directory with --out DIR", path.display())
        })?;
        Ok(path)
    }

    fn point_latest(&self) -> Result<()> {
        let Some(latest) = &self.latest else { return Ok(()) };
        let name = self.directory.file_name().context("the report directory has no name")?;
        let fresh = latest.with_extension(format!("{}.tmp", std::process::id()));
        symlink(name, &fresh).and_then(|()| fs::rename(&fresh, latest)).context("'latest' cannot be set")
    }
}

/// The directory, or the first of `-2`, `-3` and so on that is not there: several reports may be of one second.
fn free(directory: PathBuf) -> PathBuf {
    let numbered = |number: u32| PathBuf::from(format!("{}-{number}", directory.display()));
    if !directory.exists() {
        return directory;
    }
    (2..).map(numbered).find(|path| !path.exists()).expect("numbers do not run out")
}

/// `20261123T005812Z`: sorts by time, and needs no quoting.
fn timestamp() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The Gregorian date of a day since 1970-01-01.
fn civil(day: u64) -> (u64, u64, u64) {
    let mut left = day;
    let mut year = 1970;
    loop {
        let length = 365 + u64::from(leap(year));
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_780), (2026, 11, 23));
    }
}
