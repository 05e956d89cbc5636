//! A Redis that may be away: every wait is bounded, and one that failed is left alone for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisResult};
use tokio::sync::Mutex;

use crate::breaker::Breaker;

/// One connection that all share, made when it is first needed and again after it failed.
pub struct RedisClient {
    client: redis::Client,
    line: Mutex<Line>,
    moved: AtomicBool,
    breaker: Breaker,
    patience: Duration,
}

/// The connection, and what the one before led to.
#[derive(Default)]
struct Line {
    connected: Option<Connected>,
    was_connected: bool,
    last_run: Option<Run>,
}

#[derive(Clone)]
struct Connected {
    connection: MultiplexedConnection,
    run: Option<Run>,
}

/// Which run of a Redis server this is. Another one may have lost, or found again, any of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run(Arc<str>);

impl Run {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RedisClient {
    /// Checks the URL and does not connect yet. `patience` is how long a call may take, connecting included.
    pub fn new(url: &str, patience: Duration) -> anyhow::Result<RedisClient> {
        let client = redis::Client::open(url).with_context(|| format!("Redis URL {url:?}"))?;
        Ok(RedisClient {
            client,
            line: Mutex::default(),
            moved: AtomicBool::default(),
            breaker: Breaker::default(),
            patience,
        })
    }

    /// `None` where Redis cannot be reached in time or was just found so; an inner error where it refuses.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<RedisResult<T>> {
        if !self.breaker.allows(Instant::now()) {
            return None;
        }
        self.insist_on(command).await
    }

    /// As [`RedisClient::ask`], even where Redis was just found away: for what must not be left out.
    pub async fn insist_on<T: FromRedisValue>(&self, command: &Cmd) -> Option<RedisResult<T>> {
        let answer = async { command.query_async(&mut self.connected().await?.connection).await };
        self.bounded(answer).await
    }

    /// As [`RedisClient::ask`], with a command that depends on the server's run; `None` where that is unknown too.
    pub async fn ask_run<T: FromRedisValue>(
        &self,
        command: impl FnOnce(&Run) -> Cmd,
    ) -> Option<RedisResult<T>> {
        if !self.breaker.allows(Instant::now()) {
            return None;
        }
        self.insist(command).await
    }

    /// As [`RedisClient::ask_run`], even where Redis was just found away: for what must not be left out.
    pub async fn insist<T: FromRedisValue>(
        &self,
        command: impl FnOnce(&Run) -> Cmd,
    ) -> Option<RedisResult<T>> {
        let answer = async {
            let mut connected = self.connected().await?;
            match &connected.run {
                Some(run) => command(run).query_async(&mut connected.connection).await.map(Some),
                None => Ok(None),
            }
        };
        self.bounded(answer).await?.transpose()
    }

    pub fn is_up(&self) -> bool {
        self.breaker.is_closed()
    }

    /// Whether a connection led to another run than the one before it, or may have, since [`RedisClient::take_move`]: what was
    /// said there, others may not have heard who were here already.
    pub fn has_moved(&self) -> bool {
        self.moved.load(Relaxed)
    }

    pub fn take_move(&self) -> bool {
        self.moved.swap(false, Relaxed)
    }

    /// Gives the connection up; the next is as the first.
    pub async fn leave(&self) {
        *self.line.lock().await = Line::default();
    }

    /// Asks whether it is there and lets us in, even where it was just found away.
    pub async fn ping(&self) -> bool {
        let answer = async { redis::cmd("PING").exec_async(&mut self.connected().await?.connection).await };
        matches!(self.bounded(answer).await, Some(Ok(())))
    }

    async fn bounded<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Option<RedisResult<T>> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(value)) => {
                self.breaker.worked();
                Some(Ok(value))
            }
            Ok(Err(error)) if is_answer(&error) => Some(Err(error)),
            Ok(Err(_)) | Err(_) => {
                self.breaker.failed(Instant::now());
                // Where it is locked, someone makes a new connection already.
                if let Ok(mut line) = self.line.try_lock() {
                    line.connected = None;
                }
                None
            }
        }
    }

    /// Of many that find no connection one makes it, and the others wait for that.
    async fn connected(&self) -> RedisResult<Connected> {
        let mut line = self.line.lock().await;
        if let Some(connected) = &line.connected {
            return Ok(connected.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let run = match redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await {
            Ok(info) => run_of(&info),
            Err(error) if is_answer(&error) => None,
            Err(error) => return Err(error),
        };
        self.moved.fetch_or(line.note(run.as_ref()), Relaxed);
        Ok(line.connected.insert(Connected { connection, run }).clone())
    }
}

impl Line {
    /// Notes where it leads now; says whether that may be elsewhere than before.
    fn note(&mut self, run: Option<&Run>) -> bool {
        let is_the_same = run.is_some() && self.last_run.as_ref() == run;
        self.last_run = run.cloned();
        std::mem::replace(&mut self.was_connected, true) && !is_the_same
    }
}

/// Redis is there, and refuses.
fn is_answer(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::UnexpectedReturnType || error.code().is_some()
}

fn run_of(info: &str) -> Option<Run> {
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?.trim();
    (!id.is_empty()).then(|| Run(id.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_is_a_move_and_so_is_one_that_is_unknown() {
        let [here, there] = ["a", "b"].map(|id| Run(id.into()));
        let mut line = Line::default();
        let led =
            [Some(&here), Some(&here), Some(&there), Some(&there), None, None, Some(&here), Some(&here)];
        let moved = led.map(|run| line.note(run));
        assert_eq!(moved, [false, false, true, false, true, true, true, false]);
    }
}
