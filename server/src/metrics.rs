//! Exact counts of what the server did: each thread has its own, which are summed when they are read.

mod times;

pub use times::{Distribution, Timed};

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use times::{ENDS, Times};

/// A count with one writing thread, so that counting needs no locked instruction.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// To be called by the one thread that owns the count.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What answered a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The in-process cache.
    Process,
    /// Redis.
    Redis,
    /// Another look-up's read of Redis or the store, waited for.
    Waiter,
    /// A read of the store, also where it failed.
    Store,
    /// It is remembered that there is no such link.
    Negative,
    /// No link can have this code, whatever the store holds.
    Unassigned,
    /// Nothing: the store could not be asked.
    Failed,
}

/// How a redirect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirected {
    Found,
    NotFound,
    Gone,
    /// The store could not be asked, or did not answer in time.
    Failed,
}

/// How a create ended that made no link. Those that did are counted where they are committed, since a client may be gone
/// by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateResult {
    /// Bad input, or more than the limits allow.
    Rejected,
    /// The custom code is taken, or the `Idempotency-Key` was used for something else.
    Conflict,
    /// Our fault: nothing was stored, or it is unknown whether.
    Failed,
}

impl Level {
    pub const ALL: [(Level, &str); 7] = [
        (Level::Process, "process"),
        (Level::Redis, "redis"),
        (Level::Waiter, "waiter"),
        (Level::Store, "store"),
        (Level::Negative, "negative"),
        (Level::Unassigned, "unassigned"),
        (Level::Failed, "failed"),
    ];
}

impl Redirected {
    pub const ALL: [(Redirected, &str); 4] = [
        (Redirected::Found, "found"),
        (Redirected::NotFound, "not_found"),
        (Redirected::Gone, "gone"),
        (Redirected::Failed, "failed"),
    ];
}

impl CreateResult {
    pub const ALL: [(CreateResult, &str); 3] = [
        (CreateResult::Rejected, "rejected"),
        (CreateResult::Conflict, "conflict"),
        (CreateResult::Failed, "failed"),
    ];
}

/// One thread's counts, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Tally {
    lookups: [Count; Level::ALL.len()],
    redirects: [Count; Redirected::ALL.len()],
    creates: [Count; CreateResult::ALL.len()],
    times: [Times; Timed::ALL.len()],
}

impl Tally {
    /// One in so many redirects out of the table is timed, and stands for all of them: they wait for nothing, and reading
    /// the clock twice would cost each of them more than it tells.
    const HITS_PER_TIMED: u64 = 64;

    /// Whether the next redirect out of the table is to be timed.
    #[inline]
    pub fn times_next_hit(&self) -> bool {
        self.lookups[Level::Process as usize].get().is_multiple_of(Self::HITS_PER_TIMED)
    }

    pub fn hit_took(&self, took: Duration) {
        self.times[Timed::Redirect as usize].add(took, Self::HITS_PER_TIMED);
    }

    pub fn took(&self, what: Timed, took: Duration) {
        self.times[what as usize].add(took, 1);
    }

    #[inline]
    pub fn looked_up(&self, level: Level) {
        self.lookups[level as usize].add(1);
    }

    #[inline]
    pub fn redirected(&self, how: Redirected) {
        self.redirects[how as usize].add(1);
    }

    pub fn created(&self, result: CreateResult) {
        self.creates[result as usize].add(1);
    }
}

/// The counts of all threads together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    lookups: [u64; Level::ALL.len()],
    redirects: [u64; Redirected::ALL.len()],
    creates: [u64; CreateResult::ALL.len()],
    times: [Distribution; Timed::ALL.len()],
}

impl Totals {
    pub fn of<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Self {
        let mut totals = Self::default();
        for tally in tallies {
            add_up(&mut totals.lookups, &tally.lookups);
            add_up(&mut totals.redirects, &tally.redirects);
            add_up(&mut totals.creates, &tally.creates);
            totals.times.iter_mut().zip(&tally.times).for_each(|(total, times)| total.add(times));
        }
        totals
    }

    pub fn lookups(&self, level: Level) -> u64 {
        self.lookups[level as usize]
    }

    pub fn redirects(&self, how: Redirected) -> u64 {
        self.redirects[how as usize]
    }

    pub fn creates(&self, result: CreateResult) -> u64 {
        self.creates[result as usize]
    }

    pub fn times(&self, what: Timed) -> &Distribution {
        &self.times[what as usize]
    }

    /// Look-ups of links that may exist: answered without the store, and all, those that nothing could answer too. Unknown
    /// codes stand apart, since no cache could have them.
    pub fn hits_of_lookups(&self) -> (u64, u64) {
        let hits = self.lookups(Level::Process) + self.lookups(Level::Redis);
        let misses = [Level::Waiter, Level::Store, Level::Failed].map(|level| self.lookups(level));
        (hits, hits + misses.iter().sum::<u64>())
    }
}

fn add_up<const N: usize>(totals: &mut [u64; N], counts: &[Count; N]) {
    for (total, count) in totals.iter_mut().zip(counts) {
        *total += count.get();
    }
}

/// Writes metrics in Prometheus's text format.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, "", value as f64);
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    pub fn seconds(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "counter", help);
        self.line(name, "", value);
    }

    /// One counter with a label.
    pub fn family<'a>(
        &mut self,
        name: &str,
        label: &str,
        help: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, "counter", help);
        for (value, count) in values {
            self.line(name, &format!("{{{label}=\"{value}\"}}"), count as f64);
        }
    }

    /// One histogram of seconds with a label.
    pub fn histogram<'a>(
        &mut self,
        name: &str,
        label: &str,
        help: &str,
        values: impl Iterator<Item = (&'a str, &'a Distribution)>,
    ) {
        self.head(name, "histogram", help);
        for (value, distribution) in values {
            let labels = format!("{label}=\"{value}\"");
            let ends = ENDS.iter().map(|&(_, end)| end).chain(["+Inf"]);
            let mut count = 0;
            for (end, at_most) in ends.zip(distribution.cumulative()) {
                self.line(&format!("{name}_bucket"), &format!("{{{labels},le=\"{end}\"}}"), at_most as f64);
                count = at_most;
            }
            self.line(&format!("{name}_sum"), &format!("{{{labels}}}"), distribution.seconds());
            self.line(&format!("{name}_count"), &format!("{{{labels}}}"), count as f64);
        }
    }

    pub fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        self.0.push_str(&format!("{name}{labels} {value}\n"));
    }
}

/// Seconds of processor time that this process has used, in user and kernel mode.
pub fn cpu_seconds() -> f64 {
    // SAFETY: getrusage only writes to the struct it is given, for which all bits zero is a value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Bytes of this process that are in memory now; 0 where the kernel does not say.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    // SAFETY: sysconf takes a constant and touches no memory of ours.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * page.max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_the_sum_of_the_threads() {
        let tallies = [Tally::default(), Tally::default()];
        tallies[0].looked_up(Level::Process);
        tallies[1].looked_up(Level::Process);
        tallies[1].looked_up(Level::Store);
        tallies[1].looked_up(Level::Unassigned);
        tallies[0].redirected(Redirected::Found);
        let totals = Totals::of(tallies.iter());
        assert_eq!(totals.lookups(Level::Process), 2);
        assert_eq!(totals.hits_of_lookups(), (2, 3));
        assert_eq!(totals.redirects(Redirected::Found), 1);
        assert_eq!(totals.creates(CreateResult::Failed), 0);
    }

    #[test]
    fn the_text_is_in_prometheus_format() {
        let mut text = Exposition::default();
        text.counter("a_total", "Things.", 3);
        text.family("b_total", "kind", "Kinds.", [("x", 1), ("y", 12_345_678_901)].into_iter());
        let expected = "# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n\
            # HELP b_total Kinds.\n# TYPE b_total counter\nb_total{kind=\"x\"} 1\nb_total{kind=\"y\"} 12345678901\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_histogram_ends_with_all_there_is() {
        let tally = Tally::default();
        tally.took(Timed::Create, Duration::from_millis(3));
        tally.took(Timed::Create, Duration::from_secs(20));
        let totals = Totals::of([&tally].into_iter());
        let mut text = Exposition::default();
        let times = Timed::ALL.iter().map(|&(what, name)| (name, totals.times(what)));
        text.histogram("a_seconds", "what", "Times.", times);
        let text = text.finish();
        assert!(text.starts_with("# HELP a_seconds Times.\n# TYPE a_seconds histogram\n"), "{text}");
        for line in [
            "a_seconds_bucket{what=\"create\",le=\"0.0025\"} 0",
            "a_seconds_bucket{what=\"create\",le=\"0.005\"} 1",
            "a_seconds_bucket{what=\"create\",le=\"10\"} 1",
            "a_seconds_bucket{what=\"create\",le=\"+Inf\"} 2",
            "a_seconds_sum{what=\"create\"} 20.003",
            "a_seconds_count{what=\"create\"} 2",
            "a_seconds_count{what=\"redirect\"} 0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
    }

    #[test]
    fn one_redirect_out_of_the_table_stands_for_many() {
        let tally = Tally::default();
        let timed = (0..200).filter(|_| {
            let is_timed = tally.times_next_hit();
            tally.looked_up(Level::Process);
            if is_timed {
                tally.hit_took(Duration::from_micros(2));
            }
            is_timed
        });
        assert_eq!(timed.count(), 4);
        let totals = Totals::of([&tally].into_iter());
        assert_eq!(totals.times(Timed::Redirect).cumulative().last(), Some(256));
    }

    #[test]
    fn the_process_knows_its_own_cost() {
        assert!(resident_bytes() > 0);
        assert!(cpu_seconds() >= 0.0);
    }
}
