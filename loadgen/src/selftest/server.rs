//! A test server whose true answering times are known beforehand.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, yield_now};

/// When, and with what, the server answers.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Rightly and at once.
    Prompt,
    /// Not at all for the first `lasting` of each `every`, counted from the first request;
    /// what came meanwhile is answered at once when the stall ends.
    Stalls { every: Duration, lasting: Duration },
    /// One request after the other, in the order they came: the n-th takes the n-th time, and then from the start.
    Queue { times: Arc<Vec<Duration>> },
    /// With these bytes, whatever they are, and then it closes the connection.
    Says(&'static [u8]),
    /// Never.
    Silent,
    /// Rightly so many times in all, and then the server is gone.
    Dies { after: u64 },
    /// Rightly, with word that it closes the connection, and then it does.
    ClosesEach,
}

/// When each request was read, in the order they came, and when its answer was sent; the same until it is.
type Log = Arc<Mutex<Vec<(Instant, Instant)>>>;

/// A running test server; dropping it ends it.
pub struct TestServer {
    pub addr: SocketAddr,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

const ANSWER: &[u8] = b"HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n";
const LAST_ANSWER: &[u8] =
    b"HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

struct State {
    behaviour: Behaviour,
    /// When the first request came.
    first: Cell<Option<Instant>>,
    /// When the queue will be empty.
    free_at: Cell<Option<Instant>>,
    served: Cell<u64>,
    /// Those who wait for a stall to end, in the order they came.
    stalled: RefCell<VecDeque<oneshot::Sender<()>>>,
    log: Log,
    over: RefCell<Option<oneshot::Sender<()>>>,
}

impl TestServer {
    /// Listens on a free loopback port. With `core`, the server runs there alone and never sleeps: how long a sleeping one takes
    /// to wake up would be in its stamps.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(behaviour: Behaviour, core: Option<usize>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let log = Log::default();
        let (stop, stopped) = oneshot::channel();
        let (up_in, up) = mpsc::channel();
        let seen = log.clone();
        let thread = std::thread::Builder::new().name("test-server".to_owned()).spawn(move || {
            if let Some(core) = core {
                let _ = crate::cores::pin(core);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let _ = up_in.send(());
            if let Ok(runtime) = runtime {
                let tasks = LocalSet::new();
                if core.is_some() {
                    tasks.spawn_local(async {
                        loop {
                            yield_now().await;
                        }
                    });
                }
                tasks.block_on(&runtime, serve(listener, behaviour, seen, stopped));
            }
        })?;
        let _ = up.recv();
        Ok(Self { addr, log, stop: Some(stop), thread: Some(thread) })
    }

    /// When each request so far was read, in order.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.served().into_iter().map(|(arrived, _)| arrived).collect()
    }

    /// When each request so far was read, in order, and when its answer was sent.
    pub fn served(&self) -> Vec<(Instant, Instant)> {
        self.log.lock().expect("no thread panics while it holds this").clone()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    behaviour: Behaviour,
    log: Log,
    stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let (over, gone) = oneshot::channel();
    let state = Rc::new(State {
        behaviour,
        first: Cell::new(None),
        free_at: Cell::new(None),
        served: Cell::new(0),
        stalled: RefCell::default(),
        log,
        over: RefCell::new(Some(over)),
    });
    let accept = async {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::task::spawn_local(attend(stream, state.clone()));
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
        _ = gone => {}
    }
}

/// Answers the requests of one connection; none has a body.
async fn attend(mut stream: TcpStream, state: Rc<State>) {
    let mut buffer = Vec::with_capacity(1024);
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        buffer.clear();
        let arrived = Instant::now();
        let turn = state.arrive(arrived);
        let due = state.answer_at(arrived, turn);
        match state.behaviour {
            Behaviour::Stalls { .. } => state.stall_until(due).await,
            _ => reach(due).await,
        }
        let bytes = match &state.behaviour {
            Behaviour::Says(bytes) => bytes,
            Behaviour::Silent => return std::future::pending().await,
            Behaviour::ClosesEach => LAST_ANSWER,
            _ => ANSWER,
        };
        state.answered(turn);
        if stream.write_all(bytes).await.is_err() {
            return;
        }
        state.served.set(state.served.get() + 1);
        match state.behaviour {
            Behaviour::Dies { after } if state.served.get() >= after => {
                drop(state.over.take());
                return;
            }
            Behaviour::Says(_) | Behaviour::ClosesEach => return,
            _ => {}
        }
    }
}

impl State {
    /// Notes an arrival; how many came before it.
    fn arrive(&self, at: Instant) -> usize {
        let mut log = self.log.lock().expect("no thread panics while it holds this");
        log.push((at, at));
        log.len() - 1
    }

    fn answered(&self, turn: usize) {
        self.log.lock().expect("no thread panics while it holds this")[turn].1 = Instant::now();
    }

    /// Who came first is answered first: the truth is reckoned so. The first to be stalled wakes all others at the end; would
    /// each look at the clock, the drain would take as long as that many looks.
    async fn stall_until(&self, due: Instant) {
        let (call, called) = oneshot::channel();
        let is_first = {
            let mut stalled = self.stalled.borrow_mut();
            stalled.push_back(call);
            stalled.len() == 1
        };
        if is_first {
            reach(due).await;
            for call in self.stalled.take() {
                let _ = call.send(());
            }
        }
        let _ = called.await;
    }

    fn answer_at(&self, arrived: Instant, turn: usize) -> Instant {
        let first = self.first.get().unwrap_or(arrived);
        self.first.set(Some(first));
        match &self.behaviour {
            Behaviour::Stalls { every, lasting } => {
                let into = (arrived - first).as_nanos() % every.as_nanos();
                let left = lasting.as_nanos().saturating_sub(into);
                arrived + Duration::from_nanos(left as u64)
            }
            Behaviour::Queue { times } => {
                let begins = self.free_at.get().unwrap_or(arrived).max(arrived);
                let ends = begins + times[turn % times.len()];
                self.free_at.set(Some(ends));
                ends
            }
            _ => arrived,
        }
    }
}

/// Waits for `due` without a timer, as timers are a millisecond wide; a long wait begins with one.
async fn reach(due: Instant) {
    const SPIN: Duration = Duration::from_millis(3);
    let left = due.saturating_duration_since(Instant::now());
    if left > SPIN {
        tokio::time::sleep(left - SPIN).await;
    }
    while Instant::now() < due {
        yield_now().await;
    }
}
