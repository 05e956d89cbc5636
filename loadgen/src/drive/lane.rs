//! A lane: one connection after another, one request at a time.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::http::response::Parts;

use super::closed::ClosedFeed;
use super::load::Mutation;
use super::open::{Arrival, OpenFeed};
use super::worker::{LaneState, Shared};
use crate::connect::{Connection, DialError, dial};
use crate::exchange::{Answer, Failure, Judgement, Operation};
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
    /// Body bytes of answers that come in several pieces.
    pieces: Vec<u8>,
}

/// Most of a body that is kept to be checked.
const KEPT_BODY: usize = 1 << 20;

impl Lane {
    pub fn new(index: usize, connection: Option<Connection>, feed: Feed, shared: Rc<Shared>) -> Self {
        Self { index, connection, feed, shared, refusals: 0, pieces: Vec::new() }
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
            self.serve(arrival).await;
            if self.refusals > 0 {
                self.back_off().await;
            }
        }
    }

    fn state(&self) -> &LaneState {
        &self.shared.lanes[self.index]
    }

    /// Makes the request and records what became of it.
    async fn serve(&mut self, arrival: Arrival) {
        let shared = self.shared.clone();
        let waited_too_long = shared.clock.now().saturating_sub(arrival.due) >= shared.timeout;
        let (result, ready) = if waited_too_long {
            (Err(Failure::Timeout), 0)
        } else {
            self.state().deadline.set(shared.clock.now() + shared.timeout);
            let result = self.attempt(arrival.operation).await;
            self.state().deadline.set(0);
            self.state().overdue.set(false);
            result
        };
        let outcome = self.outcome(arrival.operation, result);
        let mut sample = self.sample(arrival, ready, outcome, waited_too_long);
        if shared.drive.mutation == Mutation::StampFromSending && sample.sent > 0 {
            sample.due = sample.sent;
        }
        let received = self.connection.as_ref().map_or(0, |connection| connection.stamps.received.take());
        shared.recorder.borrow_mut().record(&sample, received);
        if let Outcome::Failed(_) = outcome {
            self.connection = None;
        }
    }

    fn sample(&self, arrival: Arrival, ready: u64, outcome: Outcome, unsent: bool) -> Sample {
        let kind = self.shared.exchange.kind(arrival.operation);
        let blank = Sample { kind, due: arrival.due, ready, sent: 0, written: 0, first: 0, done: 0, outcome };
        let answered = matches!(outcome, Outcome::Ok | Outcome::Created | Outcome::Wrong);
        match &self.connection {
            Some(connection) if !unsent => {
                let stamps = &connection.stamps;
                Sample {
                    sent: stamps.sent.get(),
                    written: stamps.written.get(),
                    first: stamps.first.get(),
                    done: if answered { stamps.last.get() } else { self.shared.clock.now() },
                    ..blank
                }
            }
            _ => Sample { done: self.shared.clock.now(), ..blank },
        }
    }

    fn outcome(&self, operation: Operation, result: Result<Judgement, Failure>) -> Outcome {
        let shared = &self.shared;
        match result {
            Ok(Judgement::Right) => Outcome::Ok,
            Ok(Judgement::Created(code)) => {
                if let Operation::Create { sequence } = operation {
                    shared.created.borrow_mut().push(&code, sequence);
                }
                Outcome::Created
            }
            Ok(Judgement::Wrong(how)) => {
                self.indeterminate(operation);
                shared.surprise(|| format!("{operation:?}: {how}"));
                Outcome::Wrong
            }
            Err(failure) => {
                if self.connection.as_ref().is_some_and(|connection| connection.stamps.sent.get() > 0) {
                    self.indeterminate(operation);
                }
                shared.surprise(|| format!("{operation:?}: {failure}"));
                Outcome::Failed(failure)
            }
        }
    }

    fn indeterminate(&self, operation: Operation) {
        if let Operation::Create { sequence } = operation {
            self.shared.indeterminate.borrow_mut().push(sequence);
        }
    }

    /// One request on a connection that is ready; the time it was.
    async fn attempt(&mut self, operation: Operation) -> (Result<Judgement, Failure>, u64) {
        if let Err(failure) = self.connect().await {
            return (Err(failure), 0);
        }
        let ready = self.shared.clock.now();
        (self.request(operation).await, ready)
    }

    /// Has a connection ready: the one at hand, or a new one if the target closed it.
    async fn connect(&mut self) -> Result<(), Failure> {
        if let Some(connection) = &mut self.connection {
            let state = &self.shared.lanes[self.index];
            let ready = poll_fn(|context| match connection.poll_ready(context) {
                Poll::Pending if state.overdue.get() => Poll::Ready(false),
                poll => poll,
            });
            if ready.await {
                connection.stamps.reset();
                return Ok(());
            }
            self.connection = None;
        }
        let shared = self.shared.clone();
        let began = shared.clock.now();
        let target = shared.drive.target.of_connection(self.index);
        let dialled = tokio::time::timeout(shared.drive.timeout, dial(&target, shared.clock));
        let dialled = dialled.await.unwrap_or_else(|_| Err(DialError::timeout(shared.drive.timeout)));
        let connection = dialled.map_err(|error| {
            self.refusals += 1;
            shared.surprise(|| format!("no connection: {}", error.detail));
            error.failure
        })?;
        self.refusals = 0;
        shared.recorder.borrow_mut().connected(shared.clock.now() - began);
        self.connection = Some(connection);
        Ok(())
    }

    async fn request(&mut self, operation: Operation) -> Result<Judgement, Failure> {
        let shared = self.shared.clone();
        let state = &shared.lanes[self.index];
        let connection = self.connection.as_mut().expect("connected just before");
        let request = shared.exchange.request(operation);
        shared.recorder.borrow_mut().sent();
        let response = connection.answer(request, |stands| over(state, stands)).await?;
        let (parts, body) = response.into_parts();
        let held = read_body(connection, state, body, &mut self.pieces).await?;
        Ok(self.check(operation, &parts, &held))
    }

    fn check(&self, operation: Operation, parts: &Parts, held: &Bytes) -> Judgement {
        let body = if self.pieces.is_empty() { held } else { self.pieces.as_slice() };
        let answer = Answer { status: parts.status, headers: &parts.headers, body };
        self.shared.exchange.check(operation, &answer)
    }

    /// Spares a target that refuses connections, and this machine's ports.
    async fn back_off(&self) {
        let milliseconds = 5u64 << self.refusals.min(6);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// Why the wait must end without an answer, if it must.
fn over(state: &LaneState, stands: bool) -> Option<Failure> {
    match stands {
        _ if state.overdue.get() => Some(Failure::Timeout),
        false => Some(Failure::Cut),
        true => None,
    }
}

/// Reads to the last byte. A body in one piece is returned as it is; several are put into `pieces`.
async fn read_body(
    connection: &mut Connection,
    state: &LaneState,
    mut body: Incoming,
    pieces: &mut Vec<u8>,
) -> Result<Bytes, Failure> {
    pieces.clear();
    let mut held = Bytes::new();
    while !body.is_end_stream() {
        let next = poll_fn(|context: &mut Context<'_>| {
            let mut poll = Pin::new(&mut body).poll_frame(context);
            let mut alive = true;
            if poll.is_pending() {
                alive = connection.turn(context);
                poll = Pin::new(&mut body).poll_frame(context);
            }
            match poll {
                Poll::Ready(frame) => {
                    Poll::Ready(frame.transpose().map_err(|error| Failure::of_hyper(&error)))
                }
                Poll::Pending => {
                    over(state, alive).map_or(Poll::Pending, |failure| Poll::Ready(Err(failure)))
                }
            }
        })
        .await?;
        let Some(frame) = next else { break };
        let Ok(data) = frame.into_data() else { continue };
        if held.is_empty() && pieces.is_empty() {
            held = data;
            continue;
        }
        if pieces.is_empty() {
            pieces.extend_from_slice(&held);
        }
        let room = KEPT_BODY.saturating_sub(pieces.len());
        pieces.extend_from_slice(&data[..data.len().min(room)]);
    }
    Ok(held)
}
