//! One client's connection, kept an eye on.

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::routes::Client;

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
            closing: AtomicBool::new(false),
            waker: OnceLock::new(),
        })
    }

    /// A request's head is complete.
    #[inline]
    pub fn asked(&self) {
        self.head_since.store(0, Relaxed);
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
        if slow || silent {
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

/// A connection that ends when its watch says so.
pub struct Connection {
    http: http1::Connection<TokioIo<Watched>, Client>,
    watch: Arc<Watch>,
    told_to_close: bool,
}

impl Connection {
    pub fn new(http: &http1::Builder, stream: TcpStream, client: Client, watch: Arc<Watch>) -> Self {
        let watched = Watched { stream, watch: watch.clone() };
        Self { http: http.serve_connection(TokioIo::new(watched), client), watch, told_to_close: false }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let connection = &mut *self;
        connection.watch.waker.get_or_init(|| context.waker().clone());
        if connection.watch.ended.load(Relaxed) {
            return Poll::Ready(());
        }
        if connection.watch.closing.load(Relaxed) && !connection.told_to_close {
            connection.told_to_close = true;
            // First take in what already came: a request that reached us is answered.
            if Pin::new(&mut connection.http).poll(context).is_ready() {
                return Poll::Ready(());
            }
            Pin::new(&mut connection.http).graceful_shutdown();
        }
        // How a client went away is its own affair.
        Pin::new(&mut connection.http).poll(context).map(drop)
    }
}

/// A socket that tells its watch when bytes come.
struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}
