//! Checks that settings are sound and fit together.

use anyhow::{Context, bail, ensure};
use std::time::Duration;

use super::{Config, Design, ServeArgs, Switch, WarmDesign, Warmth};
use crate::cache::table::Capacity;
use crate::codes::{Key128, PUBLIC_DEFAULT_KEY};
use crate::creator::{CodeDesign, CreatorOptions, InsertDesign};
use crate::http::Proxies;
use crate::keygen::MOST_IDS;

/// No server that answers anyone needs more, and a typing error should not start a million threads.
const MOST_THREADS: usize = 1024;
const DEFAULT_CACHE_BYTES: usize = 256 << 20;
const A_DAY: u64 = 86_400;

impl ServeArgs {
    /// Checks the settings; each error names the flag and what would do.
    pub fn check(self) -> anyhow::Result<Config> {
        let creator = self.creator()?;
        let warmth = self.warmth();
        let capacity = self.capacity()?;
        let cache_max_age = self.cache_max_age()?;
        let redis_time_to_live = self.redis_time_to_live()?;
        let threads = self.threads()?;
        self.limits.check()?;
        ensure!(
            [301, 302, 307, 308].contains(&self.redirect_status),
            "--redirect-status {}: must be 301, 302, 307 or 308",
            self.redirect_status
        );
        let public_url = self.public_url.as_deref().map(check_public_url).transpose()?;
        check_database_url(&self.database_url)?;
        check_scheme(
            "--redis-url",
            self.redis_url.as_deref(),
            &["redis://", "rediss://", "unix://", "redis+unix://"],
        )?;
        check_scheme("--keygen-url", self.keygen_url.as_deref(), &["http://"])?;
        let api_key = self.api_key.or_else(|| std::env::var("PROOFLOAD_API_KEY").ok());
        let code_key = self.code_key.map_or_else(code_key_from_environment, Ok)?;
        ensure!(api_key.as_deref() != Some(""), "--api-key is empty: give a key, or leave the flag out");
        ensure!(
            self.rate_limit != Some(0),
            "--rate-limit 0 would refuse all writes: give at least 1, or leave it out"
        );
        Ok(Config {
            listen: self.listen,
            database_url: self.database_url,
            redis_url: self.redis_url,
            keygen_url: self.keygen_url,
            stack: self.stack,
            creator,
            warmth,
            capacity,
            cache_max_age,
            redis_time_to_live,
            threads,
            public_url,
            redirect_status: self.redirect_status,
            code_key,
            api_key,
            rate_limit: self.rate_limit,
            proxies: Proxies::new(self.trusted_proxies),
            limits: self.limits,
        })
    }

    fn creator(&self) -> anyhow::Result<CreatorOptions> {
        let (codes, insert, pool) = match self.design {
            Design::Before => (CodeDesign::Checked, InsertDesign::Single, 0),
            Design::After => (CodeDesign::Blocks, InsertDesign::Coalesced, 2_000),
        };
        ensure!(self.spacing_ms <= 1_000, "--spacing-ms {}: at most 1000", self.spacing_ms);
        let (least, most) = (self.block_ids, self.max_block_ids);
        ensure!((1..=MOST_IDS).contains(&most), "--max-block-ids {most}: 1 to {MOST_IDS}");
        ensure!((1..=most).contains(&least), "--block-ids {least}: 1 to --max-block-ids, {most}");
        Ok(CreatorOptions {
            codes: self.codes.unwrap_or(codes),
            insert: self.insert.unwrap_or(insert),
            pool: self.pool.unwrap_or(pool),
            spacing: Duration::from_millis(self.spacing_ms),
            queue_rows: self.limits.queue,
            block_ids: least..=most,
            patience: self.limits.store_timeout(),
            batch_rows: self.limits.batch,
            writers: self.limits.inserts,
            ..CreatorOptions::default()
        })
    }

    fn warmth(&self) -> Warmth {
        let (hot, random) = match self.design {
            Design::Before => (5_000, 0),
            Design::After => (25_000, 2_000),
        };
        match self.warm.unwrap_or(WarmDesign::Hot) {
            WarmDesign::None => Warmth { hot: 0, random: 0 },
            WarmDesign::Hot => {
                Warmth { hot: self.warm_hot.unwrap_or(hot), random: self.warm_random.unwrap_or(random) }
            }
        }
    }

    fn capacity(&self) -> anyhow::Result<Capacity> {
        let capacity = match self.cache_entries {
            Some(entries) => Capacity::Entries(entries),
            None => Capacity::Bytes(self.cache_bytes.unwrap_or(DEFAULT_CACHE_BYTES)),
        };
        ensure!(capacity != Capacity::Entries(0), "--cache-entries 0: give at least 1");
        ensure!(self.cache_bytes.is_none_or(|bytes| bytes >= 65_536), "--cache-bytes: give at least 64K");
        Ok(capacity)
    }

    fn cache_max_age(&self) -> anyhow::Result<Option<Duration>> {
        let Some(seconds) = self.cache_max_age else { return Ok(None) };
        ensure!((1..=A_DAY).contains(&seconds), "--cache-max-age {seconds}: give 1 to {A_DAY} (a day)");
        Ok(Some(Duration::from_secs(seconds)))
    }

    fn redis_time_to_live(&self) -> anyhow::Result<Option<Duration>> {
        let seconds = self.redis_ttl;
        ensure!((1..=A_DAY).contains(&seconds), "--redis-ttl {seconds}: give 1 to {A_DAY} (a day)");
        let by_design = match self.design {
            Design::Before => Switch::Off,
            Design::After => Switch::On,
        };
        let is_on = self.redis_values.unwrap_or(by_design) == Switch::On && self.redis_url.is_some();
        Ok(is_on.then(|| Duration::from_secs(seconds)))
    }

    fn threads(&self) -> anyhow::Result<usize> {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = self.threads.unwrap_or_else(cores);
        ensure!((1..=MOST_THREADS).contains(&threads), "--threads {threads}: give 1 to {MOST_THREADS}");
        Ok(threads)
    }
}

/// Secrets may come by the environment, since other users can read a command line.
fn code_key_from_environment() -> anyhow::Result<Key128> {
    match std::env::var("PROOFLOAD_CODE_KEY") {
        Ok(hex) => hex.parse().context("PROOFLOAD_CODE_KEY"),
        Err(_) => Ok(PUBLIC_DEFAULT_KEY),
    }
}

fn check_public_url(text: &str) -> anyhow::Result<String> {
    let trimmed = text.trim_end_matches('/');
    let url = url::Url::parse(trimmed)
        .with_context(|| format!("--public-url {text}: give one like https://sho.rt"))?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host() && plain,
        "--public-url {text}: give a scheme, a host and at most a path, like https://sho.rt"
    );
    Ok(trimmed.to_owned())
}

fn check_database_url(url: &str) -> anyhow::Result<()> {
    let known = ["postgres://", "postgresql://", "sqlite:"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        bail!("--database-url: give postgres://USER@HOST/DATABASE or sqlite:PATH");
    }
    Ok(())
}

fn check_scheme(flag: &str, url: Option<&str>, known: &[&str]) -> anyhow::Result<()> {
    let fits =
        url.is_none_or(|url| known.iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len()));
    ensure!(fits, "{flag} {}: must begin with {}", url.unwrap_or_default(), known.join(" or "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn config(flags: &[&str]) -> anyhow::Result<Config> {
        Line::parse_from([&["serve"], flags].concat()).serve.check()
    }

    #[test]
    fn designs_set_the_switches_and_each_may_be_given_apart() {
        let before = config(&["--design", "before"]).unwrap();
        assert_eq!(before.warmth, Warmth { hot: 5_000, random: 0 });
        assert_eq!(
            (before.creator.codes, before.creator.insert),
            (CodeDesign::Checked, InsertDesign::Single)
        );
        assert_eq!(before.creator.pool, 0);
        let after = config(&["--warm-hot", "10"]).unwrap();
        assert_eq!(after.warmth, Warmth { hot: 10, random: 2_000 });
        assert_eq!(
            (after.creator.codes, after.creator.insert),
            (CodeDesign::Blocks, InsertDesign::Coalesced)
        );
        assert!(config(&["--warm", "none"]).unwrap().warmth.is_none());
        assert_eq!(config(&["--cache-bytes", "64M"]).unwrap().capacity, Capacity::Bytes(64 << 20));
        assert_eq!(config(&["--cache-entries", "27000"]).unwrap().capacity, Capacity::Entries(27_000));
    }

    #[test]
    fn redis_holds_links_where_there_is_one_and_the_design_has_it() {
        let ttl = |flags: &[&str]| config(flags).unwrap().redis_time_to_live;
        let redis = ["--redis-url", "redis://localhost"];
        assert_eq!(ttl(&[]), None);
        assert_eq!(ttl(&redis), Some(Duration::from_secs(300)));
        assert_eq!(ttl(&[&redis[..], &["--design", "before"]].concat()), None);
        assert_eq!(ttl(&[&redis[..], &["--redis-values", "off"]].concat()), None);
    }

    #[test]
    fn bad_settings_name_the_flag_and_the_remedy() {
        let cases: &[(&[&str], &str)] = &[
            (&["--redirect-status", "303"], "--redirect-status 303: must be 301, 302, 307 or 308"),
            (
                &["--database-url", "mysql://x"],
                "--database-url: give postgres://USER@HOST/DATABASE or sqlite:PATH",
            ),
            (&["--redis-url", "http://x"], "--redis-url http://x: must begin with redis://"),
            (&["--public-url", "sho.rt"], "--public-url sho.rt: give one like https://sho.rt"),
            (&["--public-url", "ftp://sho.rt"], "--public-url ftp://sho.rt: give a scheme"),
            (&["--threads", "0"], "--threads 0: give 1 to 1024"),
            (&["--cache-entries", "0"], "--cache-entries 0: give at least 1"),
            (&["--max-head", "100"], "--max-head 100: at least 8192"),
            (&["--rate-limit", "0"], "--rate-limit 0 would refuse"),
            (&["--idle-timeout-ms", "0"], "--idle-timeout-ms 0: give 1"),
            (&["--cache-max-age", "0"], "--cache-max-age 0: give 1"),
            (&["--redis-ttl", "0"], "--redis-ttl 0: give 1"),
            (&["--max-queue", "0"], "--max-queue 0: give 1 to 10000000"),
            (&["--database-writers", "2000"], "--database-writers 2000: give 1 to 1000"),
        ];
        for (flags, said) in cases {
            let error = config(flags).unwrap_err().to_string();
            assert!(error.starts_with(said), "{flags:?}: {error}");
        }
    }
}
