//! The in-process cache level: a sharded table that keeps the links that are asked for most.

use bytes::Bytes;
use hashbrown::HashTable;
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::sketch::Sketch;

/// How much the table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    Entries(usize),
    /// Counts each link's URL (and text of a custom code) and [`OVERHEAD`].
    Bytes(usize),
}

/// What one cached link costs beyond its URL and a custom code's text: the entry itself, its share of the growing
/// vector's and index's spare room, and the allocation's header.
pub const OVERHEAD: usize = 112;

/// A link's name inside the table: what a look-up hashes and compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    key: u64,
    /// A custom code's text; a generated code is its key.
    custom: Option<&'a str>,
}

/// Set in the keys of custom codes; generated codes are eight ASCII bytes, so theirs never have it.
const CUSTOM: u64 = 1 << 63;

impl<'a> Name<'a> {
    pub fn of(code: &'a str) -> Self {
        let bytes = code.as_bytes();
        match <[u8; 8]>::try_from(bytes) {
            Ok(eight) if bytes.iter().all(u8::is_ascii_alphanumeric) => {
                Self { key: u64::from_le_bytes(eight), custom: None }
            }
            _ => Self { key: hash_text(bytes) | CUSTOM, custom: Some(code) },
        }
    }

    /// The key of a generated code, or none for a custom one.
    pub fn generated(&self) -> Option<u64> {
        self.custom.is_none().then_some(self.key)
    }

    fn hash(&self) -> u64 {
        spread(self.key)
    }
}

/// The text of the generated code that has this key.
pub fn code_of(key: u64) -> [u8; 8] {
    key.to_le_bytes()
}

/// What the table knows about a code.
#[derive(Debug, PartialEq, Eq)]
pub enum Cached {
    Found(Bytes),
    Gone,
    Absent,
}

/// A link on its way into the table.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer<'a> {
    pub url: &'a str,
    /// Unix seconds.
    pub expires: Option<i64>,
    /// All redirects of this link that the store knows of.
    pub clicks: u64,
}

/// Why a link enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Someone asked for it and the table did not have it.
    Miss,
    /// Warming, or written through: nobody asked yet.
    Ahead,
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

struct Residents {
    index: HashTable<u32>,
    /// Dense, so that a victim can be drawn at random.
    all: Vec<Resident>,
    sketch: Option<Sketch>,
    misses: u64,
    /// How often popularity was halved: the store's click counts, which never fade, are shifted by it.
    fades: u32,
    random: u64,
}

struct Resident {
    key: u64,
    /// The URL; of a custom code, `URL NUL code`.
    text: Bytes,
    popularity: u32,
    /// Unix seconds, [`NEVER`] for a link that stays.
    expires: u32,
}

const NEVER: u32 = u32::MAX;
/// One click in the fixed point that popularity is kept in, so that halving does not lose the cold links' order.
const CLICK: u32 = 8;
/// How many residents are drawn to find one to evict.
const DRAWN: usize = 8;
/// Misses per resident after which popularity is halved. Higher is steadier, lower follows drift sooner.
const MISSES_PER_FADE: u64 = 64;

impl Table {
    pub fn new(capacity: Capacity) -> Self {
        let expected = match capacity {
            Capacity::Entries(entries) => entries,
            Capacity::Bytes(bytes) => bytes / (OVERHEAD + 64),
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

    pub fn remove(&self, name: Name<'_>) {
        let hash = name.hash();
        let mut shard = self.shard(hash).lock();
        if let Some(at) = shard.find(hash, name) {
            self.took(shard.take(at));
        }
    }

    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            while let Some(last) = shard.all.len().checked_sub(1) {
                self.took(shard.take(last));
            }
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

impl Residents {
    fn new(seed: u64) -> Self {
        Self {
            index: HashTable::new(),
            all: Vec::new(),
            sketch: None,
            misses: 0,
            fades: 0,
            random: spread(seed) | 1,
        }
    }

    fn find(&self, hash: u64, name: Name<'_>) -> Option<usize> {
        self.index.find(hash, |&at| self.all[at as usize].is(name)).map(|&at| at as usize)
    }

    fn add(&mut self, hash: u64, resident: Resident) {
        if self.all.len() == self.all.capacity() {
            // Growing by a quarter and not by doubling bounds the spare room of a large table.
            self.all.reserve_exact((self.all.len() / 4).max(4));
        }
        let at = self.all.len() as u32;
        self.all.push(resident);
        let all = &self.all;
        self.index.insert_unique(hash, at, |&at| spread(all[at as usize].key));
    }

    fn take(&mut self, at: usize) -> Resident {
        self.unlink(at);
        let last = self.all.len() - 1;
        if at != last {
            let hash = spread(self.all[last].key);
            let moved = self.index.find_mut(hash, |&i| i as usize == last).expect("each resident is indexed");
            *moved = at as u32;
        }
        self.all.swap_remove(at)
    }

    fn unlink(&mut self, at: usize) {
        let hash = spread(self.all[at].key);
        match self.index.find_entry(hash, |&i| i as usize == at) {
            Ok(entry) => entry.remove(),
            Err(_) => unreachable!("each resident is indexed"),
        };
    }

    fn coldest_drawn(&mut self) -> Option<usize> {
        let len = self.all.len();
        let drawn: [usize; DRAWN] = std::array::from_fn(|_| self.draw(len));
        drawn.into_iter().filter(|&at| at < len).min_by_key(|&at| self.all[at].popularity)
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (((self.random >> 32) * below as u64) >> 32) as usize
    }

    /// A newcomer's popularity in the residents' terms: what the store counted, faded as theirs was, and what was
    /// asked for here lately, which the store's count holds too and so is taken out of it first.
    fn popularity_of(&mut self, hash: u64, clicks: u64, entry: Entry) -> u32 {
        let recent = match entry {
            Entry::Miss => self.count_miss(hash),
            Entry::Ahead => 0,
        };
        let past = clicks.saturating_sub(u64::from(recent)).saturating_mul(u64::from(CLICK));
        let faded = past.checked_shr(self.fades).unwrap_or(0);
        faded.saturating_add(u64::from(recent * CLICK)).min(u64::from(u32::MAX)) as u32
    }

    fn count_miss(&mut self, hash: u64) -> u32 {
        self.misses += 1;
        if self.misses >= MISSES_PER_FADE * self.all.len().max(64) as u64 {
            self.fade();
        }
        let residents = self.all.len();
        self.sketch.get_or_insert_with(|| Sketch::for_residents(residents)).count(hash)
    }

    /// Halves all popularity, so that links that were hot long ago make room for those that are hot now.
    fn fade(&mut self) {
        self.misses = 0;
        self.fades += 1;
        self.all.iter_mut().for_each(|resident| resident.popularity >>= 1);
        if let Some(sketch) = &mut self.sketch {
            sketch.fade();
        }
    }
}

impl Resident {
    fn new(name: Name<'_>, newcomer: Newcomer<'_>, popularity: u32) -> Self {
        let text = match name.custom {
            None => Bytes::copy_from_slice(newcomer.url.as_bytes()),
            Some(code) => Bytes::from([newcomer.url, "\0", code].concat()),
        };
        // The first clone of a fresh buffer allocates its shared count: do it here and not at the first hit.
        drop(text.clone());
        let expires = newcomer.expires.map_or(NEVER, |at| at.clamp(0, i64::from(NEVER - 1)) as u32);
        Self { key: name.key, text, popularity, expires }
    }

    fn is(&self, name: Name<'_>) -> bool {
        self.key == name.key && name.custom.is_none_or(|code| self.custom_code() == code.as_bytes())
    }

    /// URLs hold no NUL, so the last one ends the URL.
    fn custom_code(&self) -> &[u8] {
        let nul = self.text.iter().rposition(|&byte| byte == 0);
        nul.map_or(&[], |at| &self.text[at + 1..])
    }

    fn url(&self) -> Bytes {
        let mut url = self.text.clone();
        if self.key & CUSTOM != 0 {
            url.truncate(self.text.len() - self.custom_code().len() - 1);
        }
        url
    }

    fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// Spreads a key over all 64 bits (the finaliser of splitmix64).
fn spread(key: u64) -> u64 {
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

/// Keyed at random, so that nobody can choose custom codes that fall together. Two texts with one hash are told apart by
/// the text that is kept beside the URL.
fn hash_text(text: &[u8]) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(text)
}

#[cfg(test)]
mod tests {
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
        let table = Table::new(Capacity::Bytes(100 * (OVERHEAD + 20)));
        for i in 0..1000 {
            table.insert(Name::of(&format!("{i:08}")), link("https://example.com/", 0), Entry::Miss);
            assert!(table.figures().bytes <= 100 * (OVERHEAD + 20));
        }
        assert_eq!(table.figures().entries, 100);
    }
}
