//! A stage: what all users of an attack share, and where each request is sent, checked and recorded.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use hyper::StatusCode;
use hyper::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder};
use rustls::ClientConfig;
use tokio::sync::Notify;

use super::super::Drive;
use super::super::surprises::Surprises;
use super::super::worker::WorkerResult;
use super::Journeys;
use super::visitor::Own;
use crate::exchange::{Answer, Failure, Headers, Judgement, KEPT_BODY};
use crate::pace::Clock;
use crate::record::{Outcome, Recorder, Sample, Timeline, Times, WorkerSlice};
use crate::spool::Spool;

/// What all visitors share.
pub struct Stage {
    pub drive: Drive,
    pub journeys: Journeys,
    pub clock: Clock,
    pub base: String,
    kinds: Vec<String>,
    waiting: AtomicUsize,
    someone_waits: Notify,
    begun: Notify,
    live: OnceLock<Live>,
    ending: AtomicBool,
    under_way: AtomicUsize,
    pub sequence: AtomicU64,
    /// Walks that were begun.
    pub walks: AtomicU64,
    findings: Mutex<Findings>,
}

/// What exists from the beginning of the timeline on.
struct Live {
    timeline: Timeline,
    /// Taken when the drive is finished.
    recorder: Mutex<Option<Recorder>>,
    times: Mutex<Option<Times>>,
}

/// What the users found out, beyond counts and times.
#[derive(Default)]
struct Findings {
    created: Spool,
    /// Those of them that a user deleted again, or may have.
    deleted: Spool,
    indeterminate: Spool,
    samples: Surprises,
}

/// An answer, read to its last byte.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Stage {
    pub fn new(drive: Drive, journeys: Journeys) -> Self {
        Self {
            base: drive.target.base(),
            kinds: journeys.kinds(),
            walks: AtomicU64::new(0),
            sequence: AtomicU64::new(journeys.first_sequence),
            drive,
            journeys,
            clock: Clock::start(),
            waiting: AtomicUsize::new(0),
            someone_waits: Notify::new(),
            begun: Notify::new(),
            live: OnceLock::new(),
            ending: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            findings: Mutex::default(),
        }
    }

    /// A client that keeps its user's cookies and shows each answer as it came, and that no variable of the environment leads
    /// elsewhere.
    pub fn client_builder(&self) -> ClientBuilder {
        let target = &self.drive.target;
        let name = target.host.rsplit_once(':').map_or(target.host.as_str(), |(name, _)| name);
        let client = match &target.tls {
            Some(tls) => Client::builder().tls_backend_preconfigured(ClientConfig::clone(&tls.config)),
            None => Client::builder(),
        };
        client
            .redirect(Policy::none())
            .cookie_store(true)
            .no_proxy()
            .no_gzip()
            .http1_only()
            .resolve_to_addrs(name, &target.addrs().collect::<Vec<_>>())
            .timeout(self.drive.timeout)
    }

    /// A user waits here until all have come and the timeline has begun.
    pub async fn wait_for_all(&self) {
        let begun = self.begun.notified();
        self.waiting.fetch_add(1, Relaxed);
        self.someone_waits.notify_one();
        begun.await;
    }

    pub async fn all_launched(&self) {
        while self.waiting.load(Relaxed) < self.drive.load.connections() {
            self.someone_waits.notified().await;
        }
    }

    pub fn begin(&self, timeline: Timeline, slices: Sender<WorkerSlice>) {
        let recorder = Recorder::new(0, self.kinds.len(), false, timeline, slices);
        let (recorder, times) = (Mutex::new(Some(recorder)), Mutex::new(None));
        let _ = self.live.set(Live { timeline, recorder, times });
        self.begun.notify_waiters();
    }

    pub fn tick(&self, now: u64) {
        self.record(|recorder| recorder.tick(now));
    }

    /// Why the target counts as dead.
    pub fn death(&self, patience: u64) -> Option<String> {
        let mut death = None;
        self.record(|recorder| death = recorder.death(patience));
        death
    }

    /// From now on nothing more is sent.
    pub fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    pub fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    /// Closes the record: the last slice ends now, when the last answer is there.
    pub fn finish(&self) {
        let Some(live) = self.live.get() else { return };
        let recorder = lock(&live.recorder).take();
        *lock(&live.times) = recorder.map(|recorder| recorder.finish(self.clock.now()));
    }

    pub fn conclude(&self, ended_early: Option<String>) -> WorkerResult {
        let mut findings = std::mem::take(&mut *lock(&self.findings));
        if self.exhausted() {
            findings.samples.begin_with(self.journeys.templates.ended());
        }
        let times = self.live.get().and_then(|live| lock(&live.times).take());
        WorkerResult {
            times: times.unwrap_or_else(|| Times::new(self.kinds.len())),
            created: findings.created,
            deleted: findings.deleted,
            indeterminate: findings.indeterminate,
            samples: findings.samples,
            ended_early,
            next_operation: self.sequence.load(Relaxed),
            scheduled_until: None,
        }
    }

    /// Whether a file of values has ended that is not to be begun again.
    pub fn exhausted(&self) -> bool {
        self.journeys.templates.end().is_some_and(|end| self.walks.load(Relaxed) > end)
    }

    pub fn may_send(&self) -> bool {
        let end = self.live.get().map_or(0, |live| live.timeline.end);
        !self.ending.load(Relaxed) && self.clock.now() < end
    }

    fn record(&self, with: impl FnOnce(&mut Recorder)) {
        let Some(live) = self.live.get() else { return };
        if let Some(recorder) = &mut *lock(&live.recorder) {
            with(recorder);
        }
    }

    fn surprise(&self, kind: usize, how: &dyn std::fmt::Display) {
        lock(&self.findings).samples.note(&self.kinds[kind], "", how);
    }

    /// Sends a request, reads its answer to the end, and records what `check` makes of it.
    pub async fn exchange(
        &self,
        kind: usize,
        request: RequestBuilder,
        check: impl FnOnce(&Answer<'_>) -> Judgement,
    ) -> Result<(Judgement, StatusCode), Failure> {
        let _under_way = UnderWay::begin(&self.under_way);
        let sent = self.clock.now();
        let mut first = 0;
        let reply = self.send(request, &mut first).await;
        let done = self.clock.now();
        let result = reply.map_err(|error| {
            let failure = failure_of(&error);
            self.surprise(kind, &failure);
            (failure, error.is_connect())
        });
        let result = result.map(|reply| {
            let Reply { status, headers, body } = &reply;
            (check(&Answer { status: *status, headers: Headers::Map(headers), body }), *status)
        });
        let outcome = match &result {
            Ok((Judgement::Right, _)) => Outcome::Ok,
            Ok((Judgement::Created(_), _)) => Outcome::Created,
            Ok((Judgement::Wrong(how), _)) => {
                self.surprise(kind, how);
                Outcome::Wrong
            }
            Err((failure, _)) => Outcome::Failed(*failure),
        };
        let status = result.as_ref().map_or(0, |(_, status)| status.as_u16());
        let never_sent = matches!(result, Err((_, true)));
        let sample =
            Sample { kind, due: sent, ready: sent, sent, written: sent, first, done, outcome, status };
        self.record(|recorder| {
            recorder.tick(done);
            if !never_sent {
                recorder.sent();
            }
            recorder.record(&sample, 0);
        });
        result.map_err(|(failure, _)| failure)
    }

    async fn send(&self, request: RequestBuilder, first: &mut u64) -> Result<Reply, reqwest::Error> {
        let mut response = request.send().await?;
        *first = self.clock.now();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            let room = KEPT_BODY.saturating_sub(body.len());
            body.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Ok(Reply { status: response.status(), headers: std::mem::take(response.headers_mut()), body })
    }

    pub fn remember(&self, code: &str, sequence: u64) {
        lock(&self.findings).created.push(sequence, code);
    }

    pub fn forget(&self, own: &Own) {
        lock(&self.findings).deleted.push(own.sequence, &own.code);
    }

    pub fn doubt(&self, sequence: u64) {
        lock(&self.findings).indeterminate.push(sequence, "");
    }
}

/// Why the client has no answer. Its own words hide the cause behind several layers.
fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::Timeout;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = None;
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Failure::of_io(error);
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            found = Some(Failure::of_hyper(error));
        }
        cause = error.source();
    }
    found.unwrap_or(Failure::Local)
}

/// Counts a request as under way until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
