//! A report: every file that a run is rendered to.

mod claims;
mod compare;
mod csv;
mod hdr;
mod html;
mod junit;
mod manifest;
mod markdown;
pub(crate) mod means;
mod prose;
pub(crate) mod rates;
mod raw;
mod rests;
mod table;
mod trackers;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::figure;
pub use compare::compare_html;
pub use csv::csv;
pub use hdr::{hgrm, hlog};
pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use table::{table, wrapped};
pub use trackers::{bencher, bigger_is_better, smaller_is_better};

use crate::file::{self, Recorded, ReportError};
use crate::plot::{self, slug};
use crate::run::{Measurement, Run};
use crate::verdict::ClaimVerdict;

/// Writes the report of a run into `dir`, which is made where it does not exist.
///
/// All files are rendered and written aside first, then moved: no reader and no failure ever sees half
/// a report. `run.json` comes last, so that a directory that holds one holds all.
///
/// # Errors
/// A directory that cannot be made or written.
pub fn write(dir: &Path, run: &Run, verdicts: &[ClaimVerdict]) -> Result<(), ReportError> {
    write_with(dir, run, file::text(run).as_bytes(), verdicts)
}

/// Writes the report of a run that was read; its `run.json` is the same to the byte.
///
/// # Errors
/// As [`write`].
pub fn write_again(dir: &Path, recorded: &Recorded, verdicts: &[ClaimVerdict]) -> Result<(), ReportError> {
    write_with(dir, &recorded.run, &recorded.bytes, verdicts)
}

fn write_with(dir: &Path, run: &Run, raw: &[u8], verdicts: &[ClaimVerdict]) -> Result<(), ReportError> {
    let files = files(run, raw, verdicts)?;
    place(dir, &files).map_err(|cause| ReportError::Unwritable { dir: dir.to_owned(), cause })
}

/// A file of the report: its name and its bytes.
type File = (String, Vec<u8>);

fn files(run: &Run, raw: &[u8], verdicts: &[ClaimVerdict]) -> Result<Vec<File>, ReportError> {
    let plots = plot::plots(run);
    let mut files = vec![
        file("report.html", html::page(run, raw, verdicts, &plots)?),
        file("report.md", markdown(run, verdicts)),
        file("junit.xml", junit(run, verdicts)),
        file("bencher.json", bencher(run, verdicts)),
        file("benchmark-smaller.json", smaller_is_better(run, verdicts)),
        file("benchmark-bigger.json", bigger_is_better(run, verdicts)),
    ];
    for plot in &plots {
        files.push(file(&format!("plots/{}.svg", plot.id), plot.svg()?));
        files.push((format!("plots/{}.png", plot.id), plot.png()?));
    }
    for (number, measurement) in (1..).zip(&run.measurements) {
        data(number, run, measurement, &mut files);
    }
    files.push(file(manifest::NAME, manifest::text(&files)));
    files.push((file::NAME.to_owned(), raw.to_vec()));
    Ok(files)
}

/// The series and histograms of a measurement.
fn data(number: usize, run: &Run, measurement: &Measurement, files: &mut Vec<File>) {
    let stem = format!("data/m{number}-{}", slug(&measurement.scenario.name));
    files.push(file(&format!("{stem}.csv"), csv(measurement)));
    files.push(file(&format!("{stem}.hlog"), hlog(run, measurement)));
    for series in &measurement.series {
        for (name, times) in hdr::told(series) {
            files.push(file(&format!("{stem}-{}-{name}.hgrm", slug(&series.variant)), hgrm(times)));
        }
    }
}

fn file(name: &str, text: String) -> File {
    (name.to_owned(), text.into_bytes())
}

/// A directory of our own appears at once; into one that exists the files are moved one by one, and what an earlier report
/// left there is removed.
fn place(dir: &Path, files: &[File]) -> io::Result<()> {
    let fresh = !dir.exists();
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if fresh {
        fs::create_dir_all(parent)?;
    }
    let aside = Aside::new(if fresh { parent } else { dir })?;
    for (name, bytes) in files {
        let path = aside.0.join(name);
        fs::create_dir_all(path.parent().expect("it lies in the directory aside"))?;
        fs::write(path, bytes)?;
    }
    if fresh {
        return fs::rename(&aside.0, dir);
    }
    manifest::clear(dir, files);
    for (name, _) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("it lies in the report's directory"))?;
        fs::rename(aside.0.join(name), path)?;
    }
    Ok(())
}

/// A directory beside the report, removed with all it holds unless it became the report.
struct Aside(PathBuf);

impl Aside {
    fn new(parent: &Path) -> io::Result<Aside> {
        let path = parent.join(format!(".proofload-{}.part", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path)?;
        Ok(Aside(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Gone already where it became the report.
        let _ = fs::remove_dir_all(&self.0);
    }
}
