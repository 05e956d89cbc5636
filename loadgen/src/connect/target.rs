//! A target: where requests go, and how it is spoken to.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::tls::Tls;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    pub addr: SocketAddr,
    /// Further processes of the same service; connections are dealt over all of them in turn.
    pub others: Vec<SocketAddr>,
    /// The `Host` header, or HTTP/2's `:authority`.
    pub host: String,
    pub tls: Option<Tls>,
    /// HTTP/2 instead of HTTP/1.1, with one stream a connection.
    pub http2: bool,
}

/// Whom to trust and which version to speak, where the URL does not say.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    pub http2: bool,
    /// Certificates to trust instead of the system's, as PEM text.
    pub roots: Option<Vec<u8>>,
    /// Accept any certificate.
    pub insecure: bool,
}

/// Why a URL is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("`{url}` is no URL of a target: {reason}")]
    Malformed { url: String, reason: String },
    #[error("the target's name `{host}` does not resolve: {error}")]
    Unresolved { host: String, error: io::Error },
    #[error("the certificates to trust cannot be used: {0}")]
    Roots(String),
}

impl Target {
    /// A plain HTTP/1.1 target that listens at `addr`.
    pub fn at(addr: SocketAddr) -> Self {
        Self { addr, others: Vec::new(), host: addr.to_string(), tls: None, http2: false }
    }

    /// A plain HTTP/1.1 service of several processes, at least one.
    pub fn over(addrs: Vec<SocketAddr>) -> Self {
        Self { others: addrs[1..].to_vec(), ..Self::at(addrs[0]) }
    }

    /// The process that the `index`-th connection goes to.
    pub fn of_connection(&self, index: usize) -> Self {
        let addr = match index % (1 + self.others.len()) {
            0 => self.addr,
            other => self.others[other - 1],
        };
        Self { addr, others: Vec::new(), ..self.clone() }
    }

    /// The target of `http://host[:port]` or `https://host[:port]`, and the path and query that follow it.
    ///
    /// # Errors
    /// When the text is no such URL, or its host does not resolve.
    pub fn of_url(url: &str, manner: &Manner) -> Result<(Self, String), TargetError> {
        let malformed =
            |reason: &str| TargetError::Malformed { url: url.to_owned(), reason: reason.to_owned() };
        let uri: hyper::Uri = url.parse().map_err(|error| malformed(&format!("{error}")))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(malformed(&format!("its scheme is {other}, not http or https"))),
            None => return Err(malformed("it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| malformed("it names no host"))?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let addr = resolve(name, authority.port_u16().unwrap_or(if secure { 443 } else { 80 }))?;
        let tls = secure.then(|| Tls::new(name, manner)).transpose()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let host = authority.as_str().rsplit('@').next().unwrap_or_default().to_owned();
        Ok((Self { addr, others: Vec::new(), host, tls, http2: manner.http2 }, path))
    }
}

fn resolve(name: &str, port: u16) -> Result<SocketAddr, TargetError> {
    let unresolved = |error| TargetError::Unresolved { host: name.to_owned(), error };
    (name, port)
        .to_socket_addrs()
        .map_err(unresolved)?
        .next()
        .ok_or_else(|| unresolved(io::Error::new(io::ErrorKind::NotFound, "it has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let (target, path) = Target::of_url("http://user@127.0.0.1:8080/a?b=c", &Manner::default()).unwrap();
        assert_eq!((target.addr.port(), target.host.as_str()), (8080, "127.0.0.1:8080"));
        assert_eq!(path, "/a?b=c");
        let (target, path) = Target::of_url("http://[::1]", &Manner::default()).unwrap();
        assert_eq!((target.addr.to_string().as_str(), path.as_str()), ("[::1]:80", "/"));
    }

    #[test]
    fn connections_are_dealt_over_all_processes() {
        let addr = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let target = Target::over(vec![addr(1), addr(2), addr(3)]);
        let ports: Vec<u16> = (0..5).map(|index| target.of_connection(index).addr.port()).collect();
        assert_eq!(ports, [1, 2, 3, 1, 2]);
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        let message = |url| Target::of_url(url, &Manner::default()).unwrap_err().to_string();
        assert!(message("ftp://host/").contains("scheme is ftp"));
        assert!(message("/only/a/path").contains("must begin with http://"));
        assert!(message("http://nowhere.invalid/").contains("`nowhere.invalid` does not resolve"));
    }
}
