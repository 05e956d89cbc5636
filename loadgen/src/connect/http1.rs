//! HTTP/1.1, spoken by hand: bytes made beforehand go out, answers are read where they arrived.
//!
//! Why not hyper, as HTTP/2 is? A general client makes a map of headers, a channel and a waker for each request, and
//! that would be measured as the target's. A request to nginx's `return 302` takes 20,600 instructions of this process on
//! hyper 1.12 and 5,500 here, by callgrind. Beside wrk, on an idle machine of two cores, it cost 1.19 times wrk's CPU time
//! (1.07 to 1.51 over six rounds) there, and 0.96 times (0.79 to 1.09) here: the bar is 1.1. Tried on hyper were: a task
//! beside the request's; both ends polled in one task; both so that neither wakes the other, turned as seldom as it can
//! be. A bare client of hyper's that checks nothing and keeps one histogram cost as much as the full generator on hyper,
//! so the difference is hyper's own. `benches/side-by-side.sh` measures this file's.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use httparse::{Header, ParserConfig, Status};
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunks::Chunks;
use super::stamps::Stamps;
use crate::exchange::{Answer, Exchange, Failure, Headers, Judgement, KEPT_BODY, Operation};

/// Most bytes of a head; a longer one is garbage.
const LONGEST_HEAD: usize = 64 * 1024;
/// Most headers of an answer.
const MOST_HEADERS: usize = 100;
/// Room for what arrives at once.
const ROOM: usize = 8 * 1024;

/// One connection.
pub struct Http1<S> {
    stream: S,
    stamps: Rc<Stamps>,
    request: Vec<u8>,
    /// What has arrived is `input[..filled]`.
    input: Vec<u8>,
    filled: usize,
    /// A body that did not arrive with its head.
    body: Vec<u8>,
    reusable: bool,
}

/// What the head of an answer says about the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: StatusCode,
    length: usize,
    body: Framing,
    keep_alive: bool,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    pub fn new(stream: S, stamps: Rc<Stamps>) -> Self {
        let (request, body) = (Vec::with_capacity(512), Vec::new());
        Self { stream, stamps, request, input: vec![0; ROOM], filled: 0, body, reusable: true }
    }

    /// Whether it takes another request. One that the target closed, or on which it spoke unasked, does not.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> bool {
        self.filled = 0;
        self.reusable && self.poll_read(context).is_pending()
    }

    /// Makes one request and checks the answer, read to its last byte. `over` says if the wait must end.
    pub async fn exchange(
        &mut self,
        exchange: &dyn Exchange,
        operation: Operation,
        over: impl Fn() -> Option<Failure>,
    ) -> Result<Judgement, Failure> {
        self.request.clear();
        exchange.write(operation, &mut self.request);
        self.reusable = false;
        self.filled = 0;
        let whole = self.write(&over).await?;
        let judged = self.answer(exchange, operation, &over).await;
        self.reusable &= whole;
        judged
    }

    async fn answer(
        &mut self,
        exchange: &dyn Exchange,
        operation: Operation,
        over: &impl Fn() -> Option<Failure>,
    ) -> Result<Judgement, Failure> {
        let without_body = self.request.starts_with(b"HEAD ");
        loop {
            let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
            let arrived = &self.input[..self.filled];
            match parse(arrived, without_body, &mut headers)? {
                Some((head, _)) if head.status.is_informational() => {
                    self.input.copy_within(head.length..self.filled, 0);
                    self.filled -= head.length;
                    continue;
                }
                Some((head, lines)) => {
                    self.stamps.status.set(head.status.as_u16());
                    let rest = &arrived[head.length..];
                    if head.body == Framing::Length(rest.len() as u64) {
                        self.reusable = head.keep_alive;
                        let answer =
                            Answer { status: head.status, headers: Headers::Lines(lines), body: rest };
                        return Ok(exchange.check(operation, &answer));
                    }
                    self.read_body(head, over).await?;
                    return self.check(head, exchange, operation);
                }
                None if self.filled >= LONGEST_HEAD => return Err(Failure::Garbage),
                None => {}
            }
            if self.read(over).await? == 0 {
                return Err(Failure::Cut);
            }
        }
    }

    /// Checks an answer whose body came after its head.
    fn check(&self, head: Head, exchange: &dyn Exchange, operation: Operation) -> Result<Judgement, Failure> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let parsed = parse(&self.input[..head.length], true, &mut headers)?;
        let (_, lines) = parsed.ok_or(Failure::Garbage)?;
        let answer = Answer { status: head.status, headers: Headers::Lines(lines), body: &self.body };
        Ok(exchange.check(operation, &answer))
    }

    /// Whether all of the request was sent: a target may answer, and read no more, before it has all of a large one.
    async fn write(&mut self, over: &impl Fn() -> Option<Failure>) -> Result<bool, Failure> {
        let mut written = 0;
        self.stamps.sent.set(self.stamps.clock.now());
        while written < self.request.len() {
            let more = poll_fn(|context| {
                let stream = Pin::new(&mut self.stream);
                let failure = match stream.poll_write(context, &self.request[written..]) {
                    Poll::Ready(Ok(0)) => Some(Failure::Reset),
                    Poll::Ready(Ok(more)) => return Poll::Ready(Ok(more)),
                    Poll::Ready(Err(error)) => Some(Failure::of_io(&error)),
                    Poll::Pending => None,
                };
                match (self.poll_read(context), failure.or_else(over)) {
                    (Poll::Ready(Ok(1..)), _) => Poll::Ready(Ok(0)),
                    (_, Some(failure)) => Poll::Ready(Err(failure)),
                    (Poll::Ready(Ok(0)), None) => Poll::Ready(Err(Failure::Cut)),
                    (Poll::Ready(Err(failure)), None) => Poll::Ready(Err(failure)),
                    (Poll::Pending, None) => Poll::Pending,
                }
            });
            match more.await? {
                0 => break,
                more => written += more,
            }
        }
        let whole = written == self.request.len();
        if whole {
            poll_fn(|context| match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(result) => Poll::Ready(result.map_err(|error| Failure::of_io(&error))),
                Poll::Pending => over().map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
            })
            .await?;
        }
        self.stamps.written.set(self.stamps.clock.now());
        Ok(whole)
    }

    /// Reads what there is; how many bytes. None: the target has ended the connection.
    async fn read(&mut self, over: &impl Fn() -> Option<Failure>) -> Result<usize, Failure> {
        poll_fn(|context| match self.poll_read(context) {
            Poll::Pending => over().map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
            ready => ready,
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        if self.input.len() - self.filled < ROOM / 2 {
            self.input.resize(self.input.len() + ROOM, 0);
        }
        let mut buffer = ReadBuf::new(&mut self.input[self.filled..]);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::of_io(&error))),
            Poll::Ready(Ok(())) => {}
        }
        let read = buffer.filled().len();
        self.filled += read;
        if read > 0 {
            self.stamps.arrived(read);
        }
        Poll::Ready(Ok(read))
    }

    /// Reads a body to its end. The head stays where it is; what follows it is taken out piece by piece.
    async fn read_body(&mut self, head: Head, over: &impl Fn() -> Option<Failure>) -> Result<(), Failure> {
        self.body.clear();
        let mut left = if let Framing::Length(length) = head.body { length } else { u64::MAX };
        let mut chunks = Chunks::default();
        loop {
            let piece = &self.input[head.length..self.filled];
            let room = KEPT_BODY - self.body.len();
            let (ended, surplus) = match head.body {
                Framing::Chunked => {
                    let used = chunks.feed(piece, &mut self.body, KEPT_BODY).ok_or(Failure::Garbage)?;
                    (chunks.ended(), used < piece.len())
                }
                Framing::Length(_) | Framing::UntilClose => {
                    let taken = (piece.len() as u64).min(left);
                    left -= taken;
                    self.body.extend_from_slice(&piece[..(taken as usize).min(room)]);
                    (left == 0, taken < piece.len() as u64)
                }
            };
            self.filled = head.length;
            if ended {
                self.reusable = head.keep_alive && !surplus;
                return Ok(());
            }
            if self.read(over).await? == 0 {
                return if head.body == Framing::UntilClose { Ok(()) } else { Err(Failure::Cut) };
            }
        }
    }
}

type Parsed<'h, 'b> = Option<(Head, &'h [Header<'b>])>;

/// The head of an answer, if it is complete.
fn parse<'h, 'b>(
    bytes: &'b [u8],
    without_body: bool,
    headers: &'h mut [MaybeUninit<Header<'b>>],
) -> Result<Parsed<'h, 'b>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, headers);
    let length = match parsed.map_err(|_| Failure::Garbage)? {
        Status::Complete(length) => length,
        Status::Partial => return Ok(None),
    };
    let code = response.code.ok_or(Failure::Garbage)?;
    let status = StatusCode::from_u16(code).map_err(|_| Failure::Garbage)?;
    let minor = response.version.ok_or(Failure::Garbage)?;
    let lines: &'h [Header<'b>] = response.headers;
    let mut head = Head { status, length, body: Framing::UntilClose, keep_alive: minor > 0 };
    for line in lines {
        read_line(line, &mut head)?;
    }
    if without_body || matches!(code, 100..=199 | 204 | 304) {
        head.body = Framing::Length(0);
    }
    Ok(Some((head, lines)))
}

fn read_line(line: &Header<'_>, head: &mut Head) -> Result<(), Failure> {
    let is = |name: &str| line.name.eq_ignore_ascii_case(name);
    let says = |word: &str| {
        let words = line.value.split(|byte| *byte == b',');
        words.into_iter().any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    match line.name.len() {
        14 if is("content-length") && head.body != Framing::Chunked => {
            let digits = std::str::from_utf8(line.value.trim_ascii()).map_err(|_| Failure::Garbage)?;
            let length = digits.parse().map_err(|_| Failure::Garbage)?;
            if matches!(head.body, Framing::Length(other) if other != length) {
                return Err(Failure::Garbage);
            }
            head.body = Framing::Length(length);
        }
        17 if is("transfer-encoding") && says("chunked") => head.body = Framing::Chunked,
        10 if is("connection") && says("close") => head.keep_alive = false,
        10 if is("connection") && says("keep-alive") => head.keep_alive = true,
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Failure> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let text = text.replace('\n', "\r\n");
        parse(text.as_bytes(), false, &mut headers).map(|parsed| parsed.map(|(head, _)| head))
    }

    #[test]
    fn a_head_says_where_the_body_ends() {
        let framing = |text| head(text).unwrap().map(|head| (head.body, head.keep_alive));
        let length = |length| Framing::Length(length);
        assert_eq!(framing("HTTP/1.1 200 OK\nContent-Length: 5\n\n"), Some((length(5), true)));
        assert_eq!(
            framing("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"),
            Some((Framing::Chunked, true))
        );
        assert_eq!(
            framing("HTTP/1.1 200 OK\ncontent-length: 9\ntransfer-encoding: gzip, chunked\n\n"),
            Some((Framing::Chunked, true))
        );
        assert_eq!(framing("HTTP/1.1 200 OK\nConnection: Close\n\n"), Some((Framing::UntilClose, false)));
        assert_eq!(framing("HTTP/1.0 200 OK\n\n"), Some((Framing::UntilClose, false)));
        assert_eq!(framing("HTTP/1.1 304 Not Modified\ncontent-length: 5\n\n"), Some((length(0), true)));
        assert_eq!(framing("HTTP/1.1 200 OK\nContent-Le"), None);
    }

    #[test]
    fn what_is_no_answer_is_garbage() {
        for text in [
            "SSH-2.0-OpenSSH\n\n",
            "HTTP/1.1 200 OK\ncontent-length: five\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 5\ncontent-length: 6\n\n",
            "HTTP/1.1 20 OK\n\n",
        ] {
            assert_eq!(head(text), Err(Failure::Garbage), "{text}");
        }
    }
}
