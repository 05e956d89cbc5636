//! What keygen answers.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use serde::Deserialize;

use super::{Allocator, KeygenLimits, Lease, LeaseError, LeaseSource, Stack, StackError};
use crate::http::body::{self, not_allowed};
use crate::http::problem::Problem;
use crate::http::{Request, Response, closing};
use crate::store::StoreError;

/// How long database and Redis may take to answer for their health and for our metrics, of the half second that an app waits
/// for the former.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(250);

pub(super) struct Routes {
    allocator: Allocator,
    longest_body: usize,
    body_timeout: Duration,
    leases_redis: AtomicU64,
    leases_store: AtomicU64,
    ids: AtomicU64,
    refused: AtomicU64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allocate {
    size: u64,
    stack: String,
}

impl Routes {
    pub(super) fn new(allocator: Allocator, limits: &KeygenLimits) -> Routes {
        let zero = || AtomicU64::new(0);
        Routes {
            allocator,
            longest_body: limits.body,
            body_timeout: limits.body_timeout(),
            leases_redis: zero(),
            leases_store: zero(),
            ids: zero(),
            refused: zero(),
        }
    }

    pub(super) async fn answer(self: &Arc<Self>, request: Request) -> Response {
        // As for the app: there may have been a Content-Length, too.
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let answer = self.route(request).await.unwrap_or_else(|problem| {
            self.refused.fetch_add(1, Relaxed);
            problem.response()
        });
        if is_chunked { closing(answer) } else { answer }
    }

    async fn route(self: &Arc<Self>, request: Request) -> Result<Response, Problem> {
        match (request.uri().path(), request.method().as_str()) {
            ("/allocate", "POST") => self.allocate(request).await,
            ("/allocate", _) => Err(not_allowed(request, "POST").await),
            ("/health", "GET" | "HEAD") => Ok(self.health().await),
            ("/metrics", "GET" | "HEAD") => Ok(self.metrics().await),
            ("/health" | "/metrics", _) => Err(not_allowed(request, "GET, HEAD").await),
            _ => {
                let (head, body) = request.into_parts();
                Err(body::refuse(&head.headers, body, unknown()).await)
            }
        }
    }

    async fn allocate(self: &Arc<Self>, request: Request) -> Result<Response, Problem> {
        let body = self.body(request).await?;
        let Allocate { size, stack } = serde_json::from_slice(&body).map_err(|error| {
            let status =
                if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            Problem::new(status, format!("the body is not {{\"size\": n, \"stack\": \"name\"}}: {error}"))
        })?;
        let unprocessable = |error: StackError| Problem::unprocessable(error.to_string());
        let stack: Stack = stack.parse().map_err(unprocessable)?;
        let Lease { slot, start, end, .. } = self.lease(stack.clone(), size).await?;
        let body = serde_json::json!({ "stack": stack.as_str(), "slot": slot.0, "start": start, "end": end });
        Ok(answer(StatusCode::OK, "application/json", body.to_string()))
    }

    /// Leases and counts, whether or not the client still waits: what is committed by then is leased.
    async fn lease(self: &Arc<Self>, stack: Stack, size: u64) -> Result<Lease, Problem> {
        let routes = self.clone();
        let leasing = tokio::spawn(async move {
            let lease = routes.allocator.allocate(&stack, size).await?;
            routes.count(&lease);
            Ok(lease)
        });
        let stopping = |_| Err(Problem::unavailable("keygen is stopping"));
        leasing.await.unwrap_or_else(stopping)
    }

    /// Healthy while the database answers: Redis is only a hint.
    async fn health(&self) -> Response {
        let store = self.allocator.store();
        let (ping, redis) = tokio::join!(
            tokio::time::timeout(HEALTH_TIMEOUT, store.ping()),
            tokio::time::timeout(HEALTH_TIMEOUT, self.allocator.redis_is_up()),
        );
        let database_up = matches!(ping, Ok(Ok(())));
        let redis = match redis {
            Ok(Some(true)) => "up",
            Ok(Some(false)) | Err(_) => "down",
            Ok(None) => "absent",
        };
        let body = serde_json::json!({
            "status": if database_up { "ok" } else { "failing" },
            "database": { "kind": store.name(), "state": if database_up { "up" } else { "down" } },
            "redis": { "state": redis },
        });
        let status = if database_up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        answer(status, "application/json", body.to_string())
    }

    async fn metrics(&self) -> Response {
        let mut text = String::new();
        family(&mut text, "keygen_leases_total", "counter", "Leases granted, by who proposed the ids.");
        sample(&mut text, "keygen_leases_total", "source=\"redis\"", self.leases_redis.load(Relaxed));
        sample(&mut text, "keygen_leases_total", "source=\"store\"", self.leases_store.load(Relaxed));
        family(&mut text, "keygen_ids_total", "counter", "Ids leased.");
        sample(&mut text, "keygen_ids_total", "", self.ids.load(Relaxed));
        family(&mut text, "keygen_refused_total", "counter", "Requests answered with an error.");
        sample(&mut text, "keygen_refused_total", "", self.refused.load(Relaxed));
        self.statement_metrics(&mut text);
        if let Some(up) = self.allocator.redis_was_up() {
            family(&mut text, "keygen_redis_up", "gauge", "Whether Redis answered when last asked.");
            sample(&mut text, "keygen_redis_up", "", up.into());
        }
        // A database that hangs takes no other figure along.
        let marks = tokio::time::timeout(HEALTH_TIMEOUT, self.allocator.store().high_marks()).await;
        if let Ok(Ok(marks)) = marks {
            family(&mut text, "keygen_slot_high", "gauge", "How far each stack's slot is leased.");
            for mark in marks {
                let labels = format!("stack=\"{}\",slot=\"{}\"", mark.stack, mark.slot.0);
                sample(&mut text, "keygen_slot_high", &labels, mark.high);
            }
        }
        answer(StatusCode::OK, "text/plain; version=0.0.4", text)
    }

    fn statement_metrics(&self, text: &mut String) {
        let counts = self.allocator.store().statements();
        family(text, "keygen_statements_total", "counter", "Statements sent to the database, by purpose.");
        for (kind, count) in counts.iter() {
            sample(text, "keygen_statements_total", &format!("kind=\"{}\"", kind.name()), count.attempts);
        }
        family(text, "keygen_statements_failed_total", "counter", "Those that failed or timed out.");
        for (kind, count) in counts.iter() {
            let labels = format!("kind=\"{}\"", kind.name());
            sample(text, "keygen_statements_failed_total", &labels, count.failures);
        }
    }

    async fn body(&self, request: Request) -> Result<Bytes, Problem> {
        let longest = self.longest_body;
        let too_long =
            || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body exceeds {longest} bytes"));
        let (head, body) = request.into_parts();
        if body.size_hint().lower() > longest as u64 {
            return Err(body::refuse(&head.headers, body, too_long()).await);
        }
        let body = Limited::new(body, longest).collect();
        match tokio::time::timeout(self.body_timeout, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_long()),
            Ok(Err(error)) => Err(Problem::bad_request(error.to_string())),
            Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
        }
    }

    fn count(&self, lease: &Lease) {
        let leases = match lease.source {
            LeaseSource::Redis => &self.leases_redis,
            LeaseSource::Store | LeaseSource::Keygen => &self.leases_store,
        };
        leases.fetch_add(1, Relaxed);
        self.ids.fetch_add(lease.end - lease.start, Relaxed);
    }
}

impl From<LeaseError> for Problem {
    fn from(error: LeaseError) -> Problem {
        let detail = error.to_string();
        match error {
            LeaseError::Size(_) => Problem::unprocessable(detail),
            LeaseError::Store(StoreError::NoSlotLeft(_) | StoreError::SlotUsedUp(_)) => {
                Problem::new(StatusCode::CONFLICT, detail)
            }
            LeaseError::Store(_) | LeaseError::Elsewhere => Problem::unavailable(detail),
        }
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "keygen knows /allocate, /health and /metrics")
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}
