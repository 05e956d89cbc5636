//! The links that a cache is warmed with.

use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::link::{custom, generated};
use super::links::{int, ints};
use super::statement::{Row, Sql, Statement, Value};
use super::{Key, Link, Result, Store, sql, unix_now};

impl Store {
    /// Hands the `limit` most clicked links to `sink`, most clicked first, as they stream in; returns how many.
    /// Links that were never clicked come last, the newest first. Expired links are left out.
    pub async fn hottest(&self, limit: usize, mut sink: impl FnMut(Link) + Send) -> Result<usize> {
        let now = unix_now();
        let customs = self.all(hot(sql::HOTTEST_CUSTOM, limit, now), custom).await?;
        let mut merge = Merge { customs: customs.into_iter().peekable(), left: limit, sink: &mut sink };
        for text in [sql::HOTTEST, sql::NEWEST_UNCLICKED] {
            let statement = hot(text, merge.left, now);
            if merge.left > 0 {
                self.run(&statement, &mut |row: &dyn Row| {
                    merge.generated(generated(row)?);
                    Ok(())
                })
                .await?;
            }
        }
        merge.finish();
        Ok(limit - merge.left)
    }

    /// Up to `limit` links drawn at random, without repetition; generated codes only. Neither order nor weights are
    /// exact: each is the next link at or above an evenly drawn id.
    pub async fn random(&self, limit: usize) -> Result<Vec<Link>> {
        let range = Statement::warm(sql::ID_RANGE, vec![]);
        let range = self.first(range, |row| Ok(row.maybe_int(0)?.zip(row.maybe_int(1)?))).await?.flatten();
        let Some((least, most)) = range else { return Ok(vec![]) };
        let mut rng = Pcg64::seed_from_u64(entropy());
        let points = (0..limit).map(|_| rng.random_range(least..=most).cast_unsigned());
        let table = Value::Table(vec![ints(points)]);
        let mut links = self.all(Statement::warm(sql::NEAREST, vec![table]), generated).await?;
        let (mut seen, now) = (HashSet::new(), unix_now());
        links.retain(|link| {
            let Key::Generated(id) = link.key else { return false };
            seen.insert(id) && link.expires.is_none_or(|expires| expires > now)
        });
        Ok(links)
    }
}

fn hot(text: Sql, limit: usize, now: i64) -> Statement<'static> {
    Statement::warm(text, vec![int(limit as u64), Value::Int(now)])
}

/// Merges the few custom links, which are at hand, into the stream of generated ones.
struct Merge<'a, S> {
    customs: std::iter::Peekable<std::vec::IntoIter<Link>>,
    left: usize,
    sink: &'a mut S,
}

impl<S: FnMut(Link)> Merge<'_, S> {
    fn generated(&mut self, link: Link) {
        while let Some(custom) = self.customs.next_if(|custom| custom.clicks > link.clicks) {
            self.hand_over(custom);
        }
        self.hand_over(link);
    }

    fn finish(&mut self) {
        while let Some(custom) = self.customs.next() {
            self.hand_over(custom);
        }
    }

    fn hand_over(&mut self, link: Link) {
        if self.left > 0 {
            self.left -= 1;
            (self.sink)(link);
        }
    }
}

/// A seed that differs at every call: the standard library keys its hash maps from the system's entropy.
pub(crate) fn entropy() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
