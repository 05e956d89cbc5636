//! Targets that are dead in all manners: a run on them ends in time, and accounts for every arrival.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proofload::drive::{Drive, DriveError, Load, Recording, Source, Target, drive};
use proofload::exchange::{Links, Operation, Shortener, Templates, Values};
use proofload_scenarios::scenario::HttpTemplate;

/// What a run may take that lasts for less than a second: a hang, not a measure of speed.
const HANGS: Duration = Duration::from_secs(60);
/// No run of these tests lasts so long by itself.
const LONG: Duration = Duration::from_secs(3_600);
const ARRIVALS: u64 = 2_999;

/// Does with each connection what it is told to. Ends with the test's process.
fn target(attend: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let attend = Arc::new(attend);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let attend = attend.clone();
            thread::spawn(move || attend(stream));
        }
    });
    address
}

/// Reads what comes and says nothing.
fn hear(mut stream: TcpStream) {
    let mut heard = [0; 4_096];
    while stream.read(&mut heard).is_ok_and(|length| length > 0) {}
}

fn mute() -> SocketAddr {
    target(hear)
}

/// Half an answer, and then silence.
fn half() -> SocketAddr {
    target(|mut stream| {
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(b"HTTP/1.1 302 Found\r\ncontent-length: 9\r\n\r\nhalf");
        hear(stream);
    })
}

/// An answer that never ends, a byte at a time.
fn endless() -> SocketAddr {
    target(|mut stream| {
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(b"HTTP/1.1 302 Found\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    })
}

/// An answer that never ends, as fast as it can be read.
fn torrent() -> SocketAddr {
    target(|mut stream| {
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(b"HTTP/1.1 302 Found\r\n\r\n");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    })
}

/// Takes one connection, ends it at the first request, and refuses all others.
fn gone() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let _ = stream.read(&mut [0; 4_096]);
    });
    address
}

/// Completes one connection, which nobody attends to, and leaves all further SYNs unanswered.
fn deaf() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// Opens a target.
type Opens = fn() -> SocketAddr;

fn open() -> Load {
    let gap = Duration::from_micros(100);
    let arrivals: Source<Duration> = Arc::new(move || Box::new((1..).map(move |n| gap * n)));
    Load::Open { arrivals, connections: 1 }
}

fn closed() -> Load {
    Load::Closed { connections: 2, think: Duration::ZERO }
}

/// Three tenths of a second of load; nothing but the time ends it.
fn run(
    address: SocketAddr,
    load: Load,
    change: impl FnOnce(&mut Drive),
) -> mpsc::Receiver<Result<Recording, DriveError>> {
    let target = Target::at(address);
    let links = Links::new([("abc", "https://example.com/")]);
    let exchange = Arc::new(Shortener::new(&target.host, Arc::new(links), 1));
    let mut spec = Drive::new(target, load, Duration::from_millis(300));
    spec.slice = Duration::from_millis(100);
    spec.timeout = Duration::from_millis(300);
    spec.patience = LONG;
    change(&mut spec);
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let visits: Source<Operation> =
            Arc::new(|| Box::new(std::iter::repeat(Operation::Visit { link: 0 })));
        let _ = done.send(drive(&spec, exchange, visits, &mut |_| ()));
    });
    ended
}

fn accounted(recording: &Recording) -> u64 {
    ["ok", "wrong", "timeout", "error", "dropped", "unfinished"]
        .iter()
        .map(|end| recording.total(&format!("client.{end}")))
        .sum()
}

#[test]
fn a_run_on_a_dead_target_ends_in_time_and_accounts_for_every_arrival() {
    let targets: [(&str, Opens); 6] = [
        ("mute", mute),
        ("half", half),
        ("endless", endless),
        ("torrent", torrent),
        ("gone", gone),
        ("deaf", deaf),
    ];
    for (name, target) in targets {
        let ended = run(target(), open(), |_| ()).recv_timeout(HANGS);
        let recording = ended.unwrap_or_else(|_| panic!("{name}: hangs")).unwrap();
        assert_eq!(accounted(&recording), ARRIVALS, "{name}");
        assert_eq!(recording.total("client.ok"), 0, "{name}");
        assert_eq!(recording.total("client.unfinished"), 0, "{name}: nobody ended the run");
        let ended = run(target(), closed(), |_| ()).recv_timeout(HANGS);
        let recording = ended.unwrap_or_else(|_| panic!("{name}, closed: hangs")).unwrap();
        assert!(accounted(&recording) > 0, "{name}, closed");
        let ended = run(target(), open(), |drive| drive.target.http2 = true).recv_timeout(HANGS);
        let recording = ended.unwrap_or_else(|_| panic!("{name}, HTTP/2: hangs")).unwrap();
        assert_eq!(accounted(&recording), ARRIVALS, "{name}, HTTP/2");
    }
}

/// What the end of the run cut off is neither the target's time-out nor lost from the count.
#[test]
fn a_run_that_is_stopped_ends_soon_and_tells_what_was_unfinished_from_what_was_never_sent() {
    for (target, connections) in [(mute(), 1), (half(), 1), (mute(), 2)] {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = run(target, open(), |drive| {
            drive.timeout = LONG;
            drive.measurement = LONG;
            drive.slice = LONG;
            drive.stop = stop.clone();
            let Load::Open { connections: open, .. } = &mut drive.load else { unreachable!() };
            *open = connections;
        });
        thread::sleep(Duration::from_millis(100));
        stop.store(true, Relaxed);
        let recording = ended.recv_timeout(HANGS).expect("hangs").unwrap();
        assert_eq!(recording.ended_early.as_deref(), Some("stopped before its time"));
        assert_eq!(recording.total("client.unfinished"), connections as u64);
        assert_eq!(recording.total("client.timeout") + recording.total("client.error"), 0);
        assert!(recording.total("client.dropped") > 0);
        assert_eq!(accounted(&recording), recording.next_operation);
        assert_eq!(recording.times["response"].count(), 0);
    }
}

#[test]
fn a_run_may_be_stopped_while_it_connects() {
    let address = deaf();
    let _first = TcpStream::connect(address).unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    let ended = run(address, closed(), |drive| {
        drive.timeout = LONG;
        drive.stop = stop.clone();
    });
    let error = ended.recv_timeout(HANGS).expect("hangs").unwrap_err();
    assert!(error.to_string().contains("ended before"), "{error}");
}

/// Answers as soon as a request begins, reads no more of it, and leaves the connection open.
fn hasty() -> SocketAddr {
    target(|mut stream| {
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n");
        thread::sleep(LONG);
    })
}

/// More than the buffers on the way hold: who only writes waits for ever.
#[test]
fn an_answer_that_comes_before_all_of_a_large_request_is_read() {
    let target = Target::at(hasty());
    let template = HttpTemplate {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        body: "x".repeat(32 << 20),
        status: Some(413),
        ..HttpTemplate::default()
    };
    let exchange = Arc::new(Templates::new(&target.host, &[template], Values::built_in(1)).unwrap());
    let mut spec = Drive::new(target, Load::Closed { connections: 1, think: Duration::ZERO }, HANGS);
    spec.timeout = HANGS;
    let posts: Source<Operation> =
        Arc::new(|| Box::new((0..2).map(|row| Operation::Http { template: 0, row })));
    let recording = drive(&spec, exchange, posts, &mut |_| ()).unwrap();
    assert_eq!(recording.total("client.ok"), 2, "{:?}", recording.samples);
    assert_eq!(recording.total("client.connects"), 1, "the second request must not follow half of the first");
}
