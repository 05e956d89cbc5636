//! The cache level of this process alone: its table, what it remembers as unknown, and the reads under way.

use std::sync::Arc;
use std::time::Instant;

use super::flight::{Flights, Joined, Survey, Ticket};
use super::negative::Negative;
use super::table::{Entry, Name, Newcomer, Table};

pub struct Memory<A: Clone> {
    table: Table,
    negative: Negative,
    flights: Arc<Flights<A>>,
}

/// What a read may leave behind.
#[derive(Debug, Clone, Copy)]
pub enum Keep<'a> {
    Link(Newcomer<'a>),
    /// That there is no link.
    Unknown,
    Nothing,
}

impl<A: Clone> Memory<A> {
    /// `unknown` is the most codes that are remembered to have no link.
    pub fn new(table: Table, unknown: usize) -> Memory<A> {
        Memory { table, negative: Negative::new(unknown, Instant::now()), flights: Flights::new() }
    }

    #[inline]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether it is remembered that there is no such link.
    pub fn is_unknown(&self, code: &str) -> bool {
        self.negative.contains(code, Instant::now())
    }

    /// Waits for the read of `code` that is under way, or takes on to do it.
    pub fn join(&self, code: &str) -> Joined<A> {
        self.flights.join(code)
    }

    /// Answers all who wait for a read and returns how many did beside the first. What it leaves behind is left out if
    /// the link was changed since the read began.
    pub fn land(&self, ticket: Ticket<A>, code: &str, answer: A, keep: Keep<'_>) -> u64 {
        Flights::land(ticket, answer, || match keep {
            Keep::Link(link) => drop(self.table.insert(Name::of(code), link, Entry::Miss)),
            Keep::Unknown => self.negative.insert(code, Instant::now()),
            Keep::Nothing => {}
        })
    }

    /// Begins a read of many links at once; to be called before the store is asked.
    pub fn survey(&self) -> Survey<A> {
        self.flights.survey()
    }

    /// Lets the table have a link that a survey saw, unless it was changed since; says whether it took it.
    pub fn keep_surveyed(&self, survey: &Survey<A>, code: &str, link: Newcomer<'_>) -> bool {
        survey.keep(code, || self.table.insert(Name::of(code), link, Entry::Ahead))
    }

    /// Drops what is kept under a code whose link was changed, or may have been.
    pub fn forget(&self, code: &str) {
        self.flights.overtake(code, || {
            self.table.remove(Name::of(code));
            self.negative.remove(code);
        });
    }

    pub fn forget_all(&self) {
        self.flights.overtake_all(|| {
            self.table.clear();
            self.negative.clear();
        });
    }
}
