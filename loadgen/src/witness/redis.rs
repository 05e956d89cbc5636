//! Redis's own count of what it was asked.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use proofload_reports::run;
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use super::{Continued, Counters, Reading, Witness};

/// How long one reading may take.
const WITHIN: Duration = Duration::from_secs(5);

/// What is taken from `INFO stats`: its name there, and ours.
const COUNTS: [(&str, &str); 4] = [
    ("total_commands_processed", "redis.commands"),
    ("keyspace_hits", "redis.hits"),
    ("keyspace_misses", "redis.misses"),
    ("evicted_keys", "redis.evicted"),
];

/// Counts of one Redis, all of its databases: `redis.commands`, without this witness's own, `redis.hits` and
/// `redis.misses` of keys, and `redis.evicted` keys.
pub struct Redis {
    client: redis::Client,
    connection: Option<MultiplexedConnection>,
    counts: [Continued; COUNTS.len()],
    /// Commands of this witness that the present Redis has counted.
    own: u64,
}

impl Redis {
    /// # Errors
    /// If the URL is no URL of a Redis.
    pub fn of(url: &str) -> Result<Self> {
        let client = redis::Client::open(url).with_context(|| format!("{url} is no URL of a Redis"))?;
        Ok(Self { client, connection: None, counts: Default::default(), own: 0 })
    }

    async fn read_all(&mut self) -> Result<Counters> {
        let info = match timeout(WITHIN, self.info()).await {
            Ok(Ok(info)) => info,
            failed => {
                self.connection = None;
                failed.context("Redis did not answer in time")?.context("cannot read Redis's INFO")?
            }
        };
        let mut counters = Counters::new();
        for ((field, name), count) in COUNTS.iter().zip(&mut self.counts) {
            let Some(value) = field_of(&info, field) else { bail!("Redis's INFO has no {field}") };
            counters.insert((*name).to_owned(), count.advance(value));
        }
        // Redis counts a command once it is done, so an INFO holds those before it. What a connection sends to greet is
        // counted too, once a connection: it falls before the first reading.
        let commands = counters.entry("redis.commands".to_owned()).or_default();
        *commands = commands.saturating_sub(self.own);
        self.own += 1;
        Ok(counters)
    }

    async fn info(&mut self) -> Result<String> {
        if self.connection.is_none() {
            self.connection = Some(self.client.get_multiplexed_async_connection().await?);
        }
        let Some(connection) = &mut self.connection else { bail!("no connection") };
        Ok(redis::cmd("INFO").arg("stats").query_async(connection).await?)
    }
}

impl Witness for Redis {
    fn name(&self) -> &str {
        "redis"
    }

    fn about(&self) -> run::Witness {
        run::Witness { standing: run::Standing::Independent, source: "Redis's INFO stats".to_owned() }
    }

    fn read(&mut self) -> Reading<'_> {
        Box::pin(self.read_all())
    }
}

fn field_of(info: &str, field: &str) -> Option<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info = "# Stats\r\nkeyspace_hits_x:1\r\nkeyspace_hits:42\r\n";
        assert_eq!(field_of(info, "keyspace_hits"), Some(42));
        assert_eq!(field_of(info, "keyspace"), None);
    }
}
