//! A connection to the target that notes when bytes leave and arrive.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::exchange::Failure;
use crate::pace::Clock;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    pub addr: SocketAddr,
    /// The `Host` header.
    pub host: String,
}

/// Why a URL is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("`{url}` is no URL of a target: {reason}")]
    Malformed { url: String, reason: String },
    #[error("the target's name `{host}` does not resolve: {source}")]
    Unresolved { host: String, source: io::Error },
}

impl Target {
    /// A target that listens at `addr`.
    pub fn at(addr: SocketAddr) -> Self {
        Self { addr, host: addr.to_string() }
    }

    /// The target of `http://host[:port]`, and the path and query that follow it.
    pub fn of_url(url: &str) -> Result<(Self, String), TargetError> {
        let malformed =
            |reason: &str| TargetError::Malformed { url: url.to_owned(), reason: reason.to_owned() };
        let uri: hyper::Uri = url.parse().map_err(|error| malformed(&format!("{error}")))?;
        let port = match uri.scheme_str() {
            Some("http") => 80,
            Some(other) => return Err(malformed(&format!("its scheme is {other}, not http"))),
            None => return Err(malformed("it must begin with http://")),
        };
        let authority = uri.authority().ok_or_else(|| malformed("it names no host"))?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(port);
        let addr = resolve(name, port)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok((Self { addr, host: authority.as_str().to_owned() }, path))
    }
}

fn resolve(name: &str, port: u16) -> Result<SocketAddr, TargetError> {
    let unresolved = |source| TargetError::Unresolved { host: name.to_owned(), source };
    (name, port)
        .to_socket_addrs()
        .map_err(unresolved)?
        .next()
        .ok_or_else(|| unresolved(io::Error::new(io::ErrorKind::NotFound, "no address")))
}

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
    fn new(clock: Clock) -> Self {
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
    stream: S,
    stamps: Rc<Stamps>,
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

type Driver = http1::Connection<TokioIo<Wire<TcpStream>>, Full<Bytes>>;

/// One HTTP/1.1 connection and what drives it. Whoever waits on it must also poll it:
/// that spares a task, and a wake-up, a request.
pub struct Connection {
    pub sender: http1::SendRequest<Full<Bytes>>,
    pub stamps: Rc<Stamps>,
    driver: Option<Driver>,
}

impl Connection {
    /// Moves bytes. False once the connection is over.
    pub fn turn(&mut self, context: &mut Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        if Pin::new(driver).poll(context).is_ready() {
            self.driver = None;
        }
        self.driver.is_some()
    }
}

/// Connects to `target`. The caller bounds the time.
pub async fn dial(target: &Target, clock: Clock) -> Result<Connection, Failure> {
    let stream = TcpStream::connect(target.addr).await.map_err(|e| Failure::of_io(&e))?;
    stream.set_nodelay(true).map_err(|e| Failure::of_io(&e))?;
    let stamps = Rc::new(Stamps::new(clock));
    let wire = Wire { stream, stamps: stamps.clone() };
    let (sender, driver) = http1::handshake(TokioIo::new(wire)).await.map_err(|e| Failure::of_hyper(&e))?;
    Ok(Connection { sender, stamps, driver: Some(driver) })
}
