//! A visitor: what one Goose user knows and does, each request checked and recorded.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use proofload_scenarios::random::{self, Purpose, mix};
use proofload_scenarios::scenario::Step;
use proofload_scenarios::url_of;
use proofload_scenarios::workload::unknown_code;
use rand_pcg::Pcg64Mcg;
use reqwest::redirect::Policy;
use reqwest::{Body, Client, ClientBuilder, RequestBuilder};
use rustls::ClientConfig;
use tokio::sync::Notify;

use super::super::Drive;
use super::super::worker::WorkerResult;
use super::Journeys;
use crate::exchange::{
    Answer, Exchange, Failure, Headers, Judgement, Operation, check_created, check_visit, expect_status,
};
use crate::pace::Clock;
use crate::record::{Outcome, Recorder, Sample, Timeline, Times, WorkerSlice};
use crate::spool::Spool;

/// The most of a body that is kept to be checked; all of it is read, or the connection could not be used again.
const KEPT_BODY: usize = 1 << 20;
/// How many surprises are kept in words.
const KEPT_SAMPLES: usize = 8;

/// What a request is for: the name that its times and counts bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    CreateCustom,
    VisitOwn,
    VisitHot,
    VisitUnknown,
    DeleteOwn,
    VisitDeleted,
}

/// The kinds of requests to the shortener by name. Those of HTTP steps follow them.
pub const KINDS: [&str; 7] =
    ["create", "create-custom", "visit-own", "visit-hot", "visit-unknown", "delete-own", "visit-deleted"];

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Create,
    CreateCustom,
    VisitOwn,
    VisitHot,
    VisitUnknown,
    DeleteOwn,
    /// A request by the template of that number.
    Http(u16),
}

impl Act {
    /// `templates` numbers the HTTP steps in their order.
    pub fn of(step: &Step, templates: &mut impl Iterator<Item = u16>) -> Self {
        match step {
            Step::Create => Act::Create,
            Step::CreateCustom => Act::CreateCustom,
            Step::VisitOwn => Act::VisitOwn,
            Step::VisitHot => Act::VisitHot,
            Step::VisitUnknown => Act::VisitUnknown,
            Step::DeleteOwn => Act::DeleteOwn,
            Step::Http(_) => Act::Http(templates.next().unwrap_or_default()),
        }
    }
}

/// What all visitors share.
pub struct Stage {
    pub drive: Drive,
    pub journeys: Journeys,
    pub clock: Clock,
    base: String,
    kinds: Vec<String>,
    waiting: AtomicUsize,
    someone_waits: Notify,
    begun: Notify,
    live: OnceLock<Live>,
    ending: AtomicBool,
    under_way: AtomicUsize,
    sequence: AtomicU64,
    /// Walks that were begun.
    walks: AtomicU64,
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
    samples: Vec<String>,
}

/// One user.
#[derive(Clone)]
pub struct Visitor {
    hot: Pcg64Mcg,
    unknown: Pcg64Mcg,
    /// The number of its walk through a journey.
    row: u64,
    /// The link that it created last, until it deletes it.
    own: Option<Own>,
}

#[derive(Clone)]
struct Own {
    code: String,
    sequence: u64,
    url: String,
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

    /// A client that shows each answer as it came, and that no variable of the environment leads elsewhere.
    pub fn client_builder(&self) -> ClientBuilder {
        let target = &self.drive.target;
        let name = target.host.rsplit_once(':').map_or(target.host.as_str(), |(name, _)| name);
        let client = match &target.tls {
            Some(tls) => Client::builder().tls_backend_preconfigured(ClientConfig::clone(&tls.config)),
            None => Client::builder(),
        };
        client
            .redirect(Policy::none())
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
    pub fn death(&self, now: u64, patience: u64) -> Option<String> {
        let mut death = None;
        self.record(|recorder| death = recorder.death(now, patience));
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
        let findings = std::mem::take(&mut *lock(&self.findings));
        let times = self.live.get().and_then(|live| lock(&live.times).take());
        WorkerResult {
            times: times.unwrap_or_else(|| Times::new(self.kinds.len())),
            created: findings.created,
            deleted: findings.deleted,
            indeterminate: findings.indeterminate,
            samples: findings.samples,
            ended_early,
            next_operation: self.sequence.load(Relaxed),
        }
    }

    /// Whether a file of values has ended that is not to be begun again.
    pub fn exhausted(&self) -> bool {
        self.journeys.templates.end().is_some_and(|end| self.walks.load(Relaxed) > end)
    }

    fn may_send(&self) -> bool {
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
        let samples = &mut lock(&self.findings).samples;
        if samples.len() < KEPT_SAMPLES {
            samples.push(format!("{}: {how}", self.kinds[kind]));
        }
    }

    /// Sends a request, reads its answer to the end, and records what `check` makes of it.
    async fn exchange(
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
}

impl Visitor {
    pub fn new(stage: &Stage, user: u64) -> Self {
        let seed = stage.journeys.seed ^ mix(user + 1);
        Self {
            hot: random::stream(seed, Purpose::Visits),
            unknown: random::stream(seed, Purpose::UnknownCodes),
            row: 0,
            own: None,
        }
    }

    /// Begins another walk.
    pub fn set_out(&mut self, stage: &Stage) {
        self.row = stage.walks.fetch_add(1, Relaxed);
    }

    /// Takes one step. After the end it only waits: Goose's loop over the steps has no pause of its own.
    pub async fn walk(&mut self, stage: &Stage, client: &Client, act: Act) {
        let ended = stage.journeys.templates.end().is_some_and(|end| self.row >= end);
        if ended || !stage.may_send() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
        match act {
            Act::Create => self.create(stage, client, Kind::Create).await,
            Act::CreateCustom => self.create(stage, client, Kind::CreateCustom).await,
            Act::VisitOwn => self.visit_own(stage, client).await,
            Act::VisitHot => self.visit_hot(stage, client).await,
            Act::VisitUnknown => self.visit_unknown(stage, client).await,
            Act::DeleteOwn => self.delete_own(stage, client).await,
            Act::Http(template) => self.ask(stage, client, template).await,
        }
    }

    /// Makes the request of an HTTP step.
    async fn ask(&self, stage: &Stage, client: &Client, template: u16) {
        let operation = Operation::Http { template, row: self.row };
        let templates = &stage.journeys.templates;
        let (parts, body) = templates.request(operation).into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = client
            .request(parts.method, format!("{}{path}", stage.base))
            .headers(parts.headers)
            .body(Body::wrap(body));
        let kind = KINDS.len() + usize::from(template);
        let _ = stage.exchange(kind, request, |answer| templates.check(operation, answer)).await;
    }

    async fn create(&mut self, stage: &Stage, client: &Client, kind: Kind) {
        let sequence = stage.sequence.fetch_add(1, Relaxed);
        let url = url_of(stage.journeys.seed, sequence);
        let custom = (kind == Kind::CreateCustom).then(|| custom_code(stage.journeys.seed, sequence));
        let body = match &custom {
            Some(code) => format!("{{\"url\":\"{url}\",\"code\":\"{code}\"}}"),
            None => format!("{{\"url\":\"{url}\"}}"),
        };
        let request = client
            .post(format!("{}/api/links", stage.base))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let check = |answer: &Answer<'_>| match (check_created(&url, answer), &custom) {
            (Judgement::Created(code), Some(asked)) if code != *asked => {
                Judgement::Wrong(format!("created under {code} where {asked} was asked"))
            }
            (judgement, _) => judgement,
        };
        match stage.exchange(kind as usize, request, check).await {
            Ok((Judgement::Created(code), _)) => {
                stage.remember(&code, sequence);
                self.own = Some(Own { code, sequence, url });
            }
            // It may be stored all the same.
            Ok((Judgement::Wrong(_), status)) if status.is_server_error() || status.is_success() => {
                stage.doubt(sequence);
            }
            Err(failure) if failure != Failure::Refused => stage.doubt(sequence),
            _ => {}
        }
    }

    async fn visit_own(&mut self, stage: &Stage, client: &Client) {
        let Some(own) = &self.own else { return skip().await };
        let request = client.get(format!("{}/{}", stage.base, own.code));
        let _ =
            stage.exchange(Kind::VisitOwn as usize, request, |answer| check_visit(&own.url, answer)).await;
    }

    async fn visit_hot(&mut self, stage: &Stage, client: &Client) {
        let Some(popularity) = &stage.journeys.popularity else { return skip().await };
        let rank = popularity.zipf().sample(&mut self.hot) as usize;
        let link = popularity.hottest_first()[rank] as usize;
        let links = &stage.journeys.links;
        let request = client.get(format!("{}/{}", stage.base, links.code(link)));
        let check = |answer: &Answer<'_>| check_visit(links.url(link), answer);
        let _ = stage.exchange(Kind::VisitHot as usize, request, check).await;
    }

    async fn visit_unknown(&mut self, stage: &Stage, client: &Client) {
        let code = unknown_code(&mut self.unknown);
        let code = std::str::from_utf8(&code).expect("codes are letters and digits");
        let request = client.get(format!("{}/{code}", stage.base));
        let check = |answer: &Answer<'_>| expect_status(StatusCode::NOT_FOUND, answer);
        let _ = stage.exchange(Kind::VisitUnknown as usize, request, check).await;
    }

    /// Deletes the user's own link, and sees that it is gone.
    async fn delete_own(&mut self, stage: &Stage, client: &Client) {
        let Some(own) = self.own.take() else { return skip().await };
        let request = client.delete(format!("{}/api/links/{}", stage.base, own.code));
        let check = |answer: &Answer<'_>| match answer.status.is_success() {
            true => Judgement::Right,
            false => Judgement::Wrong(format!("status {} instead of 2xx", answer.status)),
        };
        match stage.exchange(Kind::DeleteOwn as usize, request, check).await {
            Ok((Judgement::Right, _)) => stage.forget(&own),
            Ok((_, status)) if !status.is_server_error() => return,
            _ => {
                stage.forget(&own);
                return stage.doubt(own.sequence);
            }
        }
        if stage.may_send() {
            let request = client.get(format!("{}/{}", stage.base, own.code));
            let check = |answer: &Answer<'_>| expect_status(StatusCode::NOT_FOUND, answer);
            let _ = stage.exchange(Kind::VisitDeleted as usize, request, check).await;
        }
    }
}

impl Stage {
    fn remember(&self, code: &str, sequence: u64) {
        lock(&self.findings).created.push(sequence, code);
    }

    fn forget(&self, own: &Own) {
        lock(&self.findings).deleted.push(own.sequence, &own.code);
    }

    fn doubt(&self, sequence: u64) {
        lock(&self.findings).indeterminate.push(sequence, "");
    }
}

/// A step that has nothing to act on, as after a failed create. It pauses, lest a journey of such steps never yields.
async fn skip() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A code of the user's choice: no generated code holds a `-`, and no two sequence numbers of a seed share one.
fn custom_code(seed: u64, sequence: u64) -> String {
    format!("my-{:08x}-{sequence}", mix(seed) as u32)
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
