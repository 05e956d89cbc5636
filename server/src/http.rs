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

pub type Request = hyper::Request<hyper::body::Incoming>;
pub type Response = hyper::Response<Full<Bytes>>;
