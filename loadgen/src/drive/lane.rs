//! A lane: one connection after another, one request at a time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::closed::ClosedFeed;
use super::load::Mutation;
use super::open::{Arrival, OpenFeed};
use super::worker::{LaneState, Shared};
use crate::connect::{Connection, DialError, dial_within};
use crate::exchange::{Failure, Judgement, Operation};
use crate::pace::nanoseconds;
use crate::record::{Outcome, Sample};

/// Where a lane's work comes from.
#[derive(Clone)]
pub enum Feed {
    Open(Rc<OpenFeed>),
    Closed(Rc<ClosedFeed>),
}

/// Sends requests one after the other, each timed from when it was due to its last byte.
pub struct Lane {
    index: usize,
    connection: Option<Connection>,
    feed: Feed,
    shared: Rc<Shared>,
    /// Connections that failed in a row.
    refusals: u32,
    /// Which process the connection goes to: so many after the lane's own.
    process: usize,
    /// The process that last ended a connection in good order or took none, and until when others are asked before it.
    spared: (usize, u64),
}

/// A process that ends its connections in good order is about to go: how long a balancer leaves it alone.
const SPARED: Duration = Duration::from_secs(2);

impl Lane {
    pub fn new(index: usize, connection: Option<Connection>, feed: Feed, shared: Rc<Shared>) -> Self {
        Self { index, connection, feed, shared, refusals: 0, process: 0, spared: (0, 0) }
    }

    pub async fn run(mut self) {
        let shared = self.shared.clone();
        let mut first = true;
        poll_fn(|context| {
            *self.state().waker.borrow_mut() = Some(context.waker().clone());
            Poll::Ready(())
        })
        .await;
        loop {
            let arrival = match &self.feed {
                Feed::Open(feed) => poll_fn(|_| feed.poll_next(self.index, &shared)).await,
                Feed::Closed(feed) => feed.next(&shared, std::mem::take(&mut first)).await,
            };
            let Some(arrival) = arrival else { return };
            let refusals = self.refusals;
            self.serve(arrival).await;
            if self.refusals > refusals {
                self.back_off().await;
            }
        }
    }

    fn state(&self) -> &LaneState {
        &self.shared.lanes[self.index]
    }

    /// Makes the request and records what became of it.
    async fn serve(&mut self, arrival: Arrival) {
        let now = self.shared.clock.now();
        if now.saturating_sub(arrival.due) >= self.shared.timeout {
            return self.give_up(arrival, now);
        }
        // Whatever is sent late in the run: by this time all that was due has waited for as long as the limit is.
        let last = self.shared.timeline.end + self.shared.timeout;
        self.state().deadline.set(last.min(now + self.shared.timeout));
        let (result, ready) = self.attempt(arrival.operation, now).await;
        self.state().deadline.set(0);
        self.state().over.set(None);
        let outcome = self.outcome(arrival.operation, result);
        let mut sample = self.sample(arrival, ready, outcome);
        match self.shared.drive.mutation {
            Mutation::StampFromSending if sample.sent > 0 => sample.due = sample.sent,
            Mutation::CorrectTwice if sample.sent > 0 => sample.done += sample.sent - sample.due,
            _ => {}
        }
        let received = self.connection.as_ref().map_or(0, |connection| connection.stamps.received.take());
        self.shared.recorder.borrow_mut().record(&sample, received);
        if let Outcome::Failed(_) = outcome {
            self.connection = None;
        }
    }

    /// An arrival that has waited too long for a connection is never sent.
    fn give_up(&self, arrival: Arrival, now: u64) {
        let kind = self.shared.exchange.kind(arrival.operation);
        let outcome = Outcome::Failed(Failure::Timeout);
        let due = arrival.due;
        let sample =
            Sample { kind, due, ready: 0, sent: 0, written: 0, first: 0, done: now, outcome, status: 0 };
        self.surprise(arrival.operation, &"no connection was free in time");
        self.shared.recorder.borrow_mut().record(&sample, 0);
    }

    fn sample(&self, arrival: Arrival, ready: u64, outcome: Outcome) -> Sample {
        let kind = self.shared.exchange.kind(arrival.operation);
        let due = arrival.due;
        let blank = Sample { kind, due, ready, sent: 0, written: 0, first: 0, done: 0, outcome, status: 0 };
        let answered = matches!(outcome, Outcome::Ok | Outcome::Created | Outcome::Wrong);
        match &self.connection {
            Some(connection) => {
                let stamps = &connection.stamps;
                Sample {
                    sent: stamps.sent.get(),
                    written: stamps.written.get(),
                    first: stamps.first.get(),
                    done: if answered { stamps.last.get() } else { self.shared.clock.now() },
                    status: if answered { stamps.status.get() } else { 0 },
                    ..blank
                }
            }
            None => Sample { done: self.shared.clock.now(), ..blank },
        }
    }

    fn outcome(&self, operation: Operation, result: Result<Judgement, Failure>) -> Outcome {
        let shared = &self.shared;
        match result {
            Ok(Judgement::Right) => Outcome::Ok,
            Ok(Judgement::Created(code)) => {
                if let Operation::Create { sequence } = operation {
                    shared.created.borrow_mut().push(sequence, &code);
                }
                Outcome::Created
            }
            Ok(Judgement::Wrong(how)) => {
                self.indeterminate(operation);
                self.surprise(operation, &how);
                Outcome::Wrong
            }
            Err(failure) => {
                if self.connection.as_ref().is_some_and(|connection| connection.stamps.sent.get() > 0) {
                    self.indeterminate(operation);
                }
                self.surprise(operation, &failure);
                Outcome::Failed(failure)
            }
        }
    }

    fn surprise(&self, operation: Operation, how: &dyn std::fmt::Display) {
        let exchange = &self.shared.exchange;
        let row = match operation {
            Operation::Http { row, .. } => format!(", row {row}"),
            _ => String::new(),
        };
        self.shared.samples.borrow_mut().note(&exchange.kinds()[exchange.kind(operation)], &row, how);
    }

    fn indeterminate(&self, operation: Operation) {
        if let Operation::Create { sequence } = operation {
            self.shared.indeterminate.borrow_mut().push(sequence, "");
        }
    }

    /// One request, and when a connection was ready for it.
    async fn attempt(&mut self, operation: Operation, now: u64) -> (Result<Judgement, Failure>, u64) {
        match self.connect(now).await {
            Err(failure) => (Err(failure), 0),
            Ok(ready) => (self.request(operation).await, ready),
        }
    }

    /// Has a connection ready: the one at hand, or a new one if the target closed it. When it was.
    async fn connect(&mut self, now: u64) -> Result<u64, Failure> {
        // Away from its own process it goes back as soon as that is no longer spared.
        if self.process != 0 && now >= self.spared.1 {
            self.connection = None;
        }
        if let Some(connection) = &mut self.connection {
            let state = &self.shared.lanes[self.index];
            let ready = poll_fn(|context| match connection.poll_ready(context) {
                Poll::Pending if state.over.get().is_some() => Poll::Ready(false),
                poll => poll,
            });
            if ready.await {
                connection.stamps.reset();
                return Ok(now);
            }
            self.connection = None;
            if let Some(failure) = state.over.get() {
                return Err(failure);
            }
            self.spared = (self.process, now + nanoseconds(SPARED));
        }
        let shared = self.shared.clone();
        let dialled = self.dial().await;
        let connection = dialled.map_err(|error| {
            self.refusals += 1;
            shared.samples.borrow_mut().note("no connection", &error.after(), &error.detail);
            error.failure
        })?;
        self.refusals = 0;
        let ready = shared.clock.now();
        shared.recorder.borrow_mut().connected(connection.took);
        connection.stamps.reset();
        self.connection = Some(connection);
        Ok(ready)
    }

    /// A connection to the lane's own process, or to the next that takes one: what a balancer does with a process that is
    /// away, or has just said that it goes. Nothing was sent yet, so no request is tried twice.
    async fn dial(&mut self) -> Result<Connection, DialError> {
        let target = &self.shared.drive.target;
        let (spared, until) = self.spared;
        let processes = 1 + target.others.len();
        let mut order: Vec<usize> = (0..processes).collect();
        if self.shared.clock.now() < until {
            order.sort_by_key(|process| *process == spared);
        }
        let mut last = None;
        for (tried, process) in order.into_iter().enumerate() {
            let address = target.of_connection(self.index + process);
            // Those that were not yet tried share the time that is left: a silent one shall not take all of it.
            let left = self.state().deadline.get().saturating_sub(self.shared.clock.now());
            let within = Duration::from_nanos(left / (processes - tried) as u64);
            match self.unless_over(dial_within(within, &address, self.shared.clock)).await {
                Ok(connection) => {
                    self.process = process;
                    return Ok(connection);
                }
                Err(error) => {
                    self.spared = (process, self.shared.clock.now() + nanoseconds(SPARED));
                    last = Some(error);
                }
            }
            if self.state().over.get().is_some() {
                break;
            }
        }
        Err(last.expect("there is at least one process"))
    }

    /// Waits for a connection, but no longer than the request may take.
    async fn unless_over(
        &self,
        dialled: impl Future<Output = Result<Connection, DialError>>,
    ) -> Result<Connection, DialError> {
        let mut dialled = pin!(dialled);
        poll_fn(|context| match (dialled.as_mut().poll(context), self.state().over.get()) {
            (Poll::Pending, Some(failure)) => Poll::Ready(Err(DialError::ended(failure))),
            (poll, _) => poll,
        })
        .await
    }

    async fn request(&mut self, operation: Operation) -> Result<Judgement, Failure> {
        let shared = &self.shared;
        let state = &shared.lanes[self.index];
        let connection = self.connection.as_mut().expect("connected just before");
        shared.recorder.borrow_mut().sent();
        connection.exchange(&*shared.exchange, operation, || state.over.get()).await
    }

    /// Spares a target that refuses connections, and this machine's ports.
    async fn back_off(&self) {
        let milliseconds = 5u64 << self.refusals.min(6);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}
