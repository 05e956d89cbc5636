//! The Redis counter that proposes ids: `id_allocator:url:<stack>`.

use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use super::Stack;
use super::breaker::Breaker;
use crate::store::FURTHEST_HINT;

/// How long Redis may take to connect or to answer before the database decides alone.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sets the counter to the mark if it is behind it, so far ahead that the database refuses it, or no number.
const SET_TO_MARK: &str = "\
local counter = tonumber(redis.call('GET', KEYS[1]) or '0')
local mark = tonumber(ARGV[1])
if counter == nil or counter < mark or counter > mark + tonumber(ARGV[2]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1";

pub(super) struct Hint {
    client: redis::Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    breaker: Breaker,
}

impl Hint {
    pub(super) fn new(url: &str) -> anyhow::Result<Hint> {
        let client = redis::Client::open(url).with_context(|| format!("Redis URL {url:?}"))?;
        Ok(Hint { client, connection: Mutex::default(), breaker: Breaker::default() })
    }

    /// Moves the counter on by `size` and returns where it stands; `None` if Redis does not answer.
    pub(super) async fn advance(&self, stack: &Stack, size: u64) -> Option<u64> {
        let mut command = redis::cmd("INCRBY");
        command.arg(key(stack)).arg(size);
        match self.ask::<i64>(&command).await? {
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
        let _ = self.ask::<i64>(&command).await;
    }

    pub(super) fn is_up(&self) -> bool {
        self.breaker.is_closed()
    }

    /// `None` where Redis cannot be reached in time or was just found so; an inner error where it refuses.
    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Option<redis::RedisResult<T>> {
        if !self.breaker.allows(Instant::now()) {
            return None;
        }
        let answer = async { command.query_async::<T>(&mut self.connected().await?).await };
        match tokio::time::timeout(PATIENCE * 2, answer).await {
            Ok(Ok(value)) => {
                self.breaker.worked();
                Some(Ok(value))
            }
            Ok(Err(error))
                if error.kind() == redis::ErrorKind::UnexpectedReturnType || error.code().is_some() =>
            {
                Some(Err(error))
            }
            Ok(Err(_)) | Err(_) => {
                *self.connection.lock() = None;
                self.breaker.failed(Instant::now());
                None
            }
        }
    }

    async fn connected(&self) -> redis::RedisResult<MultiplexedConnection> {
        if let Some(connection) = &*self.connection.lock() {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }
}

fn key(stack: &Stack) -> String {
    format!("id_allocator:url:{stack}")
}
