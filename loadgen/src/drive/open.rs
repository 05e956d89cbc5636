//! The open model: arrivals come when the schedule says, whatever the answers do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::load::Mutation;
use super::worker::Shared;
use crate::exchange::Operation;
use crate::pace::nanoseconds;

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub due: u64,
    pub operation: Operation,
}

/// Hands arrivals to lanes, and keeps those that find none free, up to a bound.
pub struct OpenFeed {
    idle: RefCell<VecDeque<usize>>,
    waiting: RefCell<VecDeque<Arrival>>,
    bound: usize,
    over: Cell<bool>,
}

impl OpenFeed {
    pub fn new(bound: usize) -> Self {
        Self { idle: RefCell::default(), waiting: RefCell::default(), bound, over: Cell::new(false) }
    }

    /// The next arrival for `lane`, which has nothing to do; none once the schedule has ended and
    /// nothing waits, or the drive ends. The lane is woken for it.
    pub fn poll_next(&self, lane: usize, shared: &Shared) -> Poll<Option<Arrival>> {
        if shared.ending.get() {
            return Poll::Ready(None);
        }
        let state = &shared.lanes[lane];
        if let Some(arrival) = state.slot.take() {
            return Poll::Ready(Some(arrival));
        }
        if state.idle.get() {
            return if self.over.get() { Poll::Ready(None) } else { Poll::Pending };
        }
        if let Some(arrival) = self.waiting.borrow_mut().pop_front() {
            return Poll::Ready(Some(arrival));
        }
        if self.over.get() {
            return Poll::Ready(None);
        }
        state.idle.set(true);
        self.idle.borrow_mut().push_back(lane);
        Poll::Pending
    }

    /// Hands over an arrival that is due now. False if there is no room for it.
    fn push(&self, arrival: Arrival, shared: &Shared) -> bool {
        if let Some(lane) = self.idle.borrow_mut().pop_front() {
            let state = &shared.lanes[lane];
            state.idle.set(false);
            state.slot.set(Some(arrival));
            state.wake();
            return true;
        }
        shared.recorder.borrow_mut().queued();
        let mut waiting = self.waiting.borrow_mut();
        let room = waiting.len() < self.bound;
        if room {
            waiting.push_back(arrival);
        }
        room
    }

    fn end(&self, shared: &Shared) {
        self.over.set(true);
        for lane in self.idle.borrow_mut().drain(..) {
            shared.lanes[lane].wake();
        }
    }

    /// Counts what no lane took before the drive was ended: it was never sent.
    pub fn abandon(&self, shared: &Shared) {
        let handed = shared.lanes.iter().filter(|lane| lane.slot.take().is_some()).count();
        let now = shared.clock.now();
        for _ in 0..handed + self.waiting.borrow_mut().drain(..).len() {
            shared.recorder.borrow_mut().dropped(now);
        }
    }
}

/// Arrivals that are released before the lanes get their turn.
const BURST: u32 = 32;

/// Releases each arrival when it is due, and stamps it with the schedule's time, not with its own.
pub async fn pace(
    shared: Rc<Shared>,
    feed: Rc<OpenFeed>,
    arrivals: impl Iterator<Item = Duration>,
    mut operations: impl Iterator<Item = Operation>,
) {
    let timeline = shared.timeline;
    let (mut in_a_row, mut latest) = (0, None);
    for offset in arrivals {
        let due = timeline.start + nanoseconds(offset);
        if due >= timeline.end {
            break;
        }
        // Nothing is left to send: the run ends here, and its slices show how long it was.
        let Some(operation) = operations.next() else {
            // That many came until then. A single one that came at once tells no rate but by the one after it.
            let until = latest.filter(|latest| *latest > timeline.measured).unwrap_or(due);
            shared.scheduled_until.set(Some(until));
            return feed.end(&shared);
        };
        latest = Some(due);
        let noticed = shared.clock.reach(due, &shared.ending).await;
        if shared.ending.get() {
            break;
        }
        shared.recorder.borrow_mut().noticed(due, noticed);
        shared.used.set(shared.used.get() + 1);
        // A pacer that lags must still let the lanes work.
        in_a_row += 1;
        if in_a_row == BURST {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
        let due = if shared.drive.mutation == Mutation::StampFromWaking { noticed } else { due };
        let taken = feed.push(Arrival { due, operation }, &shared);
        if !taken && shared.drive.mutation != Mutation::ForgetOverflow {
            shared.recorder.borrow_mut().dropped(noticed);
        }
    }
    // The schedule may be sparse: its end is the timeline's, not the last arrival's.
    shared.clock.sleep_until(timeline.end, &shared.ending).await;
    feed.end(&shared);
}
