//! The ledger: every create that the client saw acknowledged, looked up in the store itself.

use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::pin::Pin;
use std::str::FromStr;

use anyhow::{Context, Result};
use futures_core::Stream;
use proofload_reports::run::Ledger;
use proofload_server::codes::{Codec, SLOTS};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, FromRow};

use crate::spool::Spool;

const ALL_LINKS: &str = "SELECT id, url FROM links";
/// Those under codes that clients chose.
const ALL_CUSTOM: &str = "SELECT code, url FROM custom_links";
/// The links of each stack, and how many of them have an id below what it has leased; without a name, those of nobody's slot.
const BY_STACK: &str = "SELECT stack, COUNT(*), COUNT(CASE WHEN id / 256 < high THEN 1 END) \
     FROM links LEFT JOIN slots ON slot = id % 256 GROUP BY stack";
const _: () = assert!(SLOTS == 256, "what stands in the statement");

/// Codes that are compared at once: what of a long run is in memory.
const AT_ONCE: usize = 250_000;
/// Most parts that the codes are divided into: each has three files.
const MOST_PARTS: usize = 200;
/// What a part keeps in memory before it goes to disk.
const ROOM: usize = 16 << 10;

/// A stored link as the database holds it, read without the server.
pub struct Stored {
    pub code: String,
    pub url: String,
}

/// What was acknowledged and what is stored, in whatever order it is entered. Both are on disk, divided by their codes, so
/// that an hour's creates are compared in as much memory as a minute's.
pub struct Books {
    parts: Vec<Part>,
    ledger: Ledger,
    /// How often each URL was asked for by creates whose answer never came: it may be stored as often.
    open: HashMap<u64, u64>,
}

/// Codes with what their URLs hash to.
struct Part {
    acknowledged: Spool,
    deleted: Spool,
    stored: Spool,
}

impl Books {
    /// Books for about so many codes.
    pub fn for_about(codes: usize) -> Self {
        let spool = || Spool::with_room(ROOM);
        let part = |_| Part { acknowledged: spool(), deleted: spool(), stored: spool() };
        let parts = (codes / AT_ONCE + 1).min(MOST_PARTS);
        Self { parts: (0..parts).map(part).collect(), ledger: Ledger::default(), open: HashMap::new() }
    }

    /// A create that the client saw acknowledged.
    pub fn acknowledge(&mut self, code: &str, url: &str) {
        self.ledger.acknowledged += 1;
        self.part(code).acknowledged.push(hash(url), code);
    }

    /// A code that was acknowledged, and whose link was deleted since: the store must not hold it.
    pub fn forget(&mut self, code: &str) {
        self.part(code).deleted.push(0, code);
    }

    /// A create whose answer never came.
    pub fn doubt(&mut self, url: &str) {
        self.ledger.indeterminate += 1;
        *self.open.entry(hash(url)).or_default() += 1;
    }

    /// A link that the store holds.
    pub fn find(&mut self, link: &Stored) {
        self.part(&link.code).stored.push(hash(&link.url), &link.code);
    }

    fn part(&mut self, code: &str) -> &mut Part {
        let part = hash(code) % self.parts.len() as u64;
        &mut self.parts[part as usize]
    }

    /// Compares them, a part at a time. `source` is how the store was read.
    ///
    /// # Errors
    /// When there was no room for them on disk.
    pub fn close(self, source: &str) -> io::Result<Ledger> {
        let Self { parts, mut ledger, mut open } = self;
        for part in parts {
            [&part.acknowledged, &part.deleted, &part.stored].into_iter().try_for_each(Spool::whole)?;
            part.compare(&mut ledger, &mut open);
        }
        ledger.source = source.to_owned();
        Ok(ledger)
    }
}

impl Part {
    fn compare(&self, ledger: &mut Ledger, open: &mut HashMap<u64, u64>) {
        let mut expected: HashMap<String, u64> = HashMap::with_capacity(self.acknowledged.len());
        for (url, code) in self.acknowledged.iter() {
            if expected.insert(code, url).is_some() {
                ledger.duplicates += 1;
            }
        }
        for (_, code) in self.deleted.iter() {
            ledger.acknowledged -= u64::from(expected.remove(&code).is_some());
        }
        for (url, code) in self.stored.iter() {
            match expected.remove(&code) {
                Some(asked) if asked == url => ledger.present += 1,
                Some(_) => ledger.wrong += 1,
                None => match open.get_mut(&url) {
                    Some(left) if *left > 0 => *left -= 1,
                    _ => ledger.strangers += 1,
                },
            }
        }
        ledger.missing += expected.len() as u64;
    }
}

/// Two texts of a run have the same only once in a very long time.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Reads every link straight from the database at `url`, one after the other. The codec only turns ids into the codes that
/// the client saw; whether they collide is for the rows to say.
///
/// # Errors
/// When the database cannot be read.
pub async fn read_store(url: &str, codec: &Codec, mut each: impl FnMut(&Stored)) -> Result<()> {
    let code_of = |id: i64| codec.encode(id as u64).to_string();
    read_rows(url, ALL_LINKS, |(id, url)| each(&Stored { code: code_of(id), url })).await?;
    read_rows(url, ALL_CUSTOM, |(code, url)| each(&Stored { code, url })).await
}

/// Holds every row's id against what its slot's stack has leased in the database at `url`, and enters how many links each
/// stack has, and how many have an id that nobody leased.
///
/// # Errors
/// When the database cannot be read.
pub async fn hold_against_leases(url: &str, ledger: &mut Ledger) -> Result<()> {
    let mut all_unleased = 0;
    read_rows(url, BY_STACK, |(stack, links, leased): (Option<String>, i64, i64)| {
        all_unleased += (links - leased) as u64;
        if let Some(stack) = stack {
            ledger.stacks.insert(stack, links as u64);
        }
    })
    .await?;
    ledger.unleased = Some(all_unleased);
    Ok(())
}

/// Asks the database at `url`, of either kind, and hands its answer on row by row.
async fn read_rows<T>(url: &str, statement: &'static str, each: impl FnMut(T)) -> Result<()>
where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    const UNREADABLE: &str = "the database cannot be read back";
    if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url).context(UNREADABLE)?.disable_statement_logging();
        let mut connection = options.connect().await.context(UNREADABLE)?;
        drain(sqlx::query_as(statement).fetch(&mut connection), each).await.context(UNREADABLE)
    } else {
        let options = PgConnectOptions::from_str(url).context(UNREADABLE)?.disable_statement_logging();
        let mut connection = options.connect().await.context(UNREADABLE)?;
        drain(sqlx::query_as(statement).fetch(&mut connection), each).await.context(UNREADABLE)
    }
}

async fn drain<T>(
    mut rows: Pin<Box<dyn Stream<Item = sqlx::Result<T>> + Send + '_>>,
    mut each: impl FnMut(T),
) -> sqlx::Result<()> {
    while let Some(row) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
        each(row?);
    }
    Ok(())
}

/// One ledger for several stores.
pub fn sum(ledgers: impl IntoIterator<Item = Ledger>) -> Option<Ledger> {
    ledgers.into_iter().reduce(|mut total, one| {
        total.acknowledged += one.acknowledged;
        total.indeterminate += one.indeterminate;
        total.present += one.present;
        total.missing += one.missing;
        total.wrong += one.wrong;
        total.duplicates += one.duplicates;
        total.strangers += one.strangers;
        total.unleased = total.unleased.zip(one.unleased).map(|(a, b)| a + b);
        for (stack, links) in one.stacks {
            *total.stacks.entry(stack).or_default() += links;
        }
        total
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Books of many codes compare as those of a few do.
    fn compared(acknowledged: &[(&str, &str)], doubts: &[&str], stored: &[(&str, &str)]) -> Ledger {
        let of = |codes: usize| {
            let mut books = Books::for_about(codes);
            acknowledged.iter().for_each(|(code, url)| books.acknowledge(code, url));
            doubts.iter().for_each(|url| books.doubt(url));
            for (code, url) in stored {
                books.find(&Stored { code: (*code).to_owned(), url: (*url).to_owned() });
            }
            books.close("test").unwrap()
        };
        assert_eq!(of(1), of(AT_ONCE * 20));
        of(1)
    }

    #[test]
    fn every_kind_of_loss_is_told_apart() {
        let acknowledged = [("a", "1"), ("b", "2"), ("c", "3"), ("c", "4")];
        let stored = [("a", "1"), ("b", "other"), ("x", "9"), ("y", "5")];
        let ledger = compared(&acknowledged, &["5"], &stored);
        assert_eq!((ledger.present, ledger.wrong, ledger.missing), (1, 1, 1));
        assert_eq!((ledger.duplicates, ledger.strangers, ledger.indeterminate), (1, 1, 1));
        assert_eq!(ledger.acknowledged, 4);
    }

    #[test]
    fn all_present_is_clean() {
        let ledger = compared(&[("a", "1"), ("b", "2")], &[], &[("b", "2"), ("a", "1")]);
        assert_eq!((ledger.present, ledger.missing, ledger.wrong, ledger.strangers), (2, 0, 0, 0));
    }

    #[test]
    fn what_was_deleted_is_not_expected_and_strange_if_it_is_there() {
        for (stored, strangers) in [(&[("b", "2")][..], 0), (&[("a", "1"), ("b", "2")], 1)] {
            let mut books = Books::for_about(1);
            books.acknowledge("a", "1");
            books.acknowledge("b", "2");
            books.forget("a");
            for (code, url) in stored {
                books.find(&Stored { code: (*code).to_owned(), url: (*url).to_owned() });
            }
            let ledger = books.close("test").unwrap();
            assert_eq!((ledger.acknowledged, ledger.present, ledger.missing), (1, 1, 0));
            assert_eq!(ledger.strangers, strangers);
        }
    }

    #[test]
    fn a_doubt_explains_one_link_and_no_more() {
        let ledger = compared(&[], &["5", "6"], &[("x", "5"), ("y", "5")]);
        assert_eq!((ledger.strangers, ledger.indeterminate), (1, 2));
    }
}
