//! The in-process cache level: a sharded table that keeps the links that are asked for most.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

pub use super::name::{Name, code_of};
pub use super::resident::{Newcomer, OVERHEAD};
pub use super::residents::Entry;

use super::resident::{NEVER, Resident};
use super::residents::{CLICK, Residents};

/// How much the table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    Entries(usize),
    /// Counts [`OVERHEAD`] for each link, and its URL (with a custom code's text) where that is longer than 47 bytes.
    Bytes(usize),
}

/// What the table knows about a code.
#[derive(Debug, PartialEq, Eq)]
pub enum Cached {
    Found(Bytes),
    Gone,
    Absent,
}

/// Figures for the cache page and the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub entries: usize,
    pub bytes: usize,
    pub evictions: u64,
    pub rejections: u64,
}

pub struct Table {
    shards: Box<[Shard]>,
    capacity: Capacity,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    evictions: AtomicU64,
    rejections: AtomicU64,
}

/// A cache line to itself, so that threads that lock neighbours do not slow one another.
#[repr(align(128))]
struct Shard(Mutex<Residents>);

impl Table {
    pub fn new(capacity: Capacity) -> Self {
        let expected = match capacity {
            Capacity::Entries(entries) => entries,
            Capacity::Bytes(bytes) => bytes / (OVERHEAD + 32),
        };
        // A shard below some 256 links would make its few victims a poor sample.
        let count = (expected / 256).next_power_of_two().clamp(1, 256);
        Self {
            shards: (0..count).map(|i| Shard(Mutex::new(Residents::new(i as u64)))).collect(),
            capacity,
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            rejections: AtomicU64::new(0),
        }
    }

    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Looks a link up and counts the request towards its popularity.
    #[inline]
    pub fn get(&self, name: Name<'_>, now: impl FnOnce() -> u32) -> Cached {
        let hash = name.hash();
        let mut shard = self.shard(hash).lock();
        let Some(at) = shard.find(hash, name) else { return Cached::Absent };
        let resident = &mut shard.all[at];
        // Most links never expire, and need no look at the clock.
        if resident.expires != NEVER && resident.expires <= now() {
            return Cached::Gone;
        }
        resident.popularity = resident.popularity.saturating_add(CLICK);
        Cached::Found(resident.url())
    }

    /// Lets a link in if there is room, or if it is at least as popular as the resident that would have to go.
    /// Returns whether it is in.
    pub fn insert(&self, name: Name<'_>, newcomer: Newcomer<'_>, entry: Entry) -> bool {
        let hash = name.hash();
        let mut shard = self.shard(hash).lock();
        let popularity = shard.popularity_of(hash, newcomer.clicks, entry);
        if let Some(at) = shard.find(hash, name) {
            self.replace(&mut shard.all[at], name, newcomer, popularity);
            return true;
        }
        let resident = Resident::new(name, newcomer, popularity);
        let size = resident.size();
        let entries = self.entries.fetch_add(1, Relaxed) + 1;
        let bytes = self.bytes.fetch_add(size, Relaxed) + size;
        let admitted = self.make_room(&mut shard, entries, bytes, popularity);
        if admitted {
            shard.add(hash, resident);
        } else {
            self.entries.fetch_sub(1, Relaxed);
            self.bytes.fetch_sub(size, Relaxed);
            self.rejections.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Makes room for so many links at once: a shard that grows step by step leaves holes behind. Room that is not used
    /// takes no memory, only addresses.
    pub fn expect(&self, links: usize) {
        let each = links / self.shards.len() * 17 / 16;
        self.shards.iter().for_each(|shard| shard.0.lock().expect(each));
    }

    pub fn remove(&self, name: Name<'_>) {
        let hash = name.hash();
        let mut shard = self.shard(hash).lock();
        if let Some(at) = shard.find(hash, name) {
            self.took(shard.take(at));
        }
    }

    pub fn clear(&self) {
        (0..self.shares()).for_each(|share| self.clear_share(share));
    }

    /// In how many shares the table can be cleared.
    pub fn shares(&self) -> usize {
        self.shards.len()
    }

    pub fn clear_share(&self, share: usize) {
        let mut shard = self.shards[share].0.lock();
        while let Some(last) = shard.all.len().checked_sub(1) {
            self.took(shard.take(last));
        }
    }

    pub fn figures(&self) -> Figures {
        Figures {
            entries: self.entries.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            rejections: self.rejections.load(Relaxed),
        }
    }

    fn shard(&self, hash: u64) -> &Mutex<Residents> {
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)].0
    }

    /// Evicts until the newcomer fits, or finds that it is not worth it. A victim stands for the coldest of a few
    /// drawn at random; only one that is no more popular than the newcomer goes.
    fn make_room(&self, shard: &mut Residents, entries: usize, bytes: usize, popularity: u32) -> bool {
        let (mut entries, mut bytes) = (entries, bytes);
        while !self.fits(entries, bytes) {
            let Some(victim) = shard.coldest_drawn() else { return false };
            if shard.all[victim].popularity > popularity {
                return false;
            }
            let taken = shard.take(victim);
            entries -= 1;
            bytes -= taken.size();
            self.took(taken);
            self.evictions.fetch_add(1, Relaxed);
        }
        true
    }

    fn fits(&self, entries: usize, bytes: usize) -> bool {
        match self.capacity {
            Capacity::Entries(most) => entries <= most,
            Capacity::Bytes(most) => bytes <= most,
        }
    }

    fn replace(&self, resident: &mut Resident, name: Name<'_>, newcomer: Newcomer<'_>, popularity: u32) {
        let known = resident.popularity.max(popularity);
        self.bytes.fetch_sub(resident.size(), Relaxed);
        *resident = Resident::new(name, newcomer, known);
        self.bytes.fetch_add(resident.size(), Relaxed);
    }

    fn took(&self, resident: Resident) {
        self.entries.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(resident.size(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::CUSTOM;
    use super::*;

    fn link(url: &str, clicks: u64) -> Newcomer<'_> {
        Newcomer { url, expires: None, clicks }
    }

    fn found(url: &'static str) -> Cached {
        Cached::Found(Bytes::from_static(url.as_bytes()))
    }

    #[test]
    fn answers_what_was_put_in_for_both_kinds_of_code() {
        let table = Table::new(Capacity::Entries(1000));
        for code in ["abcdEF12", "my-code", "x", "abcdEF1-", "überlang"] {
            assert_eq!(table.get(Name::of(code), || 0), Cached::Absent);
            assert!(table.insert(Name::of(code), link("https://example.com/a?b=c", 0), Entry::Miss));
            assert_eq!(table.get(Name::of(code), || 0), found("https://example.com/a?b=c"));
        }
        assert!(table.insert(Name::of("x"), link("https://example.com/new", 0), Entry::Miss));
        assert_eq!(table.get(Name::of("x"), || 0), found("https://example.com/new"));
        assert_eq!(table.figures().entries, 5);
        table.remove(Name::of("my-code"));
        assert_eq!(table.get(Name::of("my-code"), || 0), Cached::Absent);
        table.clear();
        assert_eq!((table.figures().entries, table.figures().bytes), (0, 0));
    }

    #[test]
    fn texts_of_any_length_come_back_whole() {
        let table = Table::new(Capacity::Entries(1000));
        for length in 20..100 {
            let url = format!("https://example.com/{}", "x".repeat(length - 20));
            for code in ["abcdEF12", "my-code"] {
                table.insert(Name::of(code), link(&url, 0), Entry::Miss);
                assert_eq!(table.get(Name::of(code), || 0), Cached::Found(Bytes::from(url.clone())));
            }
        }
        table.clear();
        assert_eq!((table.figures().entries, table.figures().bytes), (0, 0));
    }

    #[test]
    fn custom_codes_with_one_hash_stay_apart() {
        let table = Table::new(Capacity::Entries(1000));
        let clash = |custom| Name { key: CUSTOM | 7, custom: Some(custom) };
        table.insert(clash("one"), link("https://example.com/1", 0), Entry::Miss);
        assert_eq!(table.get(clash("two"), || 0), Cached::Absent);
        table.insert(clash("two"), link("https://example.com/2", 0), Entry::Miss);
        assert_eq!(table.get(clash("one"), || 0), found("https://example.com/1"));
        assert_eq!(table.get(clash("two"), || 0), found("https://example.com/2"));
    }

    #[test]
    fn expired_links_are_gone() {
        let table = Table::new(Capacity::Entries(10));
        let newcomer = Newcomer { url: "https://example.com", expires: Some(100), clicks: 0 };
        table.insert(Name::of("abcdEF12"), newcomer, Entry::Miss);
        assert_eq!(table.get(Name::of("abcdEF12"), || 99), found("https://example.com"));
        assert_eq!(table.get(Name::of("abcdEF12"), || 100), Cached::Gone);
    }

    #[test]
    fn a_cold_newcomer_never_displaces_a_hotter_resident() {
        let table = Table::new(Capacity::Entries(2));
        table.insert(Name::of("hot00001"), link("https://example.com/1", 50), Entry::Ahead);
        table.insert(Name::of("hot00002"), link("https://example.com/2", 50), Entry::Ahead);
        assert!(!table.insert(Name::of("cold0001"), link("https://example.com/3", 49), Entry::Miss));
        assert_eq!(table.figures().rejections, 1);
        assert!(table.insert(Name::of("hot00003"), link("https://example.com/4", 51), Entry::Miss));
        assert_eq!((table.figures().entries, table.figures().evictions), (2, 1));
    }

    #[test]
    fn bytes_are_a_bound_too() {
        let long = format!("https://example.com/{}", "x".repeat(80));
        for (url, each) in [("https://example.com/", OVERHEAD), (&long, OVERHEAD + 116)] {
            let table = Table::new(Capacity::Bytes(100 * each));
            for i in 0..1000 {
                table.insert(Name::of(&format!("{i:08}")), link(url, 0), Entry::Miss);
                assert!(table.figures().bytes <= 100 * each);
            }
            assert_eq!(table.figures().entries, 100);
        }
    }
}
