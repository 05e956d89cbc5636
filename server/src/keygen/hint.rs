//! The Redis counter that proposes ids: `id_allocator:url:<stack>`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::Stack;
use crate::redis_client::RedisClient;
use crate::store::FURTHEST_HINT;

/// Sets the counter to the mark if it is behind it, so far ahead that the database refuses it, or no number.
const SET_TO_MARK: &str = "\
local counter = tonumber(redis.call('GET', KEYS[1]) or '0')
local mark = tonumber(ARGV[1])
if counter == nil or counter < mark or counter > mark + tonumber(ARGV[2]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1";

pub(super) struct Hint {
    redis: RedisClient,
    /// It answers, and did not count when it was last asked to: its user may not, or it can write no more.
    refuses: AtomicBool,
}

impl Hint {
    pub(super) fn new(url: &str, patience: Duration) -> anyhow::Result<Hint> {
        Ok(Hint { redis: RedisClient::new(url, patience)?, refuses: AtomicBool::new(false) })
    }

    /// Moves the counter on by `size` and returns where it stands; `None` if Redis does not answer, or refuses.
    pub(super) async fn advance(&self, stack: &Stack, size: u64) -> Option<u64> {
        let mut command = redis::cmd("INCRBY");
        command.arg(key(stack)).arg(size);
        let mut counted = self.redis.ask::<i64>(&command).await?;
        if counted.is_err() {
            // The key may hold something that cannot be counted on.
            self.set_to_mark(stack, 0).await;
            counted = self.redis.ask(&command).await?;
        }
        self.refuses.store(counted.is_err(), Relaxed);
        u64::try_from(counted.ok()?).ok()
    }

    /// Brings the counter to the database's mark.
    pub(super) async fn set_to_mark(&self, stack: &Stack, mark: u64) {
        let mut command = redis::cmd("EVAL");
        command.arg(SET_TO_MARK).arg(1).arg(key(stack)).arg(mark).arg(FURTHEST_HINT);
        let _ = self.redis.ask::<i64>(&command).await;
    }

    /// Whether Redis answered when it was last asked, and counted; true before the first time.
    pub(super) fn was_up(&self) -> bool {
        self.redis.is_up() && !self.refuses.load(Relaxed)
    }

    /// Asks now: whoever wants to know its health wants the present one.
    pub(super) async fn is_up(&self) -> bool {
        self.redis.ping().await && !self.refuses.load(Relaxed)
    }
}

fn key(stack: &Stack) -> String {
    format!("id_allocator:url:{stack}")
}
