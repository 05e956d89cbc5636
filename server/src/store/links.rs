//! Reading, inserting and changing links.

use super::backend::Backend;
use super::link::{custom, generated};
use super::statement::{Column, Row, Sql, Statement, Value};
use super::{Key, Kind, Link, NewRow, Patch, Result, Store, StoreError, sql};

/// Times a batch of clicks is sent again after it lost against another process's.
const CLICK_TRIES: usize = 5;

impl Store {
    pub async fn find(&self, key: &Key) -> Result<Option<Link>> {
        match key {
            Key::Generated(id) => {
                let find = Statement::read(Kind::Select, sql::FIND, vec![int(*id)]);
                self.first(find, generated).await
            }
            Key::Custom(code) => {
                let find = Statement::read(Kind::Select, sql::FIND_CUSTOM, vec![Value::Text(code)]);
                self.first(find, custom).await
            }
        }
    }

    /// The links there are among `ids`, in no order.
    pub async fn find_many(&self, ids: &[u64]) -> Result<Vec<Link>> {
        let table = Value::Table(vec![ints(ids.iter().copied())]);
        self.all(Statement::read(Kind::Select, sql::FIND_MANY, vec![table]), generated).await
    }

    /// Whether a link stands under `key`: the uniqueness check that `checked` codes pay for each create.
    pub async fn is_taken(&self, key: &Key) -> Result<bool> {
        let check = match key {
            Key::Generated(id) => Statement::read(Kind::Uniqueness, sql::IS_TAKEN, vec![int(*id)]),
            Key::Custom(code) => {
                Statement::read(Kind::Uniqueness, sql::IS_CUSTOM_TAKEN, vec![Value::Text(code)])
            }
        };
        Ok(self.first(check, |_| Ok(())).await?.is_some())
    }

    /// Inserts one row by a statement of its own; false if its id is taken.
    pub async fn insert(&self, row: &NewRow) -> Result<bool> {
        let values = vec![
            int(row.id),
            Value::Text(&row.url),
            Value::Int(row.created),
            Value::MaybeInt(row.expires),
            int(row.clicks),
        ];
        Ok(self.execute(Statement::write(Kind::Insert, sql::INSERT, values)).await? == 1)
    }

    /// Inserts all rows by one statement, and returns after it is committed. Where an id is taken nothing is inserted, and
    /// the error is [`StoreError::Taken`].
    pub async fn insert_all(&self, rows: &[&NewRow]) -> Result<()> {
        self.execute(Statement::write(Kind::Insert, sql::INSERT_ALL, vec![table(rows)])).await.map(drop)
    }

    /// Inserts by one statement the rows whose ids are free, and returns these ids after it is committed.
    pub async fn insert_free(&self, rows: &[&NewRow]) -> Result<Vec<u64>> {
        let insert = Statement::write(Kind::Insert, sql::INSERT_FREE, vec![table(rows)]);
        self.all(insert, |row| Ok(row.int(0)?.cast_unsigned())).await
    }

    /// Inserts a link under a custom code; false if the code is taken.
    pub async fn insert_custom(
        &self,
        code: &str,
        url: &str,
        created: i64,
        expires: Option<i64>,
        clicks: u64,
    ) -> Result<bool> {
        let values = vec![
            Value::Text(code),
            Value::Text(url),
            Value::Int(created),
            Value::MaybeInt(expires),
            int(clicks),
        ];
        Ok(self.execute(Statement::write(Kind::Insert, sql::INSERT_CUSTOM, values)).await? == 1)
    }

    /// Changes what `patch` names and returns the link as it is afterwards; `None` where there is none.
    pub async fn update(&self, key: &Key, patch: &Patch) -> Result<Option<Link>> {
        let rest = [
            Value::MaybeText(patch.url.as_deref()),
            Value::Int(patch.expires.is_some().into()),
            Value::MaybeInt(patch.expires.flatten()),
        ];
        match key {
            Key::Generated(id) => {
                let values = [int(*id)].into_iter().chain(rest).collect();
                self.first(Statement::write(Kind::Update, sql::UPDATE, values), generated).await
            }
            Key::Custom(code) => {
                let values = [Value::Text(code)].into_iter().chain(rest).collect();
                self.first(Statement::write(Kind::Update, sql::UPDATE_CUSTOM, values), custom).await
            }
        }
    }

    /// Whether there was a link to delete. After a connection that died half way the delete is repeated, and may then
    /// report false for a link that it deleted the first time.
    pub async fn delete(&self, key: &Key) -> Result<bool> {
        let delete = match key {
            Key::Generated(id) => Statement::write(Kind::Delete, sql::DELETE, vec![int(*id)]),
            Key::Custom(code) => Statement::write(Kind::Delete, sql::DELETE_CUSTOM, vec![Value::Text(code)]),
        };
        Ok(self.execute(delete).await? > 0)
    }

    /// How many links' clicks to add by one statement: SQLite's one writer is not to be held for long.
    pub fn clicks_at_once(&self) -> usize {
        match self.inner.backend {
            Backend::Postgres(_) => 4_096,
            Backend::Sqlite(_) => 1_024,
        }
    }

    /// Adds to click counts, and returns how many clicks were added: those of links that are gone are not. One statement
    /// for generated and one for custom codes, where there are any; where there are both, an error may mean that the
    /// first took effect. A key may stand in `clicks` several times.
    pub async fn add_clicks(&self, clicks: &[(Key, u64)]) -> Result<u64> {
        let mut ids = Vec::new();
        let mut codes = Vec::new();
        for (key, clicks) in clicks {
            match key {
                Key::Generated(id) => ids.push((*id, *clicks)),
                Key::Custom(code) => codes.push((&**code, *clicks)),
            }
        }
        // Sorted, so that processes that flush at the same time lock rows in the same order.
        let (ids, codes) = (summed(ids), summed(codes));
        // PostgreSQL says how many clicks it added, SQLite whose.
        let is_summed = matches!(self.inner.backend, Backend::Postgres(_));
        let mut added = 0;
        if !ids.is_empty() {
            let ids_and_clicks =
                || vec![ints(ids.iter().map(|click| click.0)), ints(ids.iter().map(|click| click.1))];
            let count = |row: &dyn Row| {
                let told = row.int(0)?.cast_unsigned();
                Ok(if is_summed { told } else { clicks_of(&ids, &told) })
            };
            added += self.add(sql::ADD_CLICKS, ids_and_clicks, count).await?;
        }
        if !codes.is_empty() {
            let codes_and_clicks = || {
                let texts = Column::Texts(codes.iter().map(|click| click.0).collect());
                vec![texts, ints(codes.iter().map(|click| click.1))]
            };
            let count = |row: &dyn Row| match is_summed {
                true => Ok(row.int(0)?.cast_unsigned()),
                false => Ok(clicks_of(&codes, &row.text(0)?)),
            };
            added += self.add(sql::ADD_CUSTOM_CLICKS, codes_and_clicks, count).await?;
        }
        Ok(added)
    }

    async fn add<'a>(
        &self,
        text: Sql,
        table: impl Fn() -> Vec<Column<'a>>,
        count: impl Fn(&dyn Row) -> sqlx::Result<u64> + Sync,
    ) -> Result<u64> {
        let mut tries = 1;
        loop {
            let mut added = 0;
            let mut sink = |row: &dyn Row| {
                added += count(row)?;
                Ok(())
            };
            let add = Statement::write(Kind::Clicks, text, vec![Value::Table(table())]);
            match self.run(&add, &mut sink).await {
                Err(StoreError::Contended(_)) if tries < CLICK_TRIES => tries += 1,
                outcome => return outcome.map(|_| added),
            }
        }
    }
}

fn table<'a>(rows: &[&'a NewRow]) -> Value<'a> {
    Value::Table(vec![
        ints(rows.iter().map(|row| row.id)),
        Column::Texts(rows.iter().map(|row| row.url.as_str()).collect()),
        Column::Ints(rows.iter().map(|row| row.created).collect()),
        Column::MaybeInts(rows.iter().map(|row| row.expires).collect()),
        ints(rows.iter().map(|row| row.clicks)),
    ])
}

/// The clicks of one key among those that are sorted by key.
fn clicks_of<K: Ord>(clicks: &[(K, u64)], key: &K) -> u64 {
    clicks.binary_search_by(|click| click.0.cmp(key)).map_or(0, |at| clicks[at].1)
}

/// The sum for each key, in the keys' order: a statement that finds a row twice would add to it once.
fn summed<K: Ord>(mut clicks: Vec<(K, u64)>) -> Vec<(K, u64)> {
    clicks.sort_unstable();
    clicks.dedup_by(|again, first| {
        let same = again.0 == first.0;
        if same {
            first.1 = first.1.saturating_add(again.1);
        }
        same
    });
    clicks
}

/// Ids and counts fit: they are below 2^63.
pub(super) fn int(value: u64) -> Value<'static> {
    Value::Int(value.cast_signed())
}

pub(super) fn ints(values: impl Iterator<Item = u64>) -> Column<'static> {
    Column::Ints(values.map(u64::cast_signed).collect())
}
