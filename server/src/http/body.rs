//! Request bodies, read whole within limits of size, of time and of memory.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::header::{EXPECT, HeaderMap};
use serde::de::DeserializeOwned;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::problem::Problem;
use super::{Request, Site};

/// A body that is refused is read on for so long, because a client that is still sending when the connection is closed
/// never sees why.
const PARTING: Duration = Duration::from_millis(500);
const MOST_DISCARDED: usize = 4 << 20;
/// The least memory that a body takes which does not come at once.
const LEAST_GROWTH: usize = 16_384;

/// Memory for the bodies that are on their way on all connections. Each body is bounded, and so are the connections; but a
/// few hundred clients that never finish would multiply the one by the other.
pub struct Room {
    most: usize,
    taken: AtomicUsize,
}

/// What one body takes of the room, until it is dropped.
struct Share<'a> {
    room: &'a Room,
    bytes: usize,
}

/// A whole body.
pub struct Whole<'a> {
    bytes: Bytes,
    _share: Share<'a>,
}

/// Why a body could not be had.
enum Trouble {
    TooLong,
    NoRoom,
    BrokenOff,
}

impl Room {
    pub fn new(most: usize) -> Self {
        Self { most, taken: AtomicUsize::new(0) }
    }

    /// Bytes that are taken now.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    fn share(&self) -> Share<'_> {
        Share { room: self, bytes: 0 }
    }
}

impl Share<'_> {
    /// Takes so much more, if there is as much.
    fn grow(&mut self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|&taken| taken <= self.room.most);
        let is_there = self.room.taken.fetch_update(Relaxed, Relaxed, more).is_ok();
        self.bytes += if is_there { bytes } else { 0 };
        is_there
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Relaxed);
    }
}

impl Deref for Whole<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body of at most `--max-body` bytes.
pub async fn read<'a>(headers: &HeaderMap, mut body: Incoming, site: &'a Site) -> Result<Whole<'a>, Problem> {
    let limits = &site.limits;
    let too_long = || {
        let detail = format!("the body may have {} bytes", limits.body);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.body {
        return Err(refuse(headers, body, too_long()).await);
    }
    let whole = collect(&mut body, announced, limits.body, site.room.share());
    let problem = match tokio::time::timeout(limits.body_timeout(), whole).await {
        Ok(Ok(whole)) => return Ok(whole),
        Ok(Err(Trouble::BrokenOff)) => {
            return Err(Problem::bad_request("the request's body broke off").closing());
        }
        Err(_) => {
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "the request's body took too long");
            return Err(problem.closing());
        }
        Ok(Err(Trouble::TooLong)) => too_long(),
        Ok(Err(Trouble::NoRoom)) => Problem::unavailable("too many request bodies are on their way"),
    };
    discard(&mut body).await;
    Err(problem.closing())
}

/// Reads a body that is JSON of the given shape.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not as expected: {error}")))
}

/// The whole body. What comes in one piece stays in the connection's own buffer, which is bounded; anything else is copied
/// together, and takes its share for as much as is allocated.
async fn collect<'a>(
    body: &mut Incoming,
    announced: usize,
    most: usize,
    mut share: Share<'a>,
) -> Result<Whole<'a>, Trouble> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Trouble::BrokenOff)?.into_data() else { continue };
        if whole.is_empty() && data.len() == announced {
            return Ok(Whole { bytes: data, _share: share });
        }
        let length = whole.len() + data.len();
        if length > most {
            return Err(Trouble::TooLong);
        }
        if length > whole.capacity() {
            let capacity = length.max(2 * whole.capacity()).max(LEAST_GROWTH).min(most);
            if !share.grow(capacity - share.bytes) {
                return Err(Trouble::NoRoom);
            }
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&data);
    }
    Ok(Whole { bytes: whole.into(), _share: share })
}

/// A refusal before any of the body was read. Unless there is none, it is read on for a moment, and the connection ends.
///
/// Who asks first whether to send it is told at once: reading would have hyper say so (RFC 9110, 10.1.1).
pub async fn refuse(headers: &HeaderMap, mut body: Incoming, problem: Problem) -> Problem {
    if body.is_end_stream() {
        return problem;
    }
    // As hyper reads it.
    let asks_first =
        headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !asks_first {
        discard(&mut body).await;
    }
    problem.closing()
}

/// This path has other methods.
pub async fn not_allowed(request: Request, methods: &'static str) -> Problem {
    let (head, body) = request.into_parts();
    refuse(&head.headers, body, Problem::method_not_allowed(methods)).await
}

async fn discard(body: &mut Incoming) {
    let discard = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > MOST_DISCARDED {
                break;
            }
        }
    };
    drop(tokio::time::timeout(PARTING, discard).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let room = Room::new(10);
        let mut first = room.share();
        assert!(first.grow(6) && first.grow(1));
        let mut second = room.share();
        assert!(!second.grow(4), "there are three");
        assert!(second.grow(3));
        drop(first);
        assert!(second.grow(7));
        assert!(!room.share().grow(1));
        drop(second);
        assert!(room.share().grow(10));
    }
}
