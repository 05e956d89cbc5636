//! When the next insert statement starts: a pure rule.

use std::time::Duration;

/// Leading-edge spacing, and how far to go beyond one writer.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The least time between the starts of two statements, unless `eager_rows` wait.
    pub spacing: Duration,
    pub eager_rows: usize,
    /// The most rows in a statement; so many waiting mean that one writer is saturated.
    pub batch_rows: usize,
    /// The most statements under way.
    pub writers: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Send,
    /// Nothing changes by itself before this is over.
    After(Duration),
    /// Until a row comes or a statement ends.
    Wait,
}

impl Pace {
    pub(super) fn next(&self, waiting: usize, under_way: usize, since_last: Option<Duration>) -> Next {
        let saturated = waiting >= self.batch_rows;
        let allowed = if saturated { self.writers } else { 1 };
        if waiting == 0 || under_way >= allowed {
            return Next::Wait;
        }
        match since_last {
            Some(since) if since < self.spacing && waiting < self.eager_rows => {
                Next::After(self.spacing - since)
            }
            _ => Next::Send,
        }
    }

    /// Whether the row that made the queue this long can change what comes next.
    pub(super) fn matters(&self, waiting: usize) -> bool {
        waiting == 1 || waiting == self.eager_rows || waiting.is_multiple_of(self.batch_rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace =
        Pace { spacing: Duration::from_millis(5), eager_rows: 24, batch_rows: 1_000, writers: 4 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_rule() {
        let cases = [
            // waiting, under way, since the last start, what next
            (0, 0, None, Next::Wait),
            (1, 0, None, Next::Send),
            (1, 0, Some(ms(5)), Next::Send),
            (1, 0, Some(ms(2)), Next::After(ms(3))),
            (23, 0, Some(ms(2)), Next::After(ms(3))),
            (24, 0, Some(ms(2)), Next::Send),
            (24, 1, Some(ms(9)), Next::Wait),
            (999, 1, Some(ms(9)), Next::Wait),
            (1_000, 1, Some(ms(0)), Next::Send),
            (1_000, 3, Some(ms(0)), Next::Send),
            (5_000, 4, Some(ms(0)), Next::Wait),
        ];
        for (waiting, under_way, since, next) in cases {
            assert_eq!(PACE.next(waiting, under_way, since), next, "{waiting} {under_way} {since:?}");
        }
    }

    /// Rows come at an even rate, statements take `commit`: how many statements a row needs.
    fn statements_per_row(rows_per_second: f64, commit: f64) -> f64 {
        let (mut waiting, mut statements, mut rows) = (0usize, 0u32, 0u32);
        let (mut last, mut busy_until) = (None, 0.0f64);
        for tick in 0..100_000u32 {
            let now = f64::from(tick) / 10_000.0;
            let due = (now * rows_per_second) as u32;
            waiting += (due - rows) as usize;
            rows = due;
            let since = last.map(|last: f64| Duration::from_secs_f64(now - last));
            if PACE.next(waiting, (now < busy_until).into(), since) == Next::Send {
                (last, busy_until) = (Some(now), now + commit);
                (statements, waiting) = (statements + 1, 0);
            }
        }
        f64::from(statements) / f64::from(rows)
    }

    #[test]
    fn spacing_buys_few_statements_where_the_rate_allows_it() {
        assert!(statements_per_row(5_000.0, 0.001) <= 0.05);
        assert!(statements_per_row(20_000.0, 0.001) <= 0.05);
        // At low rates it cannot be had without waiting, and an idle inserter never waits.
        assert!(statements_per_row(50.0, 0.001) > 0.9);
    }
}
