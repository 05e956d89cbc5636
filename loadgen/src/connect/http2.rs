//! HTTP/2 on hyper, one request at a time.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2;
use hyper::header::HOST;
use hyper::http::uri::{Authority, Parts, Scheme};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stamps::Stamps;
use crate::exchange::{Answer, Exchange, Failure, Headers, Judgement, KEPT_BODY, Operation};

/// One connection, and what drives it: whoever waits on it must also turn it. That spares a task, and a wake-up,
/// a request.
pub struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    scheme: Scheme,
    authority: Authority,
    stamps: Rc<Stamps>,
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
}

impl Http2 {
    /// Begins to speak HTTP/2 on `stream`, for the host that `authority` names.
    pub async fn begin<S>(
        stream: S,
        stamps: Rc<Stamps>,
        scheme: Scheme,
        authority: Authority,
    ) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let io = TokioIo::new(Wire { stream, stamps: stamps.clone() });
        let (sender, driver) = http2::handshake(OnThisThread, io).await?;
        Ok(Self { sender, scheme, authority, stamps, driver: Some(Box::pin(driver)) })
    }

    /// Whether it takes another request; false once it does not any more.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        self.turn(context);
        if self.driver.is_none() {
            return Poll::Ready(false);
        }
        self.sender.poll_ready(context).map(|ready| ready.is_ok())
    }

    /// Makes one request and checks the answer, read to its last byte. `over` says if the wait must end.
    pub async fn exchange(
        &mut self,
        exchange: &dyn Exchange,
        operation: Operation,
        over: impl Fn() -> Option<Failure>,
    ) -> Result<Judgement, Failure> {
        let request = self.addressed(exchange.request(operation));
        let answering = self.sender.send_request(request);
        let response = self.wait(answering, &over).await?;
        // What came before may have been of the connection: its settings, room for the body, a ping.
        self.stamps.first.set(self.stamps.last.get());
        let (parts, body) = response.into_parts();
        self.stamps.status.set(parts.status.as_u16());
        let body = self.read_body(body, &over).await?;
        let answer = Answer { status: parts.status, headers: Headers::Map(&parts.headers), body: &body };
        Ok(exchange.check(operation, &answer))
    }

    /// HTTP/2 names scheme and authority in the request's URI, not in a header.
    fn addressed(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        let asked = request.headers_mut().remove(HOST);
        let other = asked.filter(|host| host != self.authority.as_str());
        let other = other.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(other.unwrap_or_else(|| self.authority.clone()));
        parts.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(parts).expect("all three parts are there");
        *request.version_mut() = Version::HTTP_2;
        request
    }

    /// Moves bytes. That the connection takes no more requests says nothing of the one under way, which a server that goes
    /// away in good order still answers; where it does not, hyper says so.
    fn turn(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(context).is_ready()
        {
            self.driver = None;
        }
    }

    async fn wait(
        &mut self,
        answering: impl Future<Output = hyper::Result<Response<Incoming>>>,
        over: &impl Fn() -> Option<Failure>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut answering = pin!(answering);
        poll_fn(|context| {
            self.turn(context);
            match answering.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(result.map_err(|error| Failure::of_hyper(&error))),
                Poll::Pending => over().map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
            }
        })
        .await
    }

    async fn read_body(
        &mut self,
        mut body: Incoming,
        over: &impl Fn() -> Option<Failure>,
    ) -> Result<Vec<u8>, Failure> {
        let mut kept = Vec::new();
        while !body.is_end_stream() {
            let next = poll_fn(|context: &mut Context<'_>| {
                self.turn(context);
                match Pin::new(&mut body).poll_frame(context) {
                    Poll::Ready(frame) => {
                        Poll::Ready(frame.transpose().map_err(|error| Failure::of_hyper(&error)))
                    }
                    Poll::Pending => over().map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
                }
            });
            let Some(frame) = next.await? else { break };
            if let Ok(data) = frame.into_data() {
                let room = KEPT_BODY.saturating_sub(kept.len());
                kept.extend_from_slice(&data[..data.len().min(room)]);
            }
        }
        Ok(kept)
    }
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

/// A stream that keeps its stamps up to date.
struct Wire<S> {
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
            self.stamps.arrived(read);
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
