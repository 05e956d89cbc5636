//! The shortener's API: creates and visits, each with the one answer that is right.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use proofload_scenarios::workload::url_of;
use serde::Deserialize;

use super::{Answer, Exchange, Judgement, Operation, Visited, wire};

/// Links that exist: code and URL by index, in two flat buffers.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// `/code/code…`, each a request's path.
    paths: Bytes,
    urls: String,
    /// Where path and URL of each link end.
    ends: Vec<(u32, u32)>,
}

impl Links {
    pub fn new<'a>(links: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let (mut paths, mut urls, mut ends) = (Vec::new(), String::new(), Vec::new());
        for (code, url) in links {
            paths.push(b'/');
            paths.extend_from_slice(code.as_bytes());
            urls.push_str(url);
            let end = |length: usize| u32::try_from(length).expect("all links fit into 4 GB");
            ends.push((end(paths.len()), end(urls.len())));
        }
        Self { paths: paths.into(), urls, ends }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn code(&self, index: usize) -> &str {
        let path = self.paths.get(self.path_range(index)).expect("the range is within");
        std::str::from_utf8(&path[1..]).expect("codes were text")
    }

    pub fn url(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1].1 };
        &self.urls[start as usize..self.ends[index].1 as usize]
    }

    fn path(&self, index: usize) -> Uri {
        uri(self.paths.slice(self.path_range(index)))
    }

    fn path_range(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        start as usize..self.ends[index].0 as usize
    }
}

/// How to talk to a shortener.
pub struct Shortener {
    links: Arc<Links>,
    kinds: Vec<String>,
    headers: HeaderMap,
    create_headers: HeaderMap,
    create_path: Uri,
    /// What follows the path of a visit.
    visit_rest: Vec<u8>,
    /// Makes the URLs of creates from their numbers.
    seed: u64,
    visited: Option<Arc<Visited>>,
}

const CREATE: usize = 0;
const VISIT: usize = 1;
const VISIT_UNKNOWN: usize = 2;

impl Shortener {
    /// Talks to the shortener at `host`. Creates ask for `url_of(seed, sequence)`.
    pub fn new(host: &str, links: Arc<Links>, seed: u64) -> Self {
        let visit_rest = format!(" HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes();
        let host = HeaderValue::from_str(host).expect("a host is plain text");
        let headers = HeaderMap::from_iter([(HOST, host)]);
        let mut create_headers = headers.clone();
        create_headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            links,
            kinds: ["create", "visit", "visit-unknown"].map(str::to_owned).to_vec(),
            headers,
            create_headers,
            visit_rest,
            create_path: Uri::from_static("/api/links"),
            seed,
            visited: None,
        }
    }

    /// Marks each link that it visits.
    pub fn marking(mut self, visited: Option<Arc<Visited>>) -> Self {
        self.visited = visited;
        self
    }
}

impl Exchange for Shortener {
    fn kinds(&self) -> &[String] {
        &self.kinds
    }

    fn kind(&self, operation: Operation) -> usize {
        match operation {
            Operation::Create { .. } => CREATE,
            Operation::Visit { .. } => VISIT,
            _ => VISIT_UNKNOWN,
        }
    }

    fn request(&self, operation: Operation) -> Request<Full<Bytes>> {
        match operation {
            Operation::Create { sequence } => {
                let body = format!("{{\"url\":\"{}\"}}", url_of(self.seed, sequence));
                let mut request = Request::new(Full::new(Bytes::from(body)));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = self.create_path.clone();
                *request.headers_mut() = self.create_headers.clone();
                request
            }
            Operation::Visit { link } => get(self.links.path(link as usize), &self.headers),
            Operation::VisitUnknown { code } => get(unknown(code), &self.headers),
            Operation::Http { .. } => get(Uri::from_static("/"), &self.headers),
        }
    }

    fn write(&self, operation: Operation, bytes: &mut Vec<u8>) {
        match operation {
            Operation::Visit { link } => {
                if let Some(visited) = &self.visited {
                    visited.mark(link);
                }
                bytes.extend_from_slice(b"GET ");
                bytes.extend_from_slice(&self.links.paths[self.links.path_range(link as usize)]);
                bytes.extend_from_slice(&self.visit_rest);
            }
            _ => wire::write(self.request(operation), bytes),
        }
    }

    fn check(&self, operation: Operation, answer: &Answer<'_>) -> Judgement {
        match operation {
            Operation::Create { sequence } => check_created(&url_of(self.seed, sequence), answer),
            Operation::Visit { link } => check_visit(self.links.url(link as usize), answer),
            Operation::VisitUnknown { .. } => expect_status(StatusCode::NOT_FOUND, answer),
            Operation::Http { .. } => Judgement::Wrong("the shortener has no templates".to_owned()),
        }
    }
}

fn get(path: Uri, headers: &HeaderMap) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = path;
    *request.headers_mut() = headers.clone();
    request
}

fn unknown(code: [u8; 8]) -> Uri {
    let mut path = [b'/'; 9];
    path[1..].copy_from_slice(&code);
    uri(Bytes::copy_from_slice(&path))
}

fn uri(path: Bytes) -> Uri {
    Uri::from_maybe_shared(path).expect("codes are made of letters that paths may hold")
}

/// The answer to a create.
#[derive(Deserialize)]
struct Made<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
}

pub(crate) fn check_created(asked: &str, answer: &Answer<'_>) -> Judgement {
    if answer.status != StatusCode::CREATED {
        return expect_status(StatusCode::CREATED, answer);
    }
    match serde_json::from_slice::<Made<'_>>(answer.body) {
        Ok(made) if made.url != asked => {
            Judgement::Wrong(format!("created {} where {asked} was asked", made.url))
        }
        Ok(made) if made.code.is_empty() => Judgement::Wrong("created an empty code".to_owned()),
        Ok(made) => Judgement::Created(made.code.into_owned()),
        Err(error) => Judgement::Wrong(format!("201 without a code: {error}")),
    }
}

pub(crate) fn check_visit(url: &str, answer: &Answer<'_>) -> Judgement {
    if answer.status != StatusCode::FOUND {
        return expect_status(StatusCode::FOUND, answer);
    }
    match answer.headers.get("location") {
        Some(location) if location == url.as_bytes() => Judgement::Right,
        Some(location) => {
            let location = String::from_utf8_lossy(location);
            Judgement::Wrong(format!("redirected to {location} instead of {url}"))
        }
        None => Judgement::Wrong("302 without a Location".to_owned()),
    }
}

pub(crate) fn expect_status(expected: StatusCode, answer: &Answer<'_>) -> Judgement {
    if answer.status == expected {
        return Judgement::Right;
    }
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(120)]);
    Judgement::Wrong(format!("status {} instead of {}: {body}", answer.status, expected.as_u16()))
}
