//! One statement as both databases understand it: its text, its values, and the rows that come back.

use super::Kind;

/// The text of a statement, where the two dialects agree and where they do not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sql {
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

impl Sql {
    pub(super) const fn same(text: &'static str) -> Sql {
        Sql { postgres: text, sqlite: text }
    }

    pub(super) const fn pair(postgres: &'static str, sqlite: &'static str) -> Sql {
        Sql { postgres, sqlite }
    }
}

/// Which of a store's connections a statement goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Read,
    /// Many links at once, to warm a cache with.
    Warm,
    Write,
}

#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) kind: Kind,
    pub(super) lane: Lane,
    pub(super) sql: Sql,
    pub(super) values: Vec<Value<'a>>,
}

impl<'a> Statement<'a> {
    pub(super) fn read(kind: Kind, sql: Sql, values: Vec<Value<'a>>) -> Statement<'a> {
        Statement { kind, lane: Lane::Read, sql, values }
    }

    pub(super) fn warm(sql: Sql, values: Vec<Value<'a>>) -> Statement<'a> {
        Statement { kind: Kind::Warm, lane: Lane::Warm, sql, values }
    }

    pub(super) fn write(kind: Kind, sql: Sql, values: Vec<Value<'a>>) -> Statement<'a> {
        Statement { kind, lane: Lane::Write, sql, values }
    }
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(&'a str),
    MaybeText(Option<&'a str>),
    /// Columns of equal length: as many array parameters on PostgreSQL, one parameter with a JSON array of rows on
    /// SQLite. Either way the text of the statement does not depend on the number of rows, and is prepared once.
    Table(Vec<Column<'a>>),
}

#[derive(Debug)]
pub(super) enum Column<'a> {
    Ints(Vec<i64>),
    MaybeInts(Vec<Option<i64>>),
    Texts(Vec<&'a str>),
}

impl Column<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Column::Ints(values) => values.len(),
            Column::MaybeInts(values) => values.len(),
            Column::Texts(values) => values.len(),
        }
    }
}

/// A row of either database.
pub(super) trait Row {
    fn int(&self, column: usize) -> sqlx::Result<i64>;
    fn maybe_int(&self, column: usize) -> sqlx::Result<Option<i64>>;
    fn text(&self, column: usize) -> sqlx::Result<&str>;
    fn maybe_text(&self, column: usize) -> sqlx::Result<Option<&str>>;
}

/// Takes the rows of a statement one by one.
pub(super) type Sink<'a> = &'a mut (dyn FnMut(&dyn Row) -> sqlx::Result<()> + Send);
