//! The Redis counter that proposes ids: `id_allocator:url:<stack>`.

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

pub(super) struct Hint(RedisClient);

impl Hint {
    pub(super) fn new(url: &str, patience: Duration) -> anyhow::Result<Hint> {
        RedisClient::new(url, patience).map(Hint)
    }

    /// Moves the counter on by `size` and returns where it stands; `None` if Redis does not answer.
    pub(super) async fn advance(&self, stack: &Stack, size: u64) -> Option<u64> {
        let mut command = redis::cmd("INCRBY");
        command.arg(key(stack)).arg(size);
        match self.0.ask::<i64>(&command).await? {
            Ok(end) => u64::try_from(end).ok(),
            Err(_) => {
                // The key holds something that cannot be counted on: put it right for the next time.
                self.set_to_mark(stack, 0).await;
                None
            }
        }
    }

    /// Brings the counter to the database's mark.
    pub(super) async fn set_to_mark(&self, stack: &Stack, mark: u64) {
        let mut command = redis::cmd("EVAL");
        command.arg(SET_TO_MARK).arg(1).arg(key(stack)).arg(mark).arg(FURTHEST_HINT);
        let _ = self.0.ask::<i64>(&command).await;
    }

    /// Whether Redis answered when it was last asked; true before the first time.
    pub(super) fn was_up(&self) -> bool {
        self.0.is_up()
    }

    /// Asks now: whoever wants to know its health wants the present one.
    pub(super) async fn is_up(&self) -> bool {
        self.0.ping().await
    }
}

fn key(stack: &Stack) -> String {
    format!("id_allocator:url:{stack}")
}
