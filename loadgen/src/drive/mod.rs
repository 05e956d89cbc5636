//! A drive: load on one target from the first connection to the last answer.

mod closed;
mod collect;
mod files;
mod goose;
mod lane;
mod load;
mod open;
mod recording;
mod slices;
mod surprises;
mod trust;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub use self::goose::{Journeys, drive_journeys};
pub use crate::connect::{DialError, Manner, Target, TargetError};
pub use collect::{Boundary, Collector, Totals};
pub use load::{Drive, Load, Mutation, Source};
pub use recording::Recording;
pub use slices::Slices;
pub use worker::WorkerResult;

use crate::exchange::{Exchange, Operation};
use crate::pace::{Clock, nanoseconds};
use crate::record::Timeline;
use worker::{Order, Worker};

/// Why a drive could not begin or came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error("no connection to {target}{}: {} ({})", .error.after(), .error.failure, .error.detail)]
    Unreachable { target: String, error: DialError },
    #[error("{0}")]
    Misconfigured(String),
    #[error("a worker of the generator broke down: {0}")]
    Broken(String),
    #[error(
        "slices cannot be kept on disk: {0}; make room for temporary files, or name another place in TMPDIR"
    )]
    NoRoom(io::Error),
    #[error(
        "no file can be opened to keep slices in: {0}; give fewer connections, or raise the limit (`ulimit -n`)"
    )]
    NoFile(io::Error),
}

impl DriveError {
    /// Why a temporary file cannot be had.
    fn of_file(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => Self::NoFile(error),
            _ => Self::NoRoom(error),
        }
    }
}

/// Sends `workload` as `drive` says and checks every answer. Blocks until the last answer is
/// there. `observe` is called on this thread, not a generator's, at the measurement's start, at the
/// end of each slice, and once all answers of the last are read: slices + 1 times.
///
/// # Errors
/// When the target cannot be reached at all. A target that dies later ends the drive early, and the
/// recording says so.
pub fn drive(
    drive: &Drive,
    exchange: Arc<dyn Exchange>,
    workload: Source<Operation>,
    observe: &mut dyn FnMut(&mut Boundary<'_>),
) -> Result<Recording, DriveError> {
    drive.validate()?;
    let clock = Clock::start();
    let workers = drive.workers();
    let halt = Arc::new(AtomicBool::new(false));
    let (ready_in, ready) = mpsc::channel();
    let (slices_in, slices) = mpsc::channel();
    let mut orders = Vec::new();
    let threads: Vec<_> = (0..workers)
        .map(|index| {
            let (order, orders_out) = mpsc::channel();
            orders.push(order);
            let worker = Worker {
                index,
                workers,
                drive: drive.clone(),
                clock,
                exchange: exchange.clone(),
                workload: workload.clone(),
                halt: halt.clone(),
            };
            let (ready, slices) = (ready_in.clone(), slices_in.clone());
            thread::Builder::new()
                .name(format!("generator-{index}"))
                .spawn(move || worker.run(ready, orders_out, slices))
                .map_err(|error| DriveError::Broken(error.to_string()))
        })
        .collect::<Result<_, _>>()?;
    drop((ready_in, slices_in));

    let outcome = await_connections(drive, workers, &ready);
    let timeline = timeline(drive, clock);
    for order in orders {
        let _ = order.send(if outcome.is_ok() { Order::Go(timeline) } else { Order::Cancel });
    }
    let mut collector = Collector::new(workers, exchange.kinds(), timeline).map_err(DriveError::of_file)?;
    if outcome.is_ok() {
        collector.follow(slices, observe);
    }
    let mut results = Vec::new();
    for thread in threads {
        results.push(thread.join().map_err(|panic| DriveError::Broken(describe(&*panic)))?);
    }
    outcome?;
    let results: Vec<WorkerResult> = results.into_iter().flatten().collect();
    collector.conclude(drive, results)
}

/// The throughput, in right answers per second, that a short closed drive reaches.
///
/// # Errors
/// When the target cannot be reached, or gives no right answer.
pub fn capacity(
    drive: &Drive,
    exchange: Arc<dyn Exchange>,
    workload: Source<Operation>,
) -> Result<f64, DriveError> {
    let connections = drive.load.connections();
    let closed = Drive { load: Load::Closed { connections, think: Duration::ZERO }, ..drive.clone() };
    let recording = self::drive(&closed, exchange, workload, &mut |_| ())?;
    let throughput = recording.throughput();
    if throughput > 0.0 {
        return Ok(throughput);
    }
    let sample = recording.samples.first().map_or("no answer at all", String::as_str);
    Err(DriveError::Misconfigured(format!("the target gave no right answer: {sample}")))
}

fn await_connections(
    drive: &Drive,
    workers: usize,
    ready: &mpsc::Receiver<Result<(), DialError>>,
) -> Result<(), DriveError> {
    for _ in 0..workers {
        match ready.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(DriveError::Unreachable { target: drive.target.described(), error });
            }
            Err(_) => return Err(DriveError::Broken("it ended before it connected".to_owned())),
        }
    }
    Ok(())
}

fn timeline(drive: &Drive, clock: Clock) -> Timeline {
    const HEAD_START: u64 = 2_000_000;
    let start = clock.now() + HEAD_START;
    let measured = start + nanoseconds(drive.warm_up);
    let measurement = nanoseconds(drive.measurement);
    let slice = nanoseconds(drive.slice).min(measurement);
    let slices = (measurement as f64 / slice as f64).round().max(1.0) as usize;
    Timeline { start, measured, slice, slices, end: measured + measurement }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

/// Whether the caller asked the drive to end.
fn stopped(drive: &Drive) -> bool {
    drive.stop.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `main` prints it, with its causes.
    fn said(code: i32) -> String {
        format!("{:#}", anyhow::Error::from(DriveError::of_file(io::Error::from_raw_os_error(code))))
    }

    #[test]
    fn only_a_lack_of_room_is_told_as_one_and_once() {
        let full = said(libc::ENOSPC);
        assert!(full.contains("make room") && full.matches("No space left").count() == 1, "{full}");
        let files = said(libc::EMFILE);
        assert!(files.contains("ulimit -n") && !files.contains("make room"), "{files}");
        assert_eq!(files.matches("Too many open files").count(), 1, "{files}");
    }
}
