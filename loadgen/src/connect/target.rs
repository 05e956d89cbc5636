//! A target: where requests go, and how it is spoken to.

use std::borrow::Cow;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::tls::Tls;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    pub addr: SocketAddr,
    /// Further addresses of the same name, tried where `addr` takes no connection.
    pub alternatives: Vec<SocketAddr>,
    /// Further processes of the same service; connections are dealt over all of them in turn.
    pub others: Vec<SocketAddr>,
    /// The `Host` header, or HTTP/2's `:authority`.
    pub host: String,
    /// The `Authorization` header that the URL's user and password make.
    pub authorization: Option<String>,
    /// What the path of each request begins with, without a slash at its end: empty, or `/v1`.
    pub path: String,
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
        Self {
            addr,
            alternatives: Vec::new(),
            others: Vec::new(),
            host: addr.to_string(),
            authorization: None,
            path: String::new(),
            tls: None,
            http2: false,
        }
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
            |reason: &str| TargetError::Malformed { url: presentable(url).into(), reason: reason.to_owned() };
        let uri: hyper::Uri = url.parse().map_err(|error| malformed(&format!("{error}")))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(malformed(&format!("its scheme is {other}, not http or https"))),
            None => return Err(malformed("it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| malformed("it names no host"))?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let mut addrs = resolve(name, authority.port_u16().unwrap_or(if secure { 443 } else { 80 }))?;
        let tls = secure.then(|| Tls::new(name, manner)).transpose()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (user, host) = match authority.as_str().rsplit_once('@') {
            Some((user, host)) => (Some(user), host.to_owned()),
            None => (None, authority.as_str().to_owned()),
        };
        let target = Self {
            addr: addrs.remove(0),
            alternatives: addrs,
            others: Vec::new(),
            host,
            authorization: user.map(basic),
            path: String::new(),
            tls,
            http2: manner.http2,
        };
        Ok((target, path))
    }

    /// Tries `addr`, which took a connection, before the others from now on.
    pub fn prefer(&mut self, addr: SocketAddr) {
        if let Some(place) = self.alternatives.iter_mut().find(|other| **other == addr) {
            std::mem::swap(place, &mut self.addr);
        }
    }

    /// The name and where it leads: `localhost:80 ([::1]:80, 127.0.0.1:80)`.
    pub fn described(&self) -> String {
        let addrs: Vec<String> = self.addrs().map(|addr| addr.to_string()).collect();
        format!("{} ({})", self.host, addrs.join(", "))
    }

    /// What its URLs begin with: `https://example.com:8443`.
    pub fn base(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// Every address that the target may be reached at, the likeliest first.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.addr).chain(self.alternatives.iter().copied())
    }
}

/// At least one address, each once.
fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, TargetError> {
    let unresolved = |error| TargetError::Unresolved { host: name.to_owned(), error };
    let mut addrs = Vec::new();
    for addr in (name, port).to_socket_addrs().map_err(unresolved)? {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    match addrs.is_empty() {
        true => Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "it has no address"))),
        false => Ok(addrs),
    }
}

/// A text as it may be shown: a URL in it keeps its password for itself.
pub fn presentable(text: &str) -> Cow<'_, str> {
    let Some(begin) = text.find("://").map(|at| at + 3) else { return Cow::Borrowed(text) };
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |length| begin + length);
    match text[begin..end].rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        Some((user, password)) if !password.is_empty() => {
            let (from, to) = (begin + user.len() + 1, begin + user.len() + 1 + password.len());
            Cow::Owned(format!("{}***{}", &text[..from], &text[to..]))
        }
        _ => Cow::Borrowed(text),
    }
}

/// What the user information of a URL asks for (RFC 7617).
fn basic(user: &str) -> String {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let pair = [unescaped(name), b":".to_vec(), unescaped(password)].concat();
    format!("Basic {}", BASE64.encode(pair))
}

/// The bytes that a text with `%40` and the like stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, left @ ..] = rest {
        let escaped = (*first == b'%').then(|| left.get(..2)).flatten();
        let byte = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &left[2..] } else { left };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let (target, path) = Target::of_url("http://user@127.0.0.1:8080/a?b=c", &Manner::default()).unwrap();
        assert_eq!((target.addr.port(), target.host.as_str()), (8080, "127.0.0.1:8080"));
        assert_eq!(target.authorization.as_deref(), Some("Basic dXNlcjo="));
        assert_eq!(path, "/a?b=c");
        let (target, path) = Target::of_url("http://[::1]", &Manner::default()).unwrap();
        assert_eq!((target.addr.to_string().as_str(), path.as_str()), ("[::1]:80", "/"));
        assert_eq!(target.authorization, None);
    }

    #[test]
    fn a_password_goes_into_the_header_and_nowhere_else() {
        let authorization = |user: &str| {
            let url = format!("http://{user}@127.0.0.1/");
            Target::of_url(&url, &Manner::default()).unwrap().0.authorization.unwrap()
        };
        // The example of RFC 7617.
        assert_eq!(authorization("Aladdin:open%20sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(authorization("a%40b:c:d%"), format!("Basic {}", BASE64.encode("a@b:c:d%")));
        let error = Target::of_url("ftp://ann:secret@host/", &Manner::default()).unwrap_err().to_string();
        assert!(error.contains("ftp://ann:***@host/") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn only_passwords_are_kept_back() {
        for (text, shown) in [
            ("--url=http://ann:s:e@h:80/a:b@c", "--url=http://ann:***@h:80/a:b@c"),
            ("postgres://ann:secret@h", "postgres://ann:***@h"),
            ("http://ann@h/", "http://ann@h/"),
            ("http://h:80/?a=b:c@d", "http://h:80/?a=b:c@d"),
            ("x:y@z", "x:y@z"),
        ] {
            assert_eq!(presentable(text), shown);
        }
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
