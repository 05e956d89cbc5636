//! The last words on a connection whose request could not be read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::problem::Problem;

/// What the client still sends is read for so long: closing on unread input resets the connection, and a client that is
/// reset may never see why.
const PATIENCE: Duration = Duration::from_millis(500);
const MOST_DISCARDED: usize = 4 << 20;

/// Tells a client what was wrong, and hangs up.
pub struct Parting {
    stream: TcpStream,
    answer: Vec<u8>,
    sent: usize,
    has_shut: bool,
    discarded: usize,
    patience: Pin<Box<Sleep>>,
}

/// What to say about a head that hyper could not read; `unread` is what it had of it. None where the client went away.
pub fn problem_of(error: &hyper::Error, unread: &[u8]) -> Option<Problem> {
    if error.is_timeout() {
        return Some(too_slow());
    }
    if error.is_parse_too_large() {
        // Where not even the first line is whole, it is the URI that is too long.
        let is_uri = !unread.contains(&b'\n');
        let (status, what) = match is_uri {
            true => (StatusCode::URI_TOO_LONG, "the request's URI is too long"),
            false => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request's head is too long, or of too many lines",
            ),
        };
        return Some(Problem::new(status, what));
    }
    error.is_parse().then(|| Problem::bad_request("this is no HTTP/1.1 request"))
}

pub fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the request's head took too long")
}

/// Whether bytes are the bare answer that hyper gives of its own accord to what it cannot read, in place of which ours is
/// sent. Ours to an error always has a body.
#[inline]
pub fn is_hypers_own(bytes: &[u8]) -> bool {
    const ERROR: &[u8] = b"HTTP/1.1 4";
    bytes.get(9) == Some(&b'4') && bytes.starts_with(ERROR) && is_bare(bytes)
}

#[cold]
fn is_bare(answer: &[u8]) -> bool {
    let has = |text: &[u8]| answer.windows(text.len()).any(|part| part == text);
    answer.ends_with(b"\r\n\r\n") && has(b"content-length: 0\r\n") && !has(b"content-type")
}

impl Parting {
    pub fn new(stream: TcpStream, problem: &Problem) -> Self {
        let patience = Box::pin(tokio::time::sleep(PATIENCE));
        Self { stream, answer: problem.last_words(), sent: 0, has_shut: false, discarded: 0, patience }
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.sent < self.answer.len() {
            let rest = &self.answer[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        if !self.has_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.has_shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Until the client has hung up too, or has sent enough.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut space = [0; 4_096];
        while self.discarded < MOST_DISCARDED {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                came => self.discarded += came,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Parting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        match ready!(self.poll_answer(context)) {
            Ok(()) => self.poll_discard(context).map(drop),
            Err(_) => Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypers_answers_are_told_from_ours() {
        let own = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert!(is_hypers_own(own));
        for ours in [
            &b"HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\ndate: x\r\n\r\n"
                [..],
            &Problem::bad_request("x").last_words(),
            b"",
        ] {
            assert!(!is_hypers_own(ours), "{}", String::from_utf8_lossy(ours));
        }
    }
}
