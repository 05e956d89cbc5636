//! The HTTP side: connections, routes, pages.

pub(crate) mod body;
pub(crate) mod connection;
mod links;
mod pages;
mod parting;
pub(crate) mod problem;
mod proxies;
mod rate;
pub(crate) mod roster;
mod routes;
mod site;
mod worker;

pub use proxies::{Network, Proxies};
pub use site::Site;
pub use worker::{Crew, Worker};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, HeaderValue};

pub type Request = hyper::Request<hyper::body::Incoming>;
pub type Response = hyper::Response<Full<Bytes>>;

/// The same answer, the last on its connection.
pub(crate) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
