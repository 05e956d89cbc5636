//! A stream that notes when bytes leave and arrive.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pace::Clock;

/// When the bytes of the request under way passed, in the clock's nanoseconds. Zero: not yet.
#[derive(Debug)]
pub struct Stamps {
    clock: Clock,
    /// The first byte was handed to the kernel.
    pub sent: Cell<u64>,
    /// The last byte had been handed to the kernel.
    pub written: Cell<u64>,
    /// The first byte of the answer was read.
    pub first: Cell<u64>,
    /// The latest byte of the answer was read.
    pub last: Cell<u64>,
    /// Bytes read since the connection was made.
    pub received: Cell<u64>,
}

impl Stamps {
    pub fn new(clock: Clock) -> Self {
        let zero = || Cell::new(0);
        Self { clock, sent: zero(), written: zero(), first: zero(), last: zero(), received: zero() }
    }

    pub fn reset(&self) {
        for stamp in [&self.sent, &self.written, &self.first, &self.last] {
            stamp.set(0);
        }
    }
}

/// A stream that keeps its stamps up to date.
pub struct Wire<S> {
    pub stream: S,
    pub stamps: Rc<Stamps>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            let stamps = &self.stamps;
            let now = stamps.clock.now();
            if stamps.first.get() == 0 {
                stamps.first.set(now);
            }
            stamps.last.set(now);
            stamps.received.set(stamps.received.get() + read as u64);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.stamps.sent.get() == 0 {
            self.stamps.sent.set(self.stamps.clock.now());
        }
        let result = Pin::new(&mut self.stream).poll_write(context, buffer);
        if let Poll::Ready(Ok(1..)) = result {
            self.stamps.written.set(self.stamps.clock.now());
        }
        result
    }

    // Requests are small: one copy into one buffer is cheaper than a vectored write.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
