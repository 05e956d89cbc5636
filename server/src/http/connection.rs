//! One client's connection, kept an eye on.

use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::parting::{self, Parting};
use super::{Request, Response};

/// What is known of a connection without touching it. A sweep over all of a thread's watches, a few times a second,
/// does what a timer in each connection would do, at no cost to a request but a few plain stores.
pub struct Watch {
    /// The thread's clock, in sweeps; it starts at 1.
    clock: Arc<AtomicU32>,
    /// When bytes last came, in sweeps.
    active: AtomicU32,
    /// When the head that is on its way began to come; 0 when none is.
    head_since: AtomicU32,
    /// An answer is under way.
    busy: AtomicBool,
    ended: AtomicBool,
    /// It is the head that took too long, which the client is told.
    slow: AtomicBool,
    closing: AtomicBool,
    /// Of the connection's task, which never changes.
    waker: OnceLock<Waker>,
}

/// Ages in sweeps at which connections are ended.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    pub head: u32,
    pub idle: u32,
}

impl Watch {
    pub fn new(clock: Arc<AtomicU32>) -> Arc<Self> {
        let now = clock.load(Relaxed);
        Arc::new(Self {
            clock,
            active: AtomicU32::new(now),
            head_since: AtomicU32::new(0),
            busy: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            waker: OnceLock::new(),
        })
    }

    /// A request's head is complete.
    #[inline]
    pub fn asked(&self) {
        self.head_since.store(0, Relaxed);
        self.slow.store(false, Relaxed);
    }

    /// An answer that takes time is begun, or done.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Relaxed);
        // The bytes that came meanwhile were the request's body.
        self.asked();
        self.active.store(self.clock.load(Relaxed), Relaxed);
    }

    /// Ends the connection if its client is too slow, or silent for too long.
    pub fn sweep(&self, now: u32, ages: Ages) {
        if self.busy.load(Relaxed) {
            return;
        }
        let head_since = self.head_since.load(Relaxed);
        let slow = head_since != 0 && now.wrapping_sub(head_since) > ages.head;
        let silent = now.wrapping_sub(self.active.load(Relaxed)) > ages.idle;
        // A client that broke off in the middle of a head waits for an answer, one that asked nothing does not.
        if slow || (silent && head_since != 0 && !self.slow.load(Relaxed)) {
            self.slow.store(true, Relaxed);
            self.wake();
        } else if silent {
            self.end();
        }
    }

    /// Drops the connection.
    pub fn end(&self) {
        self.ended.store(true, Relaxed);
        self.wake();
    }

    /// Closes the connection after the answer that is under way, or at once when there is none.
    pub fn close(&self) {
        self.closing.store(true, Relaxed);
        self.wake();
    }

    /// Whether a head is still not whole after all its time.
    fn is_slow(&self) -> bool {
        self.slow.load(Relaxed) && self.head_since.load(Relaxed) != 0 && !self.busy.load(Relaxed)
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    fn bytes_came(&self) {
        let now = self.clock.load(Relaxed);
        self.active.store(now, Relaxed);
        if self.head_since.load(Relaxed) == 0 {
            self.head_since.store(now, Relaxed);
        }
    }
}

/// Tells the watch that an answer is under way, for as long as it is.
pub struct Busy(Arc<Watch>);

impl Busy {
    pub fn new(watch: &Arc<Watch>) -> Self {
        watch.set_busy(true);
        Self(watch.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

/// A connection that is to be closed is served for so long yet: a request that reached this machine is answered, though the runtime
/// may not have seen it so far, and so is the first one of who has only just connected.
const LAST_MOMENT: Duration = Duration::from_millis(250);

/// A connection that ends when its watch says so. Who sends what cannot be read is told so, as `application/problem+json`.
pub struct Connection<S: Service<Request, Response = Response, Error = Infallible>> {
    stage: Stage<S>,
    watch: Arc<Watch>,
    /// How long it is still served after it was told to close.
    last_moment: Option<Pin<Box<Sleep>>>,
    is_closing: bool,
}

enum Stage<S: Service<Request, Response = Response, Error = Infallible>> {
    /// Boxed, being ten times the size of the others.
    Serving(Box<http1::Connection<TokioIo<Watched>, S>>),
    Parting(Parting),
    Over,
}

impl<S> Connection<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    pub fn new(http: &http1::Builder, stream: TcpStream, service: S, watch: Arc<Watch>) -> Self {
        let watched = Watched { stream, watch: watch.clone(), has_muted: false, is_full: false };
        let http = http.serve_connection(TokioIo::new(watched), service);
        Self { stage: Stage::Serving(Box::new(http)), watch, last_moment: None, is_closing: false }
    }

    fn poll_serving(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let Stage::Serving(http) = &mut self.stage else { return Poll::Ready(Ok(())) };
        if self.watch.closing.load(Relaxed) && !self.is_closing {
            let moment = self.last_moment.get_or_insert_with(|| Box::pin(tokio::time::sleep(LAST_MOMENT)));
            if moment.as_mut().poll(context).is_ready() {
                self.is_closing = true;
                if let ended @ Poll::Ready(_) = http.poll_without_shutdown(context) {
                    return ended;
                }
                Pin::new(&mut **http).graceful_shutdown();
            }
        }
        http.poll_without_shutdown(context)
    }

    /// After the last answer, which may still wait for a client that reads slowly.
    fn poll_closing(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Stage::Serving(http) = &mut self.stage else { return Poll::Ready(()) };
        Pin::new(&mut **http).poll(context).map(drop)
    }

    /// Leaves HTTP behind; there may be something left to say.
    fn part(&mut self, why: Option<hyper::Error>) {
        let Stage::Serving(http) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        let parts = http.into_parts();
        let watched = parts.io.into_inner();
        if watched.is_full {
            // In the middle of an answer there is nothing to be said.
            return;
        }
        let problem = match &why {
            Some(error) => parting::problem_of(error, &parts.read_buf),
            None => Some(parting::too_slow()),
        };
        // hyper answers by itself what it cannot parse; where that went out behind another answer it has to do.
        let is_answered =
            why.is_some_and(|error| error.is_parse() && !error.is_parse_version_h2()) && !watched.has_muted;
        if let Some(problem) = problem.filter(|_| !is_answered) {
            self.stage = Stage::Parting(Parting::new(watched.stream, &problem));
        }
    }
}

impl<S> Future for Connection<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let connection = &mut *self;
        connection.watch.waker.get_or_init(|| context.waker().clone());
        if connection.watch.ended.load(Relaxed) {
            return Poll::Ready(());
        }
        if let Stage::Serving(_) = connection.stage {
            match connection.poll_serving(context) {
                Poll::Ready(Ok(())) => return connection.poll_closing(context),
                Poll::Ready(Err(error)) => connection.part(Some(error)),
                Poll::Pending if connection.watch.is_slow() => connection.part(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        match &mut connection.stage {
            Stage::Parting(parting) => Pin::new(parting).poll(context),
            Stage::Serving(_) | Stage::Over => Poll::Ready(()),
        }
    }
}

/// A socket that tells its watch when bytes come.
struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
    /// hyper's own answer to what it could not read was kept back.
    has_muted: bool,
    /// The client does not take what is sent.
    is_full: bool,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.watch.bytes_came();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if parting::is_hypers_own(bytes) {
            self.has_muted = true;
            return Poll::Ready(Ok(bytes.len()));
        }
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.is_full = sent.is_pending();
        sent
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if buffers.first().is_some_and(|first| parting::is_hypers_own(first)) {
            self.has_muted = true;
            return Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()));
        }
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.is_full = sent.is_pending();
        sent
    }
}
