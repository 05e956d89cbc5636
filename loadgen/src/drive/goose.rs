//! Journeys: Goose schedules users, this project's recorder counts and times what they do.

mod attack;
mod stage;
mod visitor;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use proofload_scenarios::Popularity;
use proofload_scenarios::scenario::{Journey, Step};
use tokio::task::LocalSet;

use super::collect::Collector;
use super::worker::WorkerResult;
use super::{Boundary, Drive, DriveError, Recording, describe};
use crate::connect::dial_within;
use crate::cores;
use crate::exchange::{Exchange, Links, Templates};
use crate::pace::Clock;

/// More users than that are a mistake, or a case for several machines.
const MOST_USERS: usize = 10_000;

/// Goose's client tells neither when it connected nor when it had written: no figure is better than a zero.
const HIDDEN_TIMES: [&str; 2] = ["connect", "written"];
const HIDDEN_COUNTERS: [&str; 2] = ["client.connects", "client.bytes"];

/// What Goose users do, and to which links.
#[derive(Clone)]
pub struct Journeys {
    pub journeys: Vec<Journey>,
    /// The requests of the journeys' HTTP steps, in the steps' order.
    pub templates: Arc<Templates>,
    /// The links that exist, by number.
    pub links: Arc<Links>,
    /// Which of them are hot; needed where a journey visits hot links.
    pub popularity: Option<Popularity>,
    /// Of all choices, and of the URLs that creates ask for: `url_of(seed, sequence)`.
    pub seed: u64,
    /// The first create's sequence number. The recording's `next_operation` is the next run's.
    pub first_sequence: u64,
}

/// Lets Goose users walk through `journeys` for as long as `drive` says; its load must be closed, and its
/// connections are the users. Times are service times, to the last byte. `observe` is called as by
/// [`drive`](super::drive). One thread drives all users, on the first of `drive.cores`; where several drives are asked
/// for at once, each waits for its turn, since Goose runs one attack a process.
///
/// Links that a journey deleted are among the recording's `deleted`, too: the store must not hold them. A link whose
/// removal was not answered is among those, and among the `indeterminate`.
///
/// # Errors
/// When the target cannot be reached at all, or a journey cannot be walked. A target that dies later ends the drive
/// early, and the recording says so.
pub fn drive_journeys(
    drive: &Drive,
    journeys: &Journeys,
    observe: &mut dyn FnMut(&mut Boundary<'_>),
) -> Result<Recording, DriveError> {
    static ONE_ATTACK: Mutex<()> = Mutex::new(());
    drive.validate()?;
    journeys.validate(drive)?;
    reach(drive)?;
    let _turn = ONE_ATTACK.lock().unwrap_or_else(PoisonError::into_inner);
    let (begun_in, begun) = mpsc::channel();
    let (slices_in, slices) = mpsc::channel();
    let order = (drive.clone(), journeys.clone());
    let thread = thread::Builder::new()
        .name("generator-goose".to_owned())
        .spawn(move || {
            let (drive, journeys) = order;
            if let Some(&core) = drive.cores.first() {
                // A core that may not be used costs precision, which the waiting time then shows.
                let _ = cores::pin(core);
            }
            attack::run(drive, journeys, begun_in, slices_in)
        })
        .map_err(|error| DriveError::Broken(error.to_string()))?;
    let mut without_what_goose_hides = |boundary: &mut Boundary<'_>| {
        for counter in HIDDEN_COUNTERS {
            boundary.slice.counters.remove(counter);
        }
        observe(boundary);
    };
    let collector = match begun.recv() {
        Ok(timeline) => {
            let mut collector =
                Collector::new(1, &journeys.kinds(), timeline).map_err(DriveError::of_file)?;
            collector.follow(slices, &mut without_what_goose_hides);
            Some(collector)
        }
        Err(_) => None,
    };
    let result: WorkerResult = thread.join().map_err(|panic| DriveError::Broken(describe(&*panic)))??;
    let collector = collector.ok_or_else(|| DriveError::Broken("no user ever began".to_owned()))?;
    let mut recording = collector.conclude(drive, vec![result])?;
    for time in HIDDEN_TIMES {
        recording.times.remove(time);
    }
    Ok(recording)
}

impl Journeys {
    /// The kinds of requests by name: those to the shortener, then those of the HTTP steps.
    fn kinds(&self) -> Vec<String> {
        visitor::KINDS.map(str::to_owned).into_iter().chain(self.templates.kinds().iter().cloned()).collect()
    }

    fn validate(&self, drive: &Drive) -> Result<(), DriveError> {
        let complain = |text: String| Err(DriveError::Misconfigured(text));
        if drive.load.is_open() {
            return complain("Goose users wait for their answers: journeys are a closed load".to_owned());
        }
        if drive.target.http2 {
            return complain("Goose users speak HTTP/1.1".to_owned());
        }
        if drive.load.connections() > MOST_USERS {
            return complain(format!("{MOST_USERS} users are the most that one attack may have"));
        }
        if self.journeys.is_empty() {
            return complain("Goose users need a journey to walk".to_owned());
        }
        for journey in &self.journeys {
            let name = &journey.name;
            if journey.steps.is_empty() || journey.weight == 0 {
                return complain(format!("journey `{name}` needs a step and a weight of 1 or more"));
            }
            let popular = self.popularity.as_ref().is_some_and(|popularity| {
                let links = popularity.hottest_first().len();
                links > 0 && links <= self.links.len()
            });
            if journey.steps.contains(&Step::VisitHot) && !popular {
                return complain(format!("journey `{name}` visits hot links: the scenario needs links"));
            }
        }
        Ok(())
    }
}

/// One connection, to tell a target that is not there from one that dies.
fn reach(drive: &Drive) -> Result<(), DriveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| DriveError::Broken(error.to_string()))?;
    let dialled = dial_within(drive.timeout, &drive.target, Clock::start());
    match LocalSet::new().block_on(&runtime, dialled) {
        Ok(_) => Ok(()),
        Err(error) => Err(DriveError::Unreachable { target: drive.target.described(), error }),
    }
}
