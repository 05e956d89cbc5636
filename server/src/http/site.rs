//! What all connections share.

use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use super::body::Room;
use super::problem::Problem;
use super::proxies::Proxies;
use super::rate::Rate;
use crate::config::{Config, Limits};
use crate::health::Health;
use crate::shortener::Shortener;
use crate::warmer::Warmer;

pub struct Site {
    pub shortener: Arc<Shortener>,
    pub warmer: Arc<Warmer>,
    pub health: Health,
    pub limits: Limits,
    pub redirect_status: StatusCode,
    /// Permanent redirects are kept by browsers for good unless they are told otherwise.
    pub redirect_cache_control: Option<HeaderValue>,
    pub started: Instant,
    api_key: Option<String>,
    rate: Option<Rate>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Proxies,
    /// For request bodies on their way.
    pub room: Room,
    draining: AtomicBool,
}

impl Site {
    pub fn new(config: &Config, shortener: Arc<Shortener>, warmer: Arc<Warmer>, health: Health) -> Arc<Self> {
        let status = StatusCode::from_u16(config.redirect_status).expect("was checked with the settings");
        let is_permanent = [301, 308].contains(&config.redirect_status);
        Arc::new(Self {
            shortener,
            warmer,
            health,
            limits: config.limits.clone(),
            redirect_status: status,
            redirect_cache_control: is_permanent.then(|| HeaderValue::from_static("private, max-age=60")),
            started: Instant::now(),
            api_key: config.api_key.clone(),
            rate: config.rate_limit.map(|limit| Rate::new(limit, config.limits.rate_clients, Instant::now())),
            proxies: config.proxies.clone(),
            room: Room::new(config.limits.body_memory),
            draining: AtomicBool::new(false),
        })
    }

    /// From now on each answer ends its connection.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Whether who has this key may write at all.
    pub fn authorize(&self, key: Option<&HeaderValue>) -> Result<(), Problem> {
        match self.api_key.as_ref().is_none_or(|right| key.is_some_and(|given| is_bearer(given, right))) {
            true => Ok(()),
            false => Err(Problem::unauthorized().closing()),
        }
    }

    /// Whether this client may write now: `cost` is how many links.
    pub fn admit(&self, key: Option<&HeaderValue>, client: IpAddr, cost: usize) -> Result<(), Problem> {
        self.authorize(key)?;
        match &self.rate {
            Some(rate) => rate.take(client, cost, Instant::now()).map_err(Problem::too_many_requests),
            None => Ok(()),
        }
    }
}

/// Compares in a time that does not depend on where the texts differ, so that a key cannot be guessed bit by bit.
fn is_bearer(given: &HeaderValue, right: &str) -> bool {
    let Some((scheme, given)) = given.as_bytes().split_at_checked(b"Bearer ".len()) else { return false };
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return false;
    }
    let differing = given.iter().zip(right.as_bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == right.len() && std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_opens() {
        let is = |text: &'static str| is_bearer(&HeaderValue::from_static(text), "secret");
        assert!(is("Bearer secret") && is("bearer secret"));
        for wrong in ["Bearer secreT", "Bearer secre", "Bearer secrets", "Bearer ", "secret", "Basic secret"]
        {
            assert!(!is(wrong), "{wrong}");
        }
    }
}
