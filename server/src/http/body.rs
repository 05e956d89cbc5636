//! Request bodies, read whole within a limit of size and of time.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::config::Limits;

/// Reads a body of at most `limits.body` bytes.
pub async fn read(body: Incoming, limits: &Limits) -> Result<Bytes, Problem> {
    // What announces itself as too long is refused unread.
    if body.size_hint().lower() > limits.body as u64 {
        return Err(too_large(limits));
    }
    let whole = Limited::new(body, limits.body).collect();
    match tokio::time::timeout(limits.body_timeout(), whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(_)) => Err(Problem::bad_request("the request's body broke off").closing()),
        Err(_) => {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the request's body took too long").closing())
        }
    }
}

/// Reads a body that is JSON of the given shape.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not as expected: {error}")))
}

fn too_large(limits: &Limits) -> Problem {
    let detail = format!("the body may have {} bytes", limits.body);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).closing()
}
