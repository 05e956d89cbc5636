//! Asking a keygen service for a lease over HTTP.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::{Lease, LeaseSource, Stack};
use crate::breaker::Breaker;
use crate::codes::{CODES_PER_SLOT, Slot};
use crate::config::check_keygen_url;

const LONGEST_ANSWER: usize = 16 * 1024;

pub(super) struct Client {
    authority: String,
    /// How long keygen may take before the app allocates by itself.
    patience: Duration,
    breaker: Breaker,
}

#[derive(Deserialize)]
struct Answer {
    stack: String,
    slot: u8,
    start: u64,
    end: u64,
}

impl Client {
    /// `url` is `http://host:port`.
    pub(super) fn new(url: &str, patience: Duration) -> anyhow::Result<Client> {
        Ok(Client { authority: check_keygen_url(url)?, patience, breaker: Breaker::default() })
    }

    /// A lease, or `None` if keygen gives none in time or was just found not to. What it was worth is to be told to
    /// [`Client::was_of_use`].
    pub(super) async fn lease(&self, stack: &Stack, size: u64) -> Option<Lease> {
        if !self.breaker.allows(Instant::now()) {
            return None;
        }
        match tokio::time::timeout(self.patience, self.allocate(stack, size)).await {
            Ok(Ok(lease)) => Some(lease),
            Ok(Err(_)) | Err(_) => {
                self.was_of_use(false);
                None
            }
        }
    }

    /// Leaves keygen alone for a while if it was not.
    pub(super) fn was_of_use(&self, was: bool) {
        match was {
            true => self.breaker.worked(),
            false => self.breaker.failed(Instant::now()),
        }
    }

    /// Whether `GET /health` is answered with 200 in time.
    pub(super) async fn is_healthy(&self) -> bool {
        let ask = self.ask(Method::GET, "/health", Bytes::new());
        matches!(tokio::time::timeout(self.patience, ask).await, Ok(Ok((StatusCode::OK, _))))
    }

    async fn allocate(&self, stack: &Stack, size: u64) -> anyhow::Result<Lease> {
        let body = serde_json::json!({ "size": size, "stack": stack.as_str() }).to_string();
        let (status, body) = self.ask(Method::POST, "/allocate", body.into()).await?;
        ensure!(status == StatusCode::OK, "keygen answered {status}");
        let answer: Answer = serde_json::from_slice(&body).context("keygen's answer")?;
        let is_lease = answer.stack == stack.as_str()
            && answer.start < answer.end
            && answer.end - answer.start <= size
            && answer.end <= CODES_PER_SLOT;
        ensure!(is_lease, "keygen's answer is no lease for {stack}");
        Ok(Lease {
            slot: Slot(answer.slot),
            start: answer.start,
            end: answer.end,
            source: LeaseSource::Keygen,
        })
    }

    /// One request on a connection of its own: leases are far between.
    async fn ask(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .header("connection", "close")
            .body(Full::new(body))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
            anyhow::Ok((status, body.map_err(|error| anyhow!(error))?.to_bytes()))
        };
        // The connection is driven in place, so that giving up on the request gives up on the connection.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => {
                ended?;
                exchange.await
            }
        }
    }
}
