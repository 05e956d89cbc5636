//! A worker: one thread, one runtime, and its share of the connections and of the schedule.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::task::Waker;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};

use super::closed::ClosedFeed;
use super::lane::{Feed, Lane};
use super::open::{self, Arrival, OpenFeed};
use super::surprises::Surprises;
use super::{Drive, Load, Source, stopped};
use crate::connect::{Connection, DialError, dial_within};
use crate::cores;
use crate::exchange::{Exchange, Failure, Operation};
use crate::pace::{Clock, nanoseconds};
use crate::record::{Recorder, Timeline, Times, WorkerSlice};
use crate::spool::Spool;

/// What the drive tells a worker once all have connected.
pub enum Order {
    Go(Timeline),
    Cancel,
}

/// What a worker is made of.
pub struct Worker {
    pub index: usize,
    pub workers: usize,
    pub drive: Drive,
    pub clock: Clock,
    pub exchange: Arc<dyn Exchange>,
    pub workload: Source<Operation>,
    /// Set by the first worker that finds the target dead.
    pub halt: Arc<AtomicBool>,
}

/// What a worker leaves behind.
pub struct WorkerResult {
    pub times: Times,
    pub created: Spool,
    pub deleted: Spool,
    pub indeterminate: Spool,
    pub samples: Surprises,
    pub ended_early: Option<String>,
    pub next_operation: u64,
    /// When the last arrival was due, where all operations were used before the schedule ended.
    pub scheduled_until: Option<u64>,
}

/// What the lanes and the pacer of one worker share. One thread: no locks.
pub struct Shared {
    pub drive: Drive,
    pub clock: Clock,
    pub timeline: Timeline,
    pub exchange: Arc<dyn Exchange>,
    pub recorder: RefCell<Recorder>,
    pub lanes: Vec<LaneState>,
    pub created: RefCell<Spool>,
    pub indeterminate: RefCell<Spool>,
    pub samples: RefCell<Surprises>,
    /// Operations taken from this worker's share of the workload.
    pub used: Cell<u64>,
    /// As in the worker's result.
    pub scheduled_until: Cell<Option<u64>>,
    /// No new requests are to be sent.
    pub ending: Cell<bool>,
    /// Why the drive ends before its time.
    pub ended_early: RefCell<Option<String>>,
    pub timeout: u64,
}

/// What others may see and touch of a lane.
#[derive(Default)]
pub struct LaneState {
    /// When its request is overdue. Zero: none is under way.
    pub deadline: Cell<u64>,
    /// Whether the deadline is the drive's end, and not the time limit's.
    pub cut: Cell<bool>,
    /// Why the request under way must end now.
    pub over: Cell<Option<Failure>>,
    pub idle: Cell<bool>,
    pub slot: Cell<Option<Arrival>>,
    pub waker: RefCell<Option<Waker>>,
}

impl LaneState {
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Worker {
    /// Connects, waits for the order and carries it out. `None` where it was cancelled.
    pub fn run(
        mut self,
        ready: Sender<Result<(), DialError>>,
        orders: Receiver<Order>,
        ship: Sender<WorkerSlice>,
    ) -> Option<WorkerResult> {
        if let Some(&core) = self.drive.cores.get(self.index) {
            // A core that may not be used costs precision, which the send delay then shows.
            let _ = cores::pin(core);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime needs a few descriptors");
        LocalSet::new().block_on(&runtime, async {
            let connections = self.connect().await;
            let (connections, connected) = match connections {
                Ok(connections) => (connections, Ok(())),
                Err(failure) => (Vec::new(), Err(failure)),
            };
            if let Some(connection) = connections.iter().flatten().next() {
                self.drive.target.prefer(connection.addr);
            }
            let _ = ready.send(connected);
            match orders.recv() {
                Ok(Order::Go(timeline)) => Some(self.work(connections, timeline, ship).await),
                Ok(Order::Cancel) | Err(_) => None,
            }
        })
    }

    fn share_of_connections(&self) -> usize {
        let all = self.drive.load.connections();
        all / self.workers + usize::from(self.index < all % self.workers)
    }

    /// One connection a lane. Some may fail, so long as the first succeeds: the lane tries again. Those that a slow target
    /// does not give in time are made when they are needed.
    async fn connect(&self) -> Result<Vec<Option<Connection>>, DialError> {
        /// What a connection takes of a target that is well.
        const EACH: u64 = 10_000_000;
        let lanes = self.share_of_connections();
        let until = self.clock.now() + nanoseconds(self.drive.timeout) + lanes as u64 * EACH;
        let first = dial(&self.drive, 0, self.clock).await?;
        let at_once = dials_at_once(first.took);
        let mut connections: Vec<Option<Connection>> = (0..lanes).map(|_| None).collect();
        connections[0] = Some(first);
        let mut dials = JoinSet::new();
        let mut left = 1..lanes;
        loop {
            while dials.len() < at_once
                && let Some(index) = left.next()
            {
                let (drive, clock) = (self.drive.clone(), self.clock);
                dials.spawn_local(async move { (index, dial(&drive, index, clock).await) });
            }
            let Some(dialled) = dials.join_next().await else { return Ok(connections) };
            let (index, dialled) =
                dialled.expect("dials are never cancelled, and their panics are the worker's");
            let silent = dialled.as_ref().is_err_and(|error| error.failure == Failure::Timeout);
            connections[index] = dialled.ok();
            if silent || self.clock.now() >= until || stopped(&self.drive) {
                return Ok(connections);
            }
        }
    }

    async fn work(
        &self,
        connections: Vec<Option<Connection>>,
        timeline: Timeline,
        ship: Sender<WorkerSlice>,
    ) -> WorkerResult {
        let kinds = self.exchange.kinds().len();
        let open = self.drive.load.is_open();
        let shared = Rc::new(Shared {
            drive: self.drive.clone(),
            clock: self.clock,
            timeline,
            exchange: self.exchange.clone(),
            recorder: RefCell::new(Recorder::new(self.index, kinds, open, timeline, ship)),
            lanes: connections.iter().map(|_| LaneState::default()).collect(),
            created: RefCell::default(),
            indeterminate: RefCell::default(),
            samples: RefCell::default(),
            used: Cell::new(0),
            scheduled_until: Cell::new(None),
            ending: Cell::new(false),
            ended_early: RefCell::default(),
            timeout: nanoseconds(self.drive.timeout),
        });
        let operations = (self.workload)().skip(self.index).step_by(self.workers);
        let mut lanes = JoinSet::new();
        let (feed, pacer) = match &self.drive.load {
            Load::Open { arrivals, .. } => {
                let feed = Rc::new(OpenFeed::new(self.drive.waiting / self.workers));
                let arrivals = arrivals().skip(self.index).step_by(self.workers);
                let pacer = open::pace(shared.clone(), feed.clone(), arrivals, operations);
                (Feed::Open(feed), Some(pacer))
            }
            Load::Closed { think, .. } => {
                (Feed::Closed(Rc::new(ClosedFeed::new(Box::new(operations), *think))), None)
            }
        };
        for connection in connections.iter().flatten() {
            shared.recorder.borrow_mut().connected_before(connection.took);
        }
        for (index, connection) in connections.into_iter().enumerate() {
            lanes.spawn_local(Lane::new(index, connection, feed.clone(), shared.clone()).run());
        }
        let watch = tokio::task::spawn_local(watch(shared.clone(), self.halt.clone()));
        if let Some(pacer) = pacer {
            pacer.await;
        }
        while let Some(result) = lanes.join_next().await {
            result.expect("lanes are never cancelled, and their panics are the worker's");
        }
        if let Feed::Open(feed) = &feed {
            feed.abandon(&shared);
        }
        watch.abort();
        // It holds what the lanes share until it is gone.
        let _ = watch.await;
        self.conclude(shared)
    }

    fn conclude(&self, shared: Rc<Shared>) -> WorkerResult {
        let Ok(shared) = Rc::try_unwrap(shared) else { unreachable!("all lanes have ended") };
        let used = shared.used.get();
        let now = shared.clock.now();
        WorkerResult {
            times: shared.recorder.into_inner().finish(now),
            created: shared.created.into_inner(),
            deleted: Spool::default(),
            indeterminate: shared.indeterminate.into_inner(),
            samples: shared.samples.into_inner(),
            ended_early: shared.ended_early.into_inner(),
            next_operation: used.saturating_sub(1) * self.workers as u64
                + self.index as u64
                + u64::from(used > 0),
            scheduled_until: shared.scheduled_until.get(),
        }
    }
}

/// One after the other where a connection takes no time: side by side, on one thread, each would be charged with the others'
/// work. Where it takes long that is the way there and back, which all may spend together.
fn dials_at_once(took: u64) -> usize {
    const SHORT: u64 = 2_000_000;
    (took / SHORT).clamp(1, 64) as usize
}

/// A connection for the lane of that number.
async fn dial(drive: &Drive, index: usize, clock: Clock) -> Result<Connection, DialError> {
    const LOOK: Duration = Duration::from_millis(20);
    let target = drive.target.of_connection(index);
    let mut dialled = pin!(dial_within(drive.timeout, &target, clock));
    loop {
        match tokio::time::timeout(LOOK, dialled.as_mut()).await {
            Ok(result) => return result,
            Err(_) if stopped(drive) => return Err(DialError::ended(Failure::Unfinished)),
            Err(_) => {}
        }
    }
}

/// Looks after the time: slices that end without an answer, requests that are overdue, a caller that wants to
/// stop, a target that died. Ends only if the drive must.
async fn watch(shared: Rc<Shared>, halt: Arc<AtomicBool>) {
    let period = Duration::from_millis(5).min(shared.drive.timeout / 4).max(Duration::from_millis(1));
    let patience = nanoseconds(shared.drive.patience);
    loop {
        tokio::time::sleep(period).await;
        let now = shared.clock.now();
        shared.recorder.borrow_mut().tick(now);
        sweep(&shared, now);
        let reason = if stopped(&shared.drive) {
            "stopped before its time".to_owned()
        } else if halt.load(Ordering::Relaxed) {
            "another worker found the target dead".to_owned()
        } else if let Some(reason) = shared.recorder.borrow().death(patience) {
            reason
        } else {
            continue;
        };
        halt.store(true, Ordering::Relaxed);
        // Said before the end begins: the lanes may be gone, and this task with them, before it looks again.
        shared.ended_early.replace(Some(reason));
        return wind_up(&shared, now).await;
    }
}

fn sweep(shared: &Shared, now: u64) {
    for lane in &shared.lanes {
        let deadline = lane.deadline.get();
        if deadline != 0 && now >= deadline {
            lane.over.set(Some(if lane.cut.get() { Failure::Unfinished } else { Failure::Timeout }));
            lane.wake();
        }
    }
}

/// Sends no more, and gives what is under way a moment. Goes on until the lanes are gone, and this task with them.
async fn wind_up(shared: &Rc<Shared>, now: u64) {
    const GRACE: u64 = 1_000_000_000;
    shared.ending.set(true);
    for lane in &shared.lanes {
        lane.wake();
    }
    loop {
        for lane in shared.lanes.iter().filter(|lane| lane.deadline.get() > now + GRACE) {
            lane.deadline.set(now + GRACE);
            lane.cut.set(true);
        }
        sweep(shared, shared.clock.now());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
