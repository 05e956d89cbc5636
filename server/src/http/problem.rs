//! Errors as `application/problem+json` (RFC 9457).

use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::Response;
use crate::creator::CreateError;
use crate::shortener::Unavailable;
use crate::target::TargetError;

/// What went wrong, as it is told to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
    /// The request was not read to its end, so the connection cannot carry another.
    closes: bool,
}

/// The JSON of a problem.
#[derive(Debug, Serialize)]
pub struct Said<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after: None, allow: None, closes: false }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such link")
    }

    pub fn gone() -> Self {
        Self::new(StatusCode::GONE, "this link has expired")
    }

    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "writes need the API key, as Authorization: Bearer KEY")
    }

    pub fn method_not_allowed(allow: &'static str) -> Self {
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("allowed here: {allow}"));
        Self { allow: Some(allow), ..problem }
    }

    pub fn too_many_requests(seconds: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many writes from this address");
        Self { retry_after: Some(seconds), ..problem }
    }

    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn said(&self) -> Said<'_> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        Said { r#type: "about:blank", title, status: self.status.as_u16(), detail: &self.detail }
    }

    /// A whole answer in bytes, for a connection that carries no other after it.
    pub fn last_words(&self) -> Vec<u8> {
        let said = self.said();
        let body = serde_json::to_string(&said).expect("a problem is plain text and numbers");
        let (status, title, length) = (said.status, said.title, body.len());
        format!(
            "HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }

    pub fn response(&self) -> Response {
        let body = serde_json::to_vec(&self.said()).expect("a problem is plain text and numbers");
        let mut response = Response::new(body.into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        Self::unprocessable(error.to_string())
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<&CreateError> for Problem {
    fn from(error: &CreateError) -> Self {
        let detail = error.to_string();
        match error {
            CreateError::Custom(_) | CreateError::Url(_) | CreateError::IdempotencyMismatch => {
                Self::unprocessable(detail)
            }
            CreateError::Taken | CreateError::Deleted => Self::new(StatusCode::CONFLICT, detail),
            CreateError::Busy
            | CreateError::NoIds(_)
            | CreateError::Store(_)
            | CreateError::Indeterminate(_) => Self::unavailable(detail),
            CreateError::Collisions(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
        }
    }
}
