//! Click counts: exact, kept by each thread, then added to the store in batches.

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::cache::table::{Name, code_of};
use crate::codes::{Code, Codec, Key};

/// One thread's clicks since they were last gathered. Only that thread and the gatherer lock it.
#[derive(Default)]
pub struct ClickLog {
    clicks: Mutex<Logged>,
}

#[derive(Default)]
struct Logged {
    /// Generated codes as they came: the cheapest thing to do while a client waits.
    raw: Vec<u64>,
    /// The same, counted, when the raw ones grew too many.
    counted: HashMap<u64, u64>,
    custom: HashMap<Box<str>, u64>,
}

/// Raw clicks before they are counted, 8 bytes each.
const MOST_RAW: usize = 1 << 18;

impl ClickLog {
    #[inline]
    pub fn click(&self, name: Name<'_>, code: &str) {
        let mut clicks = self.clicks.lock();
        match name.generated() {
            Some(key) => clicks.click(key),
            None => *clicks.custom.entry_ref(code).or_insert(0) += 1,
        }
    }

    /// Takes all clicks out.
    pub fn take(&self) -> Taken {
        let spare = Vec::with_capacity(self.clicks.lock().raw.len().max(1_024));
        let mut clicks = self.clicks.lock();
        let raw = std::mem::replace(&mut clicks.raw, spare);
        let counted = std::mem::take(&mut clicks.counted);
        Taken(Logged { raw, counted, custom: std::mem::take(&mut clicks.custom) })
    }
}

/// One thread's clicks on their way to the pending ones.
pub struct Taken(Logged);

impl Logged {
    fn click(&mut self, key: u64) {
        if self.raw.len() >= MOST_RAW {
            self.count_raw();
        }
        self.raw.push(key);
    }

    fn count_raw(&mut self) {
        self.raw.sort_unstable();
        for same in self.raw.chunk_by(|a, b| a == b) {
            *self.counted.entry(same[0]).or_insert(0) += same.len() as u64;
        }
        self.raw.clear();
    }
}

/// Clicks that were gathered and not yet stored.
pub struct Pending {
    clicks: HashMap<Key, u64>,
    /// The most links; clicks of further ones are counted as lost.
    most: usize,
    lost: u64,
}

impl Pending {
    /// Clicks that are counted at a time.
    const SHARE: usize = 4_096;

    /// Nothing yet, and never more than `most` links.
    pub fn new(most: usize) -> Self {
        Self { clicks: HashMap::new(), most, lost: 0 }
    }

    /// Counts a share of what was taken, in less than a millisecond, since requests wait meanwhile; says whether there is more.
    pub fn gather(&mut self, taken: &mut Taken, codec: &Codec) -> bool {
        let Logged { raw, counted, custom } = &mut taken.0;
        let at = raw.len().saturating_sub(Self::SHARE);
        raw[at..].sort_unstable();
        for same in raw[at..].chunk_by(|a, b| a == b) {
            self.add_generated(same[0], same.len() as u64, codec);
        }
        raw.truncate(at);
        for (key, count) in counted.extract_if(|_, _| true).take(Self::SHARE) {
            self.add_generated(key, count, codec);
        }
        for (code, count) in custom.extract_if(|_, _| true).take(Self::SHARE) {
            self.add(Key::Custom(code), count);
        }
        !(raw.is_empty() && counted.is_empty() && custom.is_empty())
    }

    /// Takes out the clicks of up to `most` links.
    pub fn batch(&mut self, most: usize) -> Vec<(Key, u64)> {
        if self.clicks.len() <= most {
            return self.clicks.drain().collect();
        }
        self.clicks.extract_if(|_, _| true).take(most).collect()
    }

    /// Puts back what could not be stored.
    pub fn put_back(&mut self, batch: Vec<(Key, u64)>) {
        batch.into_iter().for_each(|(key, count)| self.add(key, count));
    }

    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn is_empty(&self) -> bool {
        self.clicks.is_empty()
    }

    fn add_generated(&mut self, key: u64, count: u64, codec: &Codec) {
        if let Some(code) = Code::parse(&code_of(key)) {
            self.add(Key::Generated(codec.decode(code)), count);
        }
    }

    fn add(&mut self, key: Key, count: u64) {
        if let Some(known) = self.clicks.get_mut(&key) {
            *known += count;
        } else if self.clicks.len() < self.most {
            self.clicks.insert(key, count);
        } else {
            self.lost += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::PUBLIC_DEFAULT_KEY;

    #[test]
    fn every_click_of_every_thread_is_counted_once() {
        let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
        let logs = [ClickLog::default(), ClickLog::default()];
        let codes: Vec<String> = (0..10).map(|id| codec.text(&Key::Generated(id))).collect();
        for i in 0..MOST_RAW + 5 {
            let code = &codes[i % 10];
            logs[i % 2].click(Name::of(code), code);
        }
        logs[0].click(Name::of("my-code"), "my-code");
        let mut pending = Pending::new(10_000);
        for mut taken in logs.iter().map(ClickLog::take) {
            while pending.gather(&mut taken, &codec) {}
        }
        let batch = pending.batch(4_096);
        assert_eq!(batch.len(), 11);
        assert_eq!(batch.iter().map(|(_, count)| count).sum::<u64>(), MOST_RAW as u64 + 6);
        assert!(batch.contains(&(Key::Custom("my-code".into()), 1)));
        pending.put_back(batch);
        assert_eq!(pending.batch(4_096).len(), 11);
        assert!(pending.is_empty());
    }

    #[test]
    fn batches_are_bounded_and_complete() {
        let mut pending = Pending::new(10_000);
        (0..10_000).for_each(|id| pending.add(Key::Generated(id), 1));
        let sizes: Vec<usize> = (0..4).map(|_| pending.batch(4_096).len()).collect();
        assert_eq!(sizes, [4_096, 4_096, 1_808, 0]);
    }

    #[test]
    fn what_does_not_fit_is_counted_as_lost() {
        let mut pending = Pending::new(2);
        [1, 2, 3, 1, 3].into_iter().for_each(|id| pending.add(Key::Generated(id), 5));
        assert_eq!(pending.lost(), 10);
        let mut kept = pending.batch(4_096);
        kept.sort_unstable_by_key(|&(_, count)| count);
        assert_eq!(kept, [(Key::Generated(2), 5), (Key::Generated(1), 10)]);
    }
}
