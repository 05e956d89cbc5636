//! A connection to the target, in whichever version of HTTP it speaks.

mod chunks;
mod http1;
mod http2;
mod stamps;
mod target;
mod tls;

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::http::uri::Scheme;
use proofload_reports::figure;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::exchange::{Exchange, Failure, Judgement, Operation};
use crate::pace::Clock;
use http1::Http1;
use http2::Http2;
use stamps::Stamps;
pub use target::{Manner, Target, TargetError, presentable};

/// One connection and the stamps of its latest request.
pub struct Connection {
    pub stamps: Rc<Stamps>,
    /// How long making it took, in nanoseconds.
    pub took: u64,
    /// Which of the target's addresses took it.
    pub addr: SocketAddr,
    protocol: Protocol,
}

enum Protocol {
    Plain(Http1<TcpStream>),
    Secure(Box<Http1<TlsStream<TcpStream>>>),
    Http2(Http2),
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub struct DialError {
    pub failure: Failure,
    pub detail: String,
    /// How long was waited, where nothing came.
    pub waited: Option<Duration>,
}

impl DialError {
    pub fn of_io(error: &std::io::Error) -> Self {
        Self::new(Failure::of_io(error), error.to_string())
    }

    pub fn timeout(after: Duration) -> Self {
        Self { waited: Some(after), ..Self::new(Failure::Timeout, "nothing came".to_owned()) }
    }

    /// The wait had to end.
    pub fn ended(failure: Failure) -> Self {
        Self::new(failure, failure.to_string())
    }

    fn new(failure: Failure, detail: String) -> Self {
        Self { failure, detail, waited: None }
    }

    /// `, after 1 s`, where nothing came. Apart from the rest: waits that are alike are seldom equal.
    pub fn after(&self) -> String {
        let told = |waited: Duration| format!(", after {}", figure::time_us(waited.as_secs_f64() * 1e6));
        self.waited.map_or_else(String::new, told)
    }
}

impl Connection {
    /// Whether it takes another request; false once it does not any more.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        match &mut self.protocol {
            Protocol::Plain(http1) => Poll::Ready(http1.poll_ready(context)),
            Protocol::Secure(http1) => Poll::Ready(http1.poll_ready(context)),
            Protocol::Http2(http2) => http2.poll_ready(context),
        }
    }

    /// Makes one request and checks the answer, read to its last byte. `over` says if the wait must end.
    pub async fn exchange(
        &mut self,
        exchange: &dyn Exchange,
        operation: Operation,
        over: impl Fn() -> Option<Failure>,
    ) -> Result<Judgement, Failure> {
        match &mut self.protocol {
            Protocol::Plain(http1) => http1.exchange(exchange, operation, over).await,
            Protocol::Secure(http1) => http1.exchange(exchange, operation, over).await,
            Protocol::Http2(http2) => http2.exchange(exchange, operation, over).await,
        }
    }
}

/// Connects to `target`, if that takes no longer than `within`.
pub async fn dial_within(within: Duration, target: &Target, clock: Clock) -> Result<Connection, DialError> {
    let dialled = tokio::time::timeout(within, dial(target, clock)).await;
    dialled.unwrap_or_else(|_| Err(DialError::timeout(within)))
}

async fn dial(target: &Target, clock: Clock) -> Result<Connection, DialError> {
    let (begun, stream) = (clock.now(), reach(target).await?);
    stream.set_nodelay(true).map_err(|error| DialError::of_io(&error))?;
    let addr = stream.peer_addr().map_err(|error| DialError::of_io(&error))?;
    let stamps = Rc::new(Stamps::new(clock));
    let protocol = match &target.tls {
        None if target.http2 => {
            let authority = target.host.parse().expect("it was part of a URL, or an address");
            let begun = Http2::begin(stream, stamps.clone(), Scheme::HTTP, authority).await;
            Protocol::Http2(begun.map_err(|error| of_hyper(&error))?)
        }
        None => Protocol::Plain(Http1::new(stream, stamps.clone())),
        Some(tls) => {
            let connected = tls.connector.connect(tls.name.clone(), stream).await;
            let stream = connected.map_err(|error| DialError::of_io(&error))?;
            secure(target, stream, stamps.clone()).await?
        }
    };
    Ok(Connection { stamps, took: clock.now() - begun, addr, protocol })
}

/// Tries one address of the target after the other. One that does not answer soon is left for the next, as RFC 8305
/// advises; the last is waited for.
async fn reach(target: &Target) -> Result<TcpStream, DialError> {
    const SOON: Duration = Duration::from_millis(250);
    let last = target.alternatives.len();
    let mut failed = None;
    for (index, addr) in target.addrs().enumerate() {
        let connecting = TcpStream::connect(addr);
        let connected = match index == last {
            true => connecting.await.map_err(|error| DialError::of_io(&error)),
            false => match tokio::time::timeout(SOON, connecting).await {
                Ok(connected) => connected.map_err(|error| DialError::of_io(&error)),
                Err(_) => Err(DialError::timeout(SOON)),
            },
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.expect("a target has an address"))
}

async fn secure(
    target: &Target,
    stream: TlsStream<TcpStream>,
    stamps: Rc<Stamps>,
) -> Result<Protocol, DialError> {
    if !target.http2 {
        return Ok(Protocol::Secure(Box::new(Http1::new(stream, stamps))));
    }
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        let detail = "the target does not offer HTTP/2".to_owned();
        return Err(DialError::new(Failure::Tls, detail));
    }
    let authority = target.host.parse().expect("it was part of a URL");
    let begun = Http2::begin(stream, stamps, Scheme::HTTPS, authority).await;
    Ok(Protocol::Http2(begun.map_err(|error| of_hyper(&error))?))
}

fn of_hyper(error: &hyper::Error) -> DialError {
    DialError::new(Failure::of_hyper(error), error.to_string())
}
