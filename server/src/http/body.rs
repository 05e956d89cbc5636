//! Request bodies, read whole within a limit of size and of time.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use serde::de::DeserializeOwned;
use std::time::Duration;

use super::problem::Problem;
use crate::config::Limits;

/// A body that is too large is read on for so long, because a client that is still sending when the connection is
/// closed never sees why.
const PARTING: Duration = Duration::from_millis(500);
const MOST_DISCARDED: usize = 4 << 20;

/// Reads a body of at most `limits.body` bytes.
pub async fn read(mut body: Incoming, limits: &Limits) -> Result<Bytes, Problem> {
    let announced = body.size_hint().lower();
    let whole = match usize::try_from(announced) {
        Ok(announced) if announced <= limits.body => collect(&mut body, announced, limits.body),
        _ => return Err(too_large(&mut body, limits).await),
    };
    match tokio::time::timeout(limits.body_timeout(), whole).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(too_large(&mut body, limits).await),
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

/// The whole body, or none where it is longer than `most`.
async fn collect(body: &mut Incoming, announced: usize, most: usize) -> hyper::Result<Option<Bytes>> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.is_empty() && data.len() == announced {
            return Ok(Some(data));
        }
        if whole.len() + data.len() > most {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Some(whole.freeze()))
}

async fn too_large(body: &mut Incoming, limits: &Limits) -> Problem {
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
    let detail = format!("the body may have {} bytes", limits.body);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).closing()
}
