//! An hour of slices takes no more memory than a minute of them: they go to disk while the drive runs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use proofload::drive::{Collector, Drive, Load, Recording, Target, WorkerResult};
use proofload::ledger::{Books, Stored};
use proofload::record::{Outcome, Recorder, Sample, Timeline, Times};
use proofload::spool::Spool;

/// Counts what is allocated and not yet freed, and the most that it ever was.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SECOND: u64 = 1_000_000_000;
/// Samples a second: enough to fill a slice's histogram as a busy hour would.
const SAMPLES: u64 = 2_000;

/// Records so many seconds as fast as it can, a slice a second, as a drive of one worker does.
fn record(seconds: usize) -> Recording {
    let end = seconds as u64 * SECOND;
    let timeline = Timeline { start: 0, measured: 0, slice: SECOND, slices: seconds, end };
    let (ship, shipped) = mpsc::channel();
    let (joined_in, joined) = mpsc::channel();
    let worker = thread::spawn(move || {
        let mut recorder = Recorder::new(0, 1, true, timeline, ship);
        for number in 0..seconds as u64 * SAMPLES {
            recorder.record(&sample(number), 250);
            // The clock of a real drive does not run away from the one who joins the slices.
            if number % SAMPLES == 0 {
                joined.recv().unwrap();
            }
        }
        recorder.finish(end)
    });
    let mut collector = Collector::new(1, &["visit".to_owned()], timeline).unwrap();
    joined_in.send(()).unwrap();
    collector.follow(shipped, &mut |boundary| {
        // As many counters as witnesses add.
        let witnessed = (0..100).map(|it| (format!("server.a_counter_of_some_length_{it}"), it));
        boundary.slice.counters.extend(witnessed);
        let _ = joined_in.send(());
    });
    let times: Times = worker.join().unwrap();
    let result = WorkerResult {
        times,
        created: Default::default(),
        deleted: Default::default(),
        indeterminate: Default::default(),
        samples: Default::default(),
        ended_early: None,
        next_operation: 0,
        scheduled_until: None,
    };
    let load = Load::Closed { connections: 1, think: Duration::ZERO };
    let drive = Drive::new(Target::at(([127, 0, 0, 1], 1).into()), load, Duration::from_secs(1));
    collector.conclude(&drive, vec![result]).unwrap()
}

fn sample(number: u64) -> Sample {
    let due = number * (SECOND / SAMPLES);
    let took = 50_000 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 2_000_000;
    let (sent, first, done) = (due + 500, due + took, due + took + 200);
    Sample {
        kind: 0,
        due,
        ready: due + 100,
        sent,
        written: sent + 4_000,
        first,
        done,
        outcome: Outcome::Ok,
        status: 200,
    }
}

/// The most memory that something took, beyond what was there before, and what came of it.
fn most<T>(of: impl FnOnce() -> T) -> (usize, T) {
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    let made = of();
    (MOST.load(Relaxed) - before, made)
}

fn most_of(seconds: usize) -> usize {
    let (most, recording) = most(|| record(seconds));
    assert_eq!(recording.slices.len(), seconds);
    assert_eq!(recording.total("client.ok"), seconds as u64 * SAMPLES);
    let read: u64 = recording.slices.iter().map(|slice| slice.latency.count()).sum();
    assert_eq!(read, seconds as u64 * SAMPLES);
    most
}

/// What is allocated is counted for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn an_hour_takes_no_more_than_a_minute() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (minute, hour) = (most_of(60), most_of(3_600));
    println!("most at once: {} KB in a minute, {} KB in an hour", minute / 1_024, hour / 1_024);
    // All that an hour may add is noise, not a byte a slice.
    assert!(hour < minute + 512 * 1_024, "{minute} bytes in a minute, {hour} in an hour");
    assert!(hour < 64 << 20, "{hour} bytes");
}

/// Creates by number, with codes as the server makes them.
fn creates(count: u64) -> Spool {
    let mut spool = Spool::default();
    (0..count).for_each(|number| spool.push(number, &format!("{number:08x}")));
    spool
}

#[test]
fn creates_take_as_much_however_many_they_are() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (few, _) = most(|| creates(10_000));
    let (many, spool) = most(|| creates(2_000_000));
    println!("most at once: {} KB of few, {} KB of many", few / 1_024, many / 1_024);
    assert!(many < few + 64 * 1_024, "{few} bytes of few, {many} of many");

    // They are compared with as many rows, a part at a time.
    let (most, ledger) = most(|| {
        let mut books = Books::for_about(spool.len());
        for (number, code) in spool.iter() {
            books.acknowledge(&code, &number.to_string());
            books.find(&Stored { url: number.to_string(), code });
        }
        books.close("test").unwrap()
    });
    println!("most at once: {} MB to compare them", most >> 20);
    assert_eq!((ledger.present, ledger.missing, ledger.strangers), (2_000_000, 0, 0));
    assert!(most < 48 << 20, "{most} bytes");
}
