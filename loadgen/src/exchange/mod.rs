//! An exchange: what a request looks like on the wire, and whether its answer is right.

mod failure;
mod http;
mod shortener;
mod text;
mod values;
mod visited;
mod wire;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};

pub use failure::Failure;
pub use http::{TemplateError, Templates, authorized};
pub use proofload_scenarios::workload::Operation;
pub use shortener::{Links, Shortener};
pub(crate) use shortener::{check_created, check_visit, expect_status};
pub use values::{ValueError, Values};
pub use visited::Visited;

/// A protocol over HTTP: the shortener's API, or templates for any service.
pub trait Exchange: Send + Sync {
    /// The names of the kinds of operation, as times are reported by: `create`, `visit`.
    fn kinds(&self) -> &[String];

    /// Which of `kinds` an operation is.
    fn kind(&self, operation: Operation) -> usize;

    fn request(&self, operation: Operation) -> Request<Full<Bytes>>;

    /// Appends the request's bytes in HTTP/1.1: the same request, without the detour where that is cheaper.
    fn write(&self, operation: Operation, bytes: &mut Vec<u8>) {
        wire::write(self.request(operation), bytes);
    }

    /// Judges a complete answer.
    fn check(&self, operation: Operation, answer: &Answer<'_>) -> Judgement;
}

/// The most of a body that is kept to be checked; all of it is read, or the connection could not be used again.
pub const KEPT_BODY: usize = 1 << 20;

/// An answer, read to its last byte.
pub struct Answer<'a> {
    pub status: StatusCode,
    pub headers: Headers<'a>,
    /// As much of the body as is kept: `KEPT_BODY`.
    pub body: &'a [u8],
}

/// The headers of an answer, as they were read.
#[derive(Clone, Copy)]
pub enum Headers<'a> {
    Map(&'a HeaderMap),
    Lines(&'a [httparse::Header<'a>]),
}

impl<'a> Headers<'a> {
    /// The first value under `name`, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        match self {
            Headers::Map(map) => map.get(name).map(HeaderValue::as_bytes),
            Headers::Lines(lines) => {
                lines.iter().find(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
            }
        }
    }
}

/// What an answer was worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    Right,
    /// A create was acknowledged under this code.
    Created(String),
    /// Not the expected answer, and in which way.
    Wrong(String),
}
