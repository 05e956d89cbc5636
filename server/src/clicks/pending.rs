//! Clicks that wait to be stored: which of them go next.

use hashbrown::{DefaultHashBuilder, HashMap};
use std::cmp::Ordering;
use std::hash::BuildHasher;

use super::log::Taken;

/// A link that was clicked: its key in the cache, or the text of its custom code. What id it has is asked only when its
/// clicks are stored, since most links are clicked many times until then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Clicked {
    Generated(u64),
    Custom(Box<str>),
}

/// Clicks that were gathered and not yet stored, in shares small enough to be looked through while requests wait.
pub struct Pending {
    shares: Vec<HashMap<Clicked, u64>>,
    sharing: DefaultHashBuilder,
    links: usize,
    /// Links by the magnitude of their count: how many have one click, how many two or three, four to seven, and so on.
    magnitudes: [usize; 64],
    /// The most links; clicks of further ones are counted as lost.
    most: usize,
    lost: u64,
}

/// Which clicks are to be stored next: all those of links above a magnitude, and so many of that magnitude.
pub struct Plan {
    magnitude: u32,
    of_it: usize,
    share: usize,
}

impl Pending {
    /// Clicks that are counted at a time.
    const SHARE: usize = 4_096;
    const SHARES: usize = 256;

    /// Nothing yet, and never more than `most` links.
    pub fn new(most: usize) -> Self {
        let shares = (0..Self::SHARES).map(|_| HashMap::new()).collect();
        let sharing = DefaultHashBuilder::default();
        Self { shares, sharing, links: 0, magnitudes: [0; 64], most, lost: 0 }
    }

    /// Counts a share of what was taken, in less than a millisecond, since requests wait meanwhile; says whether there is more.
    pub fn gather(&mut self, taken: &mut Taken) -> bool {
        let Taken { raw, counted, custom } = taken;
        let at = raw.len().saturating_sub(Self::SHARE);
        raw[at..].sort_unstable();
        for same in raw[at..].chunk_by(|a, b| a == b) {
            self.add(Clicked::Generated(same[0]), same.len() as u64);
        }
        raw.truncate(at);
        for (key, count) in counted.extract_if(|_, _| true).take(Self::SHARE) {
            self.add(Clicked::Generated(key), count);
        }
        for (code, count) in custom.extract_if(|_, _| true).take(Self::SHARE) {
            self.add(Clicked::Custom(code), count);
        }
        !(raw.is_empty() && counted.is_empty() && custom.is_empty())
    }

    /// Plans to store the clicks of `budget` links, the most clicked first, to the nearest power of two. Where more than a
    /// quarter of what may wait does, the rest goes as well: a budget is no reason to lose clicks.
    pub fn plan(&self, budget: usize) -> Plan {
        let mut left = budget.max(self.links.saturating_sub(self.most / 4));
        for magnitude in (0..u64::BITS).rev() {
            let links = self.magnitudes[magnitude as usize];
            if links >= left {
                return Plan { magnitude, of_it: left, share: 0 };
            }
            left -= links;
        }
        Plan { magnitude: 0, of_it: usize::MAX, share: 0 }
    }

    /// Appends what is planned of the next share that has any clicks; says whether there was one.
    pub fn take(&mut self, plan: &mut Plan, batch: &mut Vec<(Clicked, u64)>) -> bool {
        let rest = &mut self.shares[plan.share..];
        let Some(next) = rest.iter().position(|share| !share.is_empty()) else { return false };
        plan.share += next + 1;
        let before = batch.len();
        batch.extend(rest[next].extract_if(|_, count| plan.wants(*count)));
        self.links -= batch.len() - before;
        for (_, count) in &batch[before..] {
            self.magnitudes[magnitude(*count) as usize] -= 1;
        }
        true
    }

    /// Puts back what could not be stored.
    pub fn put_back(&mut self, batch: Vec<(Clicked, u64)>) {
        batch.into_iter().for_each(|(link, count)| self.add(link, count));
    }

    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many links' clicks wait.
    pub fn links(&self) -> usize {
        self.links
    }

    fn add(&mut self, link: Clicked, count: u64) {
        let share = (self.sharing.hash_one(&link) >> 32) as usize % Self::SHARES;
        if let Some(known) = self.shares[share].get_mut(&link) {
            self.magnitudes[magnitude(*known) as usize] -= 1;
            *known += count;
            self.magnitudes[magnitude(*known) as usize] += 1;
        } else if self.links < self.most {
            self.shares[share].insert(link, count);
            self.links += 1;
            self.magnitudes[magnitude(count) as usize] += 1;
        } else {
            self.lost += count;
        }
    }
}

impl Plan {
    fn wants(&mut self, count: u64) -> bool {
        match magnitude(count).cmp(&self.magnitude) {
            Ordering::Less => false,
            Ordering::Equal if self.of_it == 0 => false,
            Ordering::Equal => {
                self.of_it -= 1;
                true
            }
            Ordering::Greater => true,
        }
    }
}

fn magnitude(count: u64) -> u32 {
    count.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::table::Name;
    use crate::clicks::ClickLog;
    use crate::clicks::log::MOST_RAW;

    fn take(pending: &mut Pending, budget: usize) -> Vec<(Clicked, u64)> {
        let (mut plan, mut batch) = (pending.plan(budget), Vec::new());
        while pending.take(&mut plan, &mut batch) {}
        batch
    }

    #[test]
    fn every_click_of_every_thread_is_counted_once() {
        let logs = [ClickLog::default(), ClickLog::default()];
        let codes: Vec<String> = (0..10).map(|n| format!("{n:08}")).collect();
        for i in 0..MOST_RAW + 5 {
            let code = &codes[i % 10];
            logs[i % 2].click(Name::of(code), code);
        }
        logs[0].click(Name::of("my-code"), "my-code");
        let mut pending = Pending::new(10_000);
        for mut taken in logs.iter().map(ClickLog::take) {
            while pending.gather(&mut taken) {}
        }
        let batch = take(&mut pending, usize::MAX);
        assert_eq!(batch.len(), 11);
        assert_eq!(batch.iter().map(|(_, count)| count).sum::<u64>(), MOST_RAW as u64 + 6);
        assert!(batch.contains(&(Clicked::Custom("my-code".into()), 1)));
        pending.put_back(batch);
        assert_eq!(take(&mut pending, usize::MAX).len(), 11);
        assert_eq!((pending.links(), pending.magnitudes), (0, [0; 64]));
    }

    #[test]
    fn a_budget_goes_to_the_most_clicked_and_the_rest_waits() {
        let mut pending = Pending::new(100_000);
        (0..10_000).for_each(|id| pending.add(Clicked::Generated(id), 1 + id % 10));
        let hottest = take(&mut pending, 3_000);
        assert_eq!(hottest.len(), 3_000);
        // 8, 9 and 10 are of one magnitude.
        assert!(hottest.iter().all(|&(_, count)| count >= 8));
        pending.put_back(hottest);
        let some = take(&mut pending, 3_500);
        assert_eq!(some.iter().filter(|&&(_, count)| count >= 8).count(), 3_000);
        assert_eq!(some.iter().filter(|&&(_, count)| (4..8).contains(&count)).count(), 500);
        assert_eq!(take(&mut pending, 0), []);
        let few = take(&mut pending, 6_400);
        assert_eq!(few.len(), 6_400);
        assert_eq!(take(&mut pending, 150).len(), 100, "all of them, where the budget is for more");
        pending.put_back(few);
        assert_eq!(take(&mut pending, usize::MAX).len(), 6_400);
        assert_eq!(pending.links(), 0);
    }

    #[test]
    fn a_budget_is_exceeded_before_clicks_are_lost() {
        let mut pending = Pending::new(1_000);
        (0..900).for_each(|id| pending.add(Clicked::Generated(id), 1));
        assert_eq!(take(&mut pending, 10).len(), 650);
        assert_eq!(take(&mut pending, 10).len(), 10);
        assert_eq!((pending.links(), pending.lost()), (240, 0));
    }

    #[test]
    fn what_does_not_fit_is_counted_as_lost() {
        let mut pending = Pending::new(2);
        [1, 2, 3, 1, 3].into_iter().for_each(|id| pending.add(Clicked::Generated(id), 5));
        assert_eq!(pending.lost(), 10);
        let mut kept = take(&mut pending, usize::MAX);
        kept.sort_unstable_by_key(|&(_, count)| count);
        assert_eq!(kept, [(Clicked::Generated(2), 5), (Clicked::Generated(1), 10)]);
    }
}
