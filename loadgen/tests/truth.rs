//! Tests of truth: what is reported is what happened, and each test goes red when the measuring is broken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use proofload::drive::{Drive, Load, Mutation, Recording, Source, Target, drive};
use proofload::exchange::{Answer, Exchange, Judgement, Links, Operation, Shortener};
use proofload::selftest::server::{Behaviour, TestServer};

const GAP: Duration = Duration::from_millis(4);
const ARRIVALS: u64 = 249;
/// How far quantiles may lie from the truth: two gaps, and the wait for a connection in which drain and stall overlap.
const EARLIER_MS: f64 = 10.0;
const LATER_MS: f64 = 40.0;
/// A busy machine can make answers later than the truth, but not each time.
const ATTEMPTS: usize = 5;
/// Drives that run side by side would disturb each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The shortener's exchange, which holds its whole thread up once: as if its core had been taken away.
struct HeldUp {
    shortener: Shortener,
    hold: Duration,
    held: AtomicBool,
}

impl Exchange for HeldUp {
    fn kinds(&self) -> &[String] {
        self.shortener.kinds()
    }

    fn kind(&self, operation: Operation) -> usize {
        self.shortener.kind(operation)
    }

    fn request(&self, operation: Operation) -> Request<Full<Bytes>> {
        if !self.held.swap(true, Ordering::Relaxed) {
            std::thread::sleep(self.hold);
        }
        self.shortener.request(operation)
    }

    fn check(&self, operation: Operation, answer: &Answer<'_>) -> Judgement {
        self.shortener.check(operation, answer)
    }
}

/// A second of even arrivals on four connections.
fn second(behaviour: Behaviour, hold: Duration, mutation: Mutation, waiting: usize) -> Recording {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let server = TestServer::start(behaviour, None).unwrap();
    let target = Target::at(server.addr);
    let links = Links::new([("abc", "https://example.com/")]);
    let shortener = Shortener::new(&target.host, Arc::new(links), 1);
    let exchange = HeldUp { shortener, hold, held: AtomicBool::new(hold.is_zero()) };
    let arrivals: Source<Duration> = Arc::new(|| Box::new((1..).map(|n| GAP * n)));
    let visits: Source<Operation> = Arc::new(|| Box::new(std::iter::repeat(Operation::Visit { link: 0 })));
    let mut spec = Drive::new(target, Load::Open { arrivals, connections: 4 }, Duration::from_secs(1));
    spec.waiting = waiting;
    spec.mutation = mutation;
    spec.slice = Duration::from_millis(100);
    drive(&spec, Arc::new(exchange), visits, &mut |_| ()).unwrap()
}

fn response_ms(recording: &Recording, q: f64) -> f64 {
    recording.times["response"].quantile_us(q).unwrap() / 1_000.0
}

/// The server stands still for the first 400 of 1,000 ms. A share of 1 − q of the arrivals waits longer than
/// 400 − (1 − q)·1,000 ms, whoever makes them wait: the server, or the connections.
fn tells_the_stall(mutation: Mutation) -> bool {
    let every = Duration::from_secs(100);
    let behaviour = Behaviour::Stalls { every, lasting: Duration::from_millis(400) };
    for _ in 0..ATTEMPTS {
        let recording = second(behaviour.clone(), Duration::ZERO, mutation, 10_000);
        assert_eq!(recording.total("client.ok"), ARRIVALS);
        let off = [(0.7, 100.0), (0.9, 300.0), (0.99, 390.0)]
            .map(|(q, true_ms)| response_ms(&recording, q) - true_ms);
        // Nothing can make a request's time shorter than it was.
        if off.iter().any(|off| *off < -EARLIER_MS) {
            return false;
        }
        if off.iter().all(|off| *off <= LATER_MS) {
            return true;
        }
    }
    false
}

#[test]
fn a_stall_is_charged_to_all_who_arrived_in_it() {
    assert!(tells_the_stall(Mutation::None));
}

#[test]
fn a_stall_would_be_exaggerated_by_correcting_twice() {
    assert!(!tells_the_stall(Mutation::CorrectTwice));
}

#[test]
fn a_stall_would_be_diluted_by_averages_of_percentiles() {
    assert!(!tells_the_stall(Mutation::AveragePercentiles));
}

#[test]
fn a_stall_would_be_hidden_by_stamps_from_sending() {
    assert!(!tells_the_stall(Mutation::StampFromSending));
}

/// The generator itself stands still for 400 of 1,000 ms: its lateness belongs to the response time, and the run
/// says that it cannot be trusted.
fn tells_its_own_stall(mutation: Mutation) -> bool {
    let recording = second(Behaviour::Prompt, Duration::from_millis(400), mutation, 10_000);
    assert_eq!(recording.total("client.ok"), ARRIVALS);
    assert!(
        recording.invalid_latency.iter().any(|reason| reason.contains("late")),
        "{:?}",
        recording.invalid_latency
    );
    response_ms(&recording, 0.7) >= 90.0 && response_ms(&recording, 0.9) >= 290.0
}

#[test]
fn the_generators_own_stall_is_in_the_response_time_and_makes_it_invalid() {
    assert!(tells_its_own_stall(Mutation::None));
}

#[test]
fn the_generators_own_stall_would_be_hidden_by_stamps_from_waking() {
    assert!(!tells_its_own_stall(Mutation::StampFromWaking));
}

/// Every arrival of the schedule is accounted for.
fn accounts_for_all(mutation: Mutation) -> bool {
    let every = Duration::from_secs(100);
    let behaviour = Behaviour::Stalls { every, lasting: Duration::from_millis(400) };
    let recording = second(behaviour, Duration::ZERO, mutation, 50);
    let dropped = recording.total("client.dropped");
    if dropped > 0 {
        assert!(recording.invalid_latency.iter().any(|reason| reason.contains("dropped")));
    }
    recording.total("client.ok") + dropped == ARRIVALS
}

#[test]
fn overflow_is_counted() {
    assert!(accounts_for_all(Mutation::None));
}

#[test]
fn overflow_that_is_forgotten_is_missed() {
    assert!(!accounts_for_all(Mutation::ForgetOverflow));
}
