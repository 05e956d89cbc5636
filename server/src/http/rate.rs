//! How often each client address may write: a token bucket for each.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Token buckets that fill at `per_second` and hold twice as much.
pub struct Rate {
    per_second: f64,
    /// The most clients told apart; beyond these, newcomers are refused until the next sweep.
    clients: usize,
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

impl Rate {
    pub fn new(per_second: u32, clients: usize, now: Instant) -> Self {
        let buckets = Buckets { by_client: HashMap::new(), swept: now };
        Self { per_second: f64::from(per_second), clients, buckets: Mutex::new(buckets) }
    }

    /// Takes `cost` tokens, at least one, or says after how many seconds there will be enough. A cost above what a
    /// bucket holds takes a full one, and the rest as a debt that is paid before anything else is let in.
    pub fn take(&self, client: IpAddr, cost: usize, now: Instant) -> Result<(), u64> {
        let most = self.per_second * 2.0;
        let (client, cost) = (group(client), (cost as f64).max(1.0));
        let needed = cost.min(most);
        let mut buckets = self.buckets.lock();
        buckets.sweep(self.per_second, now);
        if buckets.by_client.len() >= self.clients && !buckets.by_client.contains_key(&client) {
            return Err(SWEEP.as_secs());
        }
        let bucket = buckets.by_client.entry(client).or_insert(Bucket { tokens: most, filled: now });
        bucket.fill(self.per_second, now);
        if bucket.tokens < needed {
            return Err(((needed - bucket.tokens) / self.per_second).ceil() as u64);
        }
        bucket.tokens -= cost;
        Ok(())
    }
}

impl Buckets {
    fn sweep(&mut self, per_second: f64, now: Instant) {
        if now.saturating_duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        self.by_client.retain(|_, bucket| !bucket.would_be_full(per_second, now));
    }
}

impl Bucket {
    fn fill(&mut self, per_second: f64, now: Instant) {
        self.tokens = self.tokens_at(per_second, now).min(per_second * 2.0);
        self.filled = now;
    }

    /// Whether it says no more than a new one: a debt outlasts the client's silence.
    fn would_be_full(&self, per_second: f64, now: Instant) -> bool {
        self.tokens_at(per_second, now) >= per_second * 2.0
    }

    fn tokens_at(&self, per_second: f64, now: Instant) -> f64 {
        self.tokens + now.saturating_duration_since(self.filled).as_secs_f64() * per_second
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
        let rate = Rate::new(10, 100, start);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!((0..20).all(|_| rate.take(one, 1, start).is_ok()));
        assert_eq!(rate.take(one, 1, start), Err(1));
        assert!(rate.take(other, 1, start).is_ok());
        let later = start + Duration::from_millis(250);
        assert!(rate.take(one, 1, later).is_ok() && rate.take(one, 1, later).is_ok());
        assert!(rate.take(one, 1, later).is_err());
        let much_later = start + Duration::from_secs(10);
        assert!(rate.take(one, 20, much_later).is_ok());
        assert_eq!(rate.take(one, 20, much_later), Err(2));
    }

    #[test]
    fn many_at_once_are_paid_for_before_the_next() {
        let start = Instant::now();
        let rate = Rate::new(10, 100, start);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!(rate.take(one, 1_000, start).is_ok());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.take(one, 1, after(50)), Err(49));
        // Buckets are swept meanwhile, and the debt is remembered.
        assert!(rate.take(other, 1, after(60)).is_ok());
        assert!(rate.take(one, 1, after(98)).is_err());
        assert!(rate.take(one, 1, after(99)).is_ok());
    }

    #[test]
    fn so_many_clients_are_told_apart_and_no_more() {
        let start = Instant::now();
        let rate = Rate::new(1, 2, start);
        let at = |host| IpAddr::from([10, 0, 0, host]);
        assert!(rate.take(at(1), 1, start).is_ok() && rate.take(at(2), 1, start).is_ok());
        assert_eq!(rate.take(at(3), 1, start), Err(2));
        assert!(rate.take(at(1), 1, start).is_ok(), "those that are known go on");
        assert!(rate.take(at(3), 1, start + SWEEP).is_ok(), "the others were silent, and are forgotten");
    }

    #[test]
    fn nothing_at_all_costs_as_much_as_one() {
        let start = Instant::now();
        let rate = Rate::new(1, 100, start);
        let one = IpAddr::from([10, 0, 0, 1]);
        assert!(rate.take(one, 0, start).is_ok() && rate.take(one, 0, start).is_ok());
        assert!(rate.take(one, 0, start).is_err());
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_client() {
        let start = Instant::now();
        let rate = Rate::new(1, 100, start);
        let at = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        assert!(rate.take(at(1), 2, start).is_ok());
        assert!(rate.take(at(2), 1, start).is_err());
    }
}
