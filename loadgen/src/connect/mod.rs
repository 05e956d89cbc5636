//! A connection to the target, in whichever version of HTTP it speaks.

mod target;
mod tls;
mod wire;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::http::uri::{Authority, Parts, Scheme};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::exchange::Failure;
use crate::pace::Clock;
pub use target::{Manner, Target, TargetError};
use wire::{Stamps, Wire};

/// One connection and what drives it. Whoever waits on it must also turn it: that spares a task, and a
/// wake-up, a request.
pub struct Connection {
    pub stamps: Rc<Stamps>,
    sender: Sender,
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2 { sender: http2::SendRequest<Full<Bytes>>, scheme: Scheme, authority: Authority },
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub struct DialError {
    pub failure: Failure,
    pub detail: String,
}

impl DialError {
    pub fn of_io(error: &std::io::Error) -> Self {
        Self { failure: Failure::of_io(error), detail: error.to_string() }
    }

    pub fn timeout(after: Duration) -> Self {
        Self { failure: Failure::Timeout, detail: format!("nothing came for {after:?}") }
    }
}

impl Connection {
    /// Moves bytes. False once the connection is over.
    pub fn turn(&mut self, context: &mut Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        if driver.as_mut().poll(context).is_ready() {
            self.driver = None;
        }
        self.driver.is_some()
    }

    /// Whether it takes another request; false once it does not any more.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if !self.turn(context) {
            return Poll::Ready(false);
        }
        let ready = match &mut self.sender {
            Sender::Http1(sender) => sender.poll_ready(context),
            Sender::Http2 { sender, .. } => sender.poll_ready(context),
        };
        ready.map(|ready| ready.is_ok())
    }

    /// Sends `request` and waits for the head of its answer. `over` is asked at each turn, with whether the
    /// connection still stands, if the wait must end.
    pub async fn answer(
        &mut self,
        request: Request<Full<Bytes>>,
        over: impl Fn(bool) -> Option<Failure>,
    ) -> Result<Response<Incoming>, Failure> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                let answering = sender.send_request(request);
                self.wait(answering, over).await
            }
            Sender::Http2 { sender, scheme, authority } => {
                let answering = sender.send_request(for_http2(request, scheme, authority));
                self.wait(answering, over).await
            }
        }
    }

    async fn wait(
        &mut self,
        answering: impl Future<Output = hyper::Result<Response<Incoming>>>,
        over: impl Fn(bool) -> Option<Failure>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut answering = pin!(answering);
        poll_fn(|context| {
            let stands = self.turn(context);
            match answering.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(result.map_err(|error| Failure::of_hyper(&error))),
                Poll::Pending => over(stands).map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
            }
        })
        .await
    }
}

/// HTTP/2 names scheme and authority in the request's URI, not in a header.
fn for_http2(
    mut request: Request<Full<Bytes>>,
    scheme: &Scheme,
    authority: &Authority,
) -> Request<Full<Bytes>> {
    let mut parts = Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority.clone());
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).expect("all three parts are there");
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(HOST);
    request
}

/// Connects to `target`. The caller bounds the time.
pub async fn dial(target: &Target, clock: Clock) -> Result<Connection, DialError> {
    let stream = TcpStream::connect(target.addr).await.map_err(|error| DialError::of_io(&error))?;
    stream.set_nodelay(true).map_err(|error| DialError::of_io(&error))?;
    match &target.tls {
        None => shake_hands(target, stream, clock).await,
        Some(tls) => {
            let connected = tls.connector.connect(tls.name.clone(), stream).await;
            let stream = connected.map_err(|error| DialError::of_io(&error))?;
            if target.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                let detail = "the target does not offer HTTP/2".to_owned();
                return Err(DialError { failure: Failure::Tls, detail });
            }
            shake_hands(target, stream, clock).await
        }
    }
}

async fn shake_hands<S>(target: &Target, stream: S, clock: Clock) -> Result<Connection, DialError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let stamps = Rc::new(Stamps::new(clock));
    let io = TokioIo::new(Wire { stream, stamps: stamps.clone() });
    if target.http2 {
        let (sender, driver) = http2::handshake(OnThisThread, io).await.map_err(|error| of_hyper(&error))?;
        let scheme = if target.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let authority = target.host.parse().expect("it was part of a URL, or an address");
        let sender = Sender::Http2 { sender, scheme, authority };
        return Ok(Connection { stamps, sender, driver: Some(Box::pin(driver)) });
    }
    let (sender, driver) = http1::handshake(io).await.map_err(|error| of_hyper(&error))?;
    Ok(Connection { stamps, sender: Sender::Http1(sender), driver: Some(Box::pin(driver)) })
}

/// Runs what HTTP/2 does beside a request on the worker's own thread.
#[derive(Clone)]
struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

fn of_hyper(error: &hyper::Error) -> DialError {
    DialError { failure: Failure::of_hyper(error), detail: error.to_string() }
}
