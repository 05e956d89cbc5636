//! Where a short link leads: the rules for URLs, on their way in and again on their way out.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use url::{Host, Url};

use crate::config::own_base;

/// Decides which URLs may be shortened.
#[derive(Debug, Clone)]
pub struct Targets {
    longest: usize,
    /// Our own hosts and ports, the public one and where we listen: a link there would lead back here.
    own: Vec<Place>,
    /// The port that we listen on at all addresses of this machine, where we do.
    everywhere: Option<u16>,
}

/// Why a URL cannot be shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("the URL is empty: give one like https://example.com/")]
    Empty,
    #[error("the URL is longer than {0} bytes")]
    TooLong(usize),
    #[error("the URL holds a space or control character: percent-encode it")]
    Control,
    #[error("the URL must be absolute, with the scheme http or https")]
    Scheme,
    #[error("this is no URL: {0}")]
    Malformed(String),
    #[error("the URL leads back to this shortener")]
    Loop,
}

impl Targets {
    /// `own` are URLs that lead to ourselves.
    pub fn new(longest: usize, own: &[&str]) -> Self {
        let places = own.iter().filter_map(|own| Place::of(&Url::parse(own).ok()?));
        Self { longest, own: places.collect(), everywhere: None }
    }

    /// As [`Targets::new`], where we listen at `bound`.
    pub fn listening(longest: usize, public: &str, bound: SocketAddr) -> Self {
        let everywhere = bound.ip().is_unspecified().then_some(bound.port());
        Self { everywhere, ..Self::new(longest, &[public, &own_base(bound)]) }
    }

    /// Checks a URL that is to be shortened. It is kept as it was given, but for characters beyond ASCII, which a
    /// `Location` cannot carry and which are percent-encoded.
    pub fn check(&self, text: &str) -> Result<String, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if text.len() > self.longest {
            return Err(TargetError::TooLong(self.longest));
        }
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(TargetError::Control);
        }
        if !has_http_scheme(text.as_bytes()) {
            return Err(TargetError::Scheme);
        }
        let url = Url::parse(text).map_err(|error| TargetError::Malformed(error.to_string()))?;
        let place = Place::of(&url).ok_or(TargetError::Scheme)?;
        let here = || self.everywhere == Some(place.port) && is_this_machine(&url);
        if self.own.iter().any(|own| own.leads_back(&place)) || here() {
            return Err(TargetError::Loop);
        }
        let kept = if text.is_ascii() { text.to_owned() } else { String::from(url) };
        if kept.len() > self.longest {
            return Err(TargetError::TooLong(self.longest));
        }
        Ok(kept)
    }
}

/// Whether a stored URL may stand in a `Location`, whoever wrote it into the store.
pub fn is_safe(url: &str) -> bool {
    has_http_scheme(url.as_bytes()) && url.bytes().all(|byte| (0x21..0x7f).contains(&byte))
}

fn has_http_scheme(url: &[u8]) -> bool {
    let begins = |scheme: &[u8]| url.len() > scheme.len() && url[..scheme.len()].eq_ignore_ascii_case(scheme);
    begins(b"https://") || begins(b"http://")
}

/// Where a URL leads: what is asked there does not matter.
#[derive(Debug, Clone)]
struct Place {
    /// All names of this machine's own loopback are one.
    host: String,
    port: u16,
}

const LOOPBACK: &str = "localhost";

/// Whether the URL names an address of this machine: nobody else's can be bound. Names are not resolved.
fn is_this_machine(url: &Url) -> bool {
    let ip: IpAddr = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.to_canonical(),
        Some(Host::Domain(_)) | None => return false,
    };
    UdpSocket::bind((ip, 0)).is_ok()
}

impl Place {
    fn of(url: &Url) -> Option<Self> {
        let loopback = match url.host()? {
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                name == LOOPBACK || name.ends_with(".localhost")
            }
            Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
            Host::Ipv6(ip) => ip.is_unspecified() || ip.to_canonical().is_loopback(),
        };
        let host = if loopback { LOOPBACK } else { url.host_str()?.trim_end_matches('.') };
        Some(Self { host: host.to_owned(), port: url.port_or_known_default()? })
    }

    /// Whether a link there comes back to us. A public host's default ports are all ours, as one is usually redirected to
    /// the other; its other ports, and those of this machine, may well be someone else's.
    fn leads_back(&self, to: &Self) -> bool {
        let default = self.host != LOOPBACK && [80, 443].contains(&to.port);
        self.host == to.host && (self.port == to.port || default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Targets {
        Targets::new(100, &["https://sho.rt", "http://127.0.0.1:8080"])
    }

    #[test]
    fn a_loop_is_seen_at_each_address_that_we_listen_at() {
        let listening = |address: &str| Targets::listening(100, "https://sho.rt", address.parse().unwrap());
        // The loopback has 16 million addresses, which all are this machine's.
        let (everywhere, six) = (listening("0.0.0.0:8080"), listening("[::]:8080"));
        for (url, targets) in [
            ("http://127.0.0.1:8080/", &everywhere),
            ("http://[::ffff:127.1.2.3]:8080/", &everywhere),
            ("http://localhost:8080/", &six),
        ] {
            assert_eq!(targets.check(url), Err(TargetError::Loop), "{url}");
        }
        let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            // Nothing is sent: the system only chooses the address that it would be sent from.
            socket.connect("192.0.2.1:9")?;
            socket.local_addr()
        });
        // A machine without any network has no such address.
        if let Ok(own) = own {
            let there = |port: u16| format!("http://{}:{port}/", own.ip());
            assert_eq!(everywhere.check(&there(8080)), Err(TargetError::Loop), "{own}");
            assert!(everywhere.check(&there(8081)).is_ok());
            assert!(listening("127.0.0.1:8080").check(&there(8080)).is_ok());
        }
        assert!(everywhere.check("http://192.0.2.1:8080/").is_ok());
    }

    #[test]
    fn urls_are_kept_as_they_were_given() {
        for url in [
            "https://example.com",
            "http://EXAMPLE.com:80/a/../b?q=%20|{}\"<>#f",
            "HTTPS://user:secret@example.com/",
            "http://[::1]:8081/x",
            "https://sho.rt:8443/elsewhere",
            "https://sho.rt.example.com/",
        ] {
            assert_eq!(targets().check(url).as_deref(), Ok(url));
        }
        assert_eq!(
            targets().check("https://bücher.example/ü").unwrap(),
            "https://xn--bcher-kva.example/%C3%BC"
        );
    }

    #[test]
    fn what_is_refused_and_why() {
        let long = format!("https://example.com/{}", "x".repeat(100));
        let cases = [
            ("", TargetError::Empty),
            (long.as_str(), TargetError::TooLong(100)),
            ("https://example.com/a b", TargetError::Control),
            ("https://example.com/\r\nSet-Cookie: a=b", TargetError::Control),
            ("https://example.com/\0", TargetError::Control),
            (" https://example.com/", TargetError::Control),
            ("javascript:alert(1)", TargetError::Scheme),
            ("data:text/html,x", TargetError::Scheme),
            ("/relative", TargetError::Scheme),
            ("//example.com/", TargetError::Scheme),
            ("example.com", TargetError::Scheme),
            ("http:example.com", TargetError::Scheme),
            ("ftp://example.com/", TargetError::Scheme),
            ("https://", TargetError::Scheme),
            ("https://sho.rt/abc", TargetError::Loop),
            ("http://SHO.RT.:443/abc", TargetError::Loop),
            ("https://x@sho.rt/", TargetError::Loop),
            ("http://sho.rt/abc", TargetError::Loop),
            ("http://localhost:8080/abc", TargetError::Loop),
        ];
        for (url, error) in cases {
            assert_eq!(targets().check(url), Err(error), "{url:?}");
        }
        assert!(matches!(targets().check("https://exa[mple/"), Err(TargetError::Malformed(_))));
    }

    #[test]
    fn a_loop_is_seen_behind_other_spellings_of_our_address() {
        let targets = Targets::new(100, &["http://127.0.0.1:8080"]);
        for url in [
            "http://127.0.0.1:8080/",
            "http://2130706433:8080/x",
            "http://0x7f.1:8080/",
            "http://localhost:8080/",
            "http://LOCALHOST.:8080/",
            "http://[::1]:8080/",
            "http://[::ffff:127.0.0.1]:8080/",
            "http://0.0.0.0:8080/",
        ] {
            assert_eq!(targets.check(url), Err(TargetError::Loop), "{url}");
        }
        for url in ["http://127.0.0.1:9090/", "http://localhost/"] {
            assert!(targets.check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_redirect_checks_again() {
        assert!(is_safe("https://example.com/"));
        for url in ["javascript:alert(1)", "https://a\r\nb", "https://a\0", "https://ü/", ""] {
            assert!(!is_safe(url), "{url:?}");
        }
    }
}
