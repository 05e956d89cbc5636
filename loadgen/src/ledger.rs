//! The ledger: every create that the client saw acknowledged, looked up in the store itself.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context, Result};
use proofload_reports::run::Ledger;
use proofload_server::codes::Codec;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

const ALL_LINKS: &str = "SELECT id, url FROM links";

/// A stored link as the database holds it, read without the server.
pub struct Stored {
    pub code: String,
    pub url: String,
}

/// Compares what was acknowledged with what is stored. `indeterminate` are URLs whose answer never came: they may
/// be stored, once.
pub fn reconcile(
    acknowledged: &[(String, String)],
    indeterminate: &[String],
    stored: impl IntoIterator<Item = Stored>,
    source: &str,
) -> Ledger {
    let mut expected: HashMap<&str, &str> = HashMap::with_capacity(acknowledged.len());
    let mut ledger = Ledger {
        acknowledged: acknowledged.len() as u64,
        indeterminate: indeterminate.len() as u64,
        source: source.to_owned(),
        ..Ledger::default()
    };
    for (code, url) in acknowledged {
        if expected.insert(code, url).is_some() {
            ledger.duplicates += 1;
        }
    }
    let mut open: HashMap<&str, u64> = HashMap::new();
    for url in indeterminate {
        *open.entry(url).or_default() += 1;
    }
    for link in stored {
        match expected.remove(link.code.as_str()) {
            Some(url) if url == link.url => ledger.present += 1,
            Some(_) => ledger.wrong += 1,
            None => match open.get_mut(link.url.as_str()) {
                Some(left) if *left > 0 => *left -= 1,
                _ => ledger.strangers += 1,
            },
        }
    }
    ledger.missing = expected.len() as u64;
    ledger
}

/// Reads every generated link straight from the database at `url`. The codec only turns ids into the codes that
/// the client saw; whether they collide is for the rows to say.
pub async fn read_store(url: &str, codec: &Codec) -> Result<Vec<Stored>> {
    const UNREADABLE: &str = "the database cannot be read back";
    let rows: Vec<(i64, String)> = if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url).context(UNREADABLE)?.disable_statement_logging();
        let mut connection = options.connect().await.context(UNREADABLE)?;
        sqlx::query_as(ALL_LINKS).fetch_all(&mut connection).await.context(UNREADABLE)?
    } else {
        let options = PgConnectOptions::from_str(url).context(UNREADABLE)?.disable_statement_logging();
        let mut connection = options.connect().await.context(UNREADABLE)?;
        sqlx::query_as(ALL_LINKS).fetch_all(&mut connection).await.context(UNREADABLE)?
    };
    Ok(rows.into_iter().map(|(id, url)| Stored { code: codec.encode(id as u64).to_string(), url }).collect())
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
        total
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(code: &str, url: &str) -> Stored {
        Stored { code: code.to_owned(), url: url.to_owned() }
    }

    fn pair(code: &str, url: &str) -> (String, String) {
        (code.to_owned(), url.to_owned())
    }

    #[test]
    fn every_kind_of_loss_is_told_apart() {
        let acknowledged = [pair("a", "1"), pair("b", "2"), pair("c", "3"), pair("c", "4")];
        let stored = [link("a", "1"), link("b", "other"), link("x", "9"), link("y", "5")];
        let ledger = reconcile(&acknowledged, &["5".to_owned()], stored, "test");
        assert_eq!((ledger.present, ledger.wrong, ledger.missing), (1, 1, 1));
        assert_eq!((ledger.duplicates, ledger.strangers, ledger.indeterminate), (1, 1, 1));
    }

    #[test]
    fn all_present_is_clean() {
        let acknowledged = [pair("a", "1"), pair("b", "2")];
        let ledger = reconcile(&acknowledged, &[], [link("b", "2"), link("a", "1")], "test");
        assert_eq!((ledger.present, ledger.missing, ledger.wrong, ledger.strangers), (2, 0, 0, 0));
    }
}
