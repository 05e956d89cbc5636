//! Which peers are believed when they say who their client is.

use hyper::header::{HeaderMap, HeaderName};
use std::net::IpAddr;
use std::str::FromStr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The addresses that share the first `prefix` bits; IPv4 and IPv6 stand apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The networks of the proxies in front of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give an address or a network, like 10.0.0.7, 10.0.0.0/8 or fd00::/8")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).map_err(|_| NetworkError)?;
        // An IPv4 address in IPv6's clothes would never be found, since peers are compared without them.
        let is_plain = address.to_canonical() == address;
        (prefix <= longest && is_plain).then_some(Network { address, prefix }).ok_or(NetworkError)
    }
}

impl Proxies {
    pub fn new(networks: Vec<Network>) -> Proxies {
        Proxies(networks)
    }

    /// The client of a request that came from `peer`. Each proxy adds the address that it was asked from at the end of
    /// `X-Forwarded-For`, so the last one there that is no proxy of ours is the client's; what stands before it was said
    /// by the client, and may be anything. An entry that is no address says nothing: then the proxy that wrote it counts
    /// as the client.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trust(client) {
            return client;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
        for entry in entries {
            let Some(said) = address(entry) else { break };
            client = said;
            if !self.trust(client) {
                break;
            }
        }
        client
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// An address as proxies write them: some add a port, and brackets around IPv6.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let bare = || entry.parse::<IpAddr>().ok();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    bare().or_else(with_port).or_else(in_brackets).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn client(trusted: &[&str], peer: &str, lines: &[&[u8]]) -> String {
        let networks = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        Proxies::new(networks).client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn networks_are_what_their_prefix_says() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
        ] {
            assert!(contains(network, inside), "{inside} in {network}");
            assert!(!contains(network, outside), "{outside} in {network}");
        }
        for text in [
            "",
            "/8",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "proxy",
            "::ffff:10.0.0.0/104",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text:?}");
        }
    }

    #[test]
    fn a_peer_that_is_no_proxy_speaks_for_itself() {
        assert_eq!(client(&[], "10.0.0.1", &[b"203.0.113.9"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.2"], "10.0.0.1", &[b"203.0.113.9"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_clients() {
        let own: &[&str] = &["10.0.0.0/8", "fd00::/8"];
        for (lines, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 10.0.0.7,fd00::3", "203.0.113.9"),
            ("198.51.100.1|203.0.113.9|10.0.0.7", "203.0.113.9"),
            ("10.1.1.1, 203.0.113.9", "203.0.113.9"),
            ("2001:db8::9", "2001:db8::9"),
            ("[2001:db8::9]:4711", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("10.0.0.8, 10.0.0.7", "10.0.0.8"),
        ] {
            let split: Vec<&[u8]> = lines.split('|').map(str::as_bytes).collect();
            assert_eq!(client(own, "10.0.0.1", &split), expected, "{lines}");
        }
        assert_eq!(client(own, "::ffff:10.0.0.1", &[b"203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn what_is_no_address_is_nobodys() {
        let long = [b"203.0.113.9,".as_slice(), &b"x".repeat(10_000)].concat();
        for line in [
            b"" as &[u8],
            b",",
            b"203.0.113.9,",
            b"unknown",
            b"203.0.113.9, \xff\xfe",
            b"203.0.113.999",
            &long,
        ] {
            assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[line]), "10.0.0.1");
        }
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[b"203.0.113.9, ?, 10.0.0.7"]), "10.0.0.7");
    }
}
