//! A request as the bytes of HTTP/1.1.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::{Method, Request};

/// Appends the bytes of `request`.
pub fn write(request: Request<Full<Bytes>>, bytes: &mut Vec<u8>) {
    let (parts, body) = request.into_parts();
    let length = body.size_hint().exact().unwrap_or(0);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    write_head(&parts.method, path, &parts.headers, length, bytes);
    if let Some(body) = whole(body) {
        bytes.extend_from_slice(&body);
    }
}

/// Appends request line and headers. A body of no length is announced only where a method would have one.
pub fn write_head(method: &Method, path: &str, headers: &HeaderMap, length: u64, bytes: &mut Vec<u8>) {
    for part in [method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    let expected = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if (length > 0 || expected) && !headers.contains_key(CONTENT_LENGTH) {
        bytes.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
}

/// The one piece that a full body is made of.
fn whole(mut body: Full<Bytes>) -> Option<Bytes> {
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(&mut body).poll_frame(context) {
        std::task::Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_with_its_length() {
        let request = Request::post("/a?b=c").header("host", "h").body(Full::from("{}")).unwrap();
        let mut bytes = Vec::new();
        write(request, &mut bytes);
        assert_eq!(bytes, b"POST /a?b=c HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}");
    }

    #[test]
    fn a_request_without_a_body_announces_none() {
        let mut bytes = Vec::new();
        write(Request::get("/").body(Full::default()).unwrap(), &mut bytes);
        assert_eq!(bytes, b"GET / HTTP/1.1\r\n\r\n");
    }
}
