//! Drives against servers that behave and servers that do not.

use std::sync::Arc;
use std::time::Duration;

use proofload::drive::{Drive, DriveError, Load, Recording, Source, Target, drive};
use proofload::exchange::{Links, Operation, Shortener};
use proofload::selftest::server::{Behaviour, TestServer};

fn visits() -> Source<Operation> {
    Arc::new(|| Box::new(std::iter::repeat(Operation::Visit { link: 0 })))
}

fn shortener(target: &Target) -> Arc<Shortener> {
    let links = Links::new([("abc", "https://example.com/")]);
    Arc::new(Shortener::new(&target.host, Arc::new(links), 1))
}

fn every(gap: Duration) -> Load {
    let arrivals: Source<Duration> = Arc::new(move || Box::new((1..).map(move |n| gap * n)));
    Load::Open { arrivals, connections: 8 }
}

fn closed() -> Load {
    Load::Closed { connections: 4, think: Duration::ZERO }
}

fn run(server: &TestServer, load: Load, change: impl FnOnce(&mut Drive)) -> Result<Recording, DriveError> {
    let target = Target::at(server.addr);
    let exchange = shortener(&target);
    let mut spec = Drive::new(target, load, Duration::from_millis(300));
    spec.slice = Duration::from_millis(100);
    change(&mut spec);
    drive(&spec, exchange, visits(), &mut |_| ())
}

#[test]
fn an_open_drive_sends_what_the_schedule_says_and_no_more() {
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let recording = run(&server, every(Duration::from_millis(1)), |_| ()).unwrap();
    assert_eq!(recording.total("client.sent"), 299);
    assert_eq!(recording.total("client.ok"), 299);
    assert_eq!(recording.total("client.ok/visit"), 299);
    assert_eq!(recording.times["response"].count(), 299);
    assert_eq!(recording.slices.len(), 3);
    assert_eq!(server.arrivals().len(), 299);
    assert_eq!(recording.next_operation, 299);
}

#[test]
fn workers_share_one_schedule() {
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let recording = run(&server, every(Duration::from_millis(1)), |drive| drive.cores = vec![0, 1]).unwrap();
    assert_eq!(recording.total("client.ok"), 299);
    assert_eq!(recording.next_operation, 299);
    assert_eq!(recording.slices.iter().map(|slice| slice.latency.unpack().count()).sum::<u64>(), 299);
}

#[test]
fn a_closed_drive_has_a_service_time_and_no_response_time() {
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    let mut boundaries = Vec::new();
    let target = Target::at(server.addr);
    let mut spec = Drive::new(target.clone(), closed(), Duration::from_millis(300));
    spec.slice = Duration::from_millis(100);
    spec.warm_up = Duration::from_millis(50);
    let recording =
        drive(&spec, shortener(&target), visits(), &mut |boundary| boundaries.push(boundary.index)).unwrap();
    assert_eq!(boundaries, [0, 1, 2, 3]);
    assert!(recording.total("client.ok") > 100);
    assert!(!recording.times.contains_key("response"));
    assert_eq!(
        recording.total("client.ok") + recording.before_measurement["client.ok"],
        server.arrivals().len() as u64
    );
    assert!(recording.times["service"].count() <= recording.total("client.ok"));
}

/// Else a slice of an interleaved run answers more than it sent.
#[test]
fn without_a_warm_up_the_first_requests_are_of_the_measurement() {
    let server = TestServer::start(Behaviour::Prompt, None).unwrap();
    for load in [closed(), every(Duration::from_millis(1))] {
        let recording = run(&server, load, |_| ()).unwrap();
        assert_eq!(recording.before_measurement["client.sent"], 0);
        assert_eq!(recording.total("client.sent"), recording.total("client.ok"));
    }
}

#[test]
fn a_connection_closed_after_each_answer_costs_no_answer() {
    let server = TestServer::start(Behaviour::ClosesEach, None).unwrap();
    let recording = run(&server, every(Duration::from_millis(2)), |_| ()).unwrap();
    assert_eq!(recording.total("client.ok"), 149);
    // All but the first of each of the eight connections.
    assert_eq!(recording.total("client.connects"), 141);
}

#[test]
fn each_kind_of_bad_answer_has_its_own_count() {
    let cases: [(Behaviour, &str); 6] = [
        (Behaviour::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), "client.wrong"),
        (
            Behaviour::Says(
                b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere.example/\r\ncontent-length: 0\r\n\r\n",
            ),
            "client.wrong",
        ),
        (
            Behaviour::Says(
                b"HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 9\r\n\r\nhalf",
            ),
            "client.cut",
        ),
        (Behaviour::Says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "client.garbage"),
        (Behaviour::Says(b""), "client.cut"),
        (Behaviour::Silent, "client.timeout"),
    ];
    for (behaviour, counter) in cases {
        let milliseconds = if matches!(behaviour, Behaviour::Silent) { 100 } else { 10_000 };
        let timeout = Duration::from_millis(milliseconds);
        for load in [closed(), every(Duration::from_millis(10))] {
            let server = TestServer::start(behaviour.clone(), None).unwrap();
            let recording = run(&server, load, |drive| drive.timeout = timeout).unwrap();
            assert!(recording.total(counter) > 0, "{behaviour:?}: {:?}", recording.samples);
            assert_eq!(recording.total("client.ok"), 0, "{behaviour:?}");
            assert!(!recording.samples.is_empty());
        }
    }
}

#[test]
fn a_target_that_is_not_there_is_an_error() {
    let addr = TestServer::start(Behaviour::Prompt, None).unwrap().addr;
    let target = Target::at(addr);
    let spec = Drive::new(target.clone(), closed(), Duration::from_millis(300));
    let error = drive(&spec, shortener(&target), visits(), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

/// A name may lead to several addresses, of which not all are served.
#[test]
fn a_name_is_reached_at_whichever_address_takes_connections() {
    let nobody = TestServer::start(Behaviour::Prompt, None).unwrap().addr;
    for load in [closed(), every(Duration::from_millis(2))] {
        let server = TestServer::start(Behaviour::ClosesEach, None).unwrap();
        let recording = run(&server, load, |drive| {
            drive.target.addr = nobody;
            drive.target.alternatives = vec![nobody, server.addr];
        })
        .unwrap();
        assert!(recording.total("client.ok") > 0, "{:?}", recording.samples);
        assert_eq!(recording.total("client.error"), 0, "{:?}", recording.samples);
    }
    let unserved = TestServer::start(Behaviour::Prompt, None).unwrap();
    let error = run(&unserved, closed(), |drive| {
        drive.target.addr = nobody;
        drive.target.alternatives = vec![nobody];
    });
    assert!(error.unwrap_err().to_string().contains("refused"));
}

#[test]
fn a_target_that_dies_ends_the_drive_early() {
    for load in [closed(), every(Duration::from_millis(2))] {
        let server = TestServer::start(Behaviour::Dies { after: 20 }, None).unwrap();
        let recording = run(&server, load, |drive| {
            drive.measurement = Duration::from_secs(60);
            drive.patience = Duration::from_millis(200);
        })
        .unwrap();
        assert!(
            recording.ended_early.as_deref().is_some_and(|reason| reason.contains("died")),
            "{:?}",
            recording.samples
        );
        assert!(recording.total("client.refused") + recording.total("client.reset") > 0);
    }
}

/// The requests that are under way when the drive is told to end are answered at once after that, and the lanes with them.
#[test]
fn a_drive_that_is_stopped_between_two_looks_says_so() {
    let times = std::sync::Arc::new(vec![Duration::from_millis(1)]);
    for load in [closed(), every(Duration::from_millis(2))] {
        let server = TestServer::start(Behaviour::Queue { times: times.clone() }, None).unwrap();
        let recording = run(&server, load, |drive| {
            drive.measurement = Duration::from_secs(60);
            let stop = drive.stop.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            });
        })
        .unwrap();
        assert_eq!(recording.ended_early.as_deref(), Some("stopped before its time"));
    }
}

#[test]
fn arrivals_beyond_the_bound_are_dropped_counted_and_make_latency_invalid() {
    let server = TestServer::start(Behaviour::Silent, None).unwrap();
    let recording = run(&server, every(Duration::from_millis(1)), |drive| {
        drive.waiting = 10;
        drive.timeout = Duration::from_secs(1);
    })
    .unwrap();
    assert_eq!(recording.total("client.dropped") + recording.total("client.timeout"), 299);
    assert_eq!(recording.total("client.timeout"), 18);
    assert!(recording.invalid_latency[0].contains("dropped"));
    assert_eq!(recording.times["response"].count(), 18);
}

/// The target is mute for 100 of 300 ms: those who come then, and find its one connection taken, are told apart.
#[test]
fn arrivals_that_wait_for_a_connection_are_counted() {
    let (every_s, lasting) = (Duration::from_secs(100), Duration::from_millis(100));
    let load = |connections| match every(Duration::from_millis(1)) {
        Load::Open { arrivals, .. } => Load::Open { arrivals, connections },
        closed => closed,
    };
    // Each has a server of its own, whose stall begins with its first request.
    let queued = |connections| {
        let server = TestServer::start(Behaviour::Stalls { every: every_s, lasting }, None).unwrap();
        let recording = run(&server, load(connections), |_| ()).unwrap();
        assert_eq!(recording.total("client.arrivals"), 299);
        assert_eq!(recording.scheduled_s, 0.3);
        recording.total("client.queued")
    };
    let (one, each) = (queued(1), queued(300));
    assert!((80..=299).contains(&one), "{one}");
    assert!(one > each, "with a connection for each arrival none waits for one: {each} of {one} did");
}

/// Whatever way a body comes in, its last byte is waited for.
#[test]
fn bodies_are_read_to_their_end_however_they_are_framed() {
    let right = [
        "HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\n\r\nuntil the end",
        "HTTP/1.0 302 Found\r\nlocation: https://example.com/\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 302 Found\r\nlocation: https://example.com/\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 2\r\n\r\nok and more",
    ];
    for text in right {
        let server = TestServer::start(Behaviour::Says(text.as_bytes()), None).unwrap();
        let recording = run(&server, closed(), |_| ()).unwrap();
        assert!(recording.total("client.ok") > 0, "{text}: {:?}", recording.samples);
        assert_eq!(recording.total("client.garbage") + recording.total("client.wrong"), 0, "{text}");
    }
    let wrong = [
        ("HTTP/1.1 302 Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab", "client.cut"),
        ("HTTP/1.1 302 Found\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "client.garbage"),
        ("HTTP/1.1 302 Found\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "client.garbage"),
    ];
    for (text, counter) in wrong {
        let server = TestServer::start(Behaviour::Says(text.as_bytes()), None).unwrap();
        let recording = run(&server, closed(), |_| ()).unwrap();
        assert!(recording.total(counter) > 0, "{text}: {:?}", recording.samples);
        assert_eq!(recording.total("client.ok"), 0, "{text}");
    }
}
