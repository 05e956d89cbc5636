//! How often each client address may write: a token bucket for each.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Token buckets that fill at `per_second` and hold twice as much.
pub struct Rate {
    per_second: f64,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    by_client: HashMap<IpAddr, Bucket>,
    swept: Instant,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Full buckets are forgotten this often, so that clients that went away cost no memory.
const SWEEP: Duration = Duration::from_secs(2);
/// The most clients told apart; beyond this, newcomers are refused until the next sweep.
const MOST_CLIENTS: usize = 100_000;

impl Rate {
    pub fn new(per_second: u32, now: Instant) -> Self {
        let buckets = Buckets { by_client: HashMap::new(), swept: now };
        Self { per_second: f64::from(per_second), buckets: Mutex::new(buckets) }
    }

    /// Takes `cost` tokens, or says after how many seconds there will be enough. A cost above what a bucket holds
    /// takes all of a full one.
    pub fn take(&self, client: IpAddr, cost: usize, now: Instant) -> Result<(), u64> {
        let most = self.per_second * 2.0;
        let (client, cost) = (group(client), (cost as f64).min(most));
        let mut buckets = self.buckets.lock();
        buckets.sweep(now);
        if buckets.by_client.len() >= MOST_CLIENTS && !buckets.by_client.contains_key(&client) {
            return Err(SWEEP.as_secs());
        }
        let bucket = buckets.by_client.entry(client).or_insert(Bucket { tokens: most, filled: now });
        bucket.fill(self.per_second, now);
        if bucket.tokens < cost {
            return Err(((cost - bucket.tokens) / self.per_second).ceil() as u64);
        }
        bucket.tokens -= cost;
        Ok(())
    }
}

impl Buckets {
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        // A bucket that was not touched for a whole sweep has had the time to fill up.
        self.by_client.retain(|_, bucket| now.saturating_duration_since(bucket.filled) < SWEEP);
    }
}

impl Bucket {
    fn fill(&mut self, per_second: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * per_second).min(per_second * 2.0);
        self.filled = now;
    }
}

/// One IPv6 client commands at least a /64, so all of it shares a bucket.
fn group(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_burst_and_then_its_rate() {
        let start = Instant::now();
        let rate = Rate::new(10, start);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!((0..20).all(|_| rate.take(one, 1, start).is_ok()));
        assert_eq!(rate.take(one, 1, start), Err(1));
        assert!(rate.take(other, 1, start).is_ok());
        let later = start + Duration::from_millis(250);
        assert!(rate.take(one, 1, later).is_ok() && rate.take(one, 1, later).is_ok());
        assert!(rate.take(one, 1, later).is_err());
        let much_later = start + Duration::from_secs(10);
        assert!(rate.take(one, 1_000, much_later).is_ok());
        assert_eq!(rate.take(one, 20, much_later), Err(2));
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_client() {
        let start = Instant::now();
        let rate = Rate::new(1, start);
        let at = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        assert!(rate.take(at(1), 2, start).is_ok());
        assert!(rate.take(at(2), 1, start).is_err());
    }
}
