//! Exact counts of the statements sent to the database, by what they were for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a statement was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows of new links.
    Insert,
    /// Whether a code is free: the statement that the `checked` design pays for each create.
    Uniqueness,
    /// One link, read for a redirect or the API.
    Select,
    /// Slots and leases of blocks.
    Lease,
    /// Hottest and random links, for warming.
    Warm,
    /// Click counts.
    Clicks,
    Update,
    Delete,
    /// Counts and marks that the server watches itself by.
    Monitor,
    /// Migrations at the start.
    Schema,
    Idempotency,
    /// Health checks.
    Ping,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Insert,
        Kind::Uniqueness,
        Kind::Select,
        Kind::Lease,
        Kind::Warm,
        Kind::Clicks,
        Kind::Update,
        Kind::Delete,
        Kind::Monitor,
        Kind::Schema,
        Kind::Idempotency,
        Kind::Ping,
    ];

    /// Whether a statement that may or may not have taken effect can be sent again.
    pub(super) fn is_repeatable(self) -> bool {
        !matches!(self, Kind::Insert | Kind::Clicks | Kind::Schema)
    }

    /// The label in `/metrics`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Insert => "insert",
            Kind::Uniqueness => "uniqueness",
            Kind::Select => "select",
            Kind::Lease => "lease",
            Kind::Warm => "warm",
            Kind::Clicks => "clicks",
            Kind::Update => "update",
            Kind::Delete => "delete",
            Kind::Monitor => "monitor",
            Kind::Schema => "schema",
            Kind::Idempotency => "idempotency",
            Kind::Ping => "ping",
        }
    }
}

/// Statements of one kind: how many were sent, and how many of those failed or timed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatementCount {
    pub attempts: u64,
    pub failures: u64,
}

/// A snapshot of all counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatementCounts([StatementCount; Kind::ALL.len()]);

impl StatementCounts {
    pub fn of(&self, kind: Kind) -> StatementCount {
        self.0[kind as usize]
    }

    /// Each kind with its count, in the order of [`Kind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Kind, StatementCount)> {
        Kind::ALL.into_iter().zip(self.0)
    }

    /// All statements of all kinds.
    pub fn attempts(&self) -> u64 {
        self.0.iter().map(|count| count.attempts).sum()
    }
}

/// The counters behind the snapshots.
#[derive(Debug, Default)]
pub(super) struct Statements {
    attempts: [AtomicU64; Kind::ALL.len()],
    failures: [AtomicU64; Kind::ALL.len()],
}

/// A statement on its way. It failed unless it is said to have worked, even where nobody waited for its end.
pub(super) struct Sent<'a>(Option<&'a AtomicU64>);

impl Sent<'_> {
    pub(super) fn worked(mut self) {
        self.0 = None;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if let Some(failures) = self.0 {
            failures.fetch_add(1, Relaxed);
        }
    }
}

impl Statements {
    /// Counts a statement as it is sent.
    pub(super) fn sent(&self, kind: Kind) -> Sent<'_> {
        self.attempts[kind as usize].fetch_add(1, Relaxed);
        Sent(Some(&self.failures[kind as usize]))
    }

    pub(super) fn snapshot(&self) -> StatementCounts {
        StatementCounts(std::array::from_fn(|i| StatementCount {
            attempts: self.attempts[i].load(Relaxed),
            failures: self.failures[i].load(Relaxed),
        }))
    }
}
