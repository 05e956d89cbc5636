//! The links of one shard of the table, and which of them is to go.

use super::index::Index;
use super::name::{Name, spread};
use super::resident::Resident;
use super::sketch::Sketch;

/// Why a link enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Someone asked for it and the table did not have it.
    Miss,
    /// Warming, or written through: nobody asked yet.
    Ahead,
}

pub(super) struct Residents {
    index: Index,
    /// Dense, so that a victim can be drawn at random.
    pub(super) all: Vec<Resident>,
    sketch: Option<Sketch>,
    misses: u64,
    /// How often popularity was halved: the store's click counts, which never fade, are shifted by it.
    fades: u32,
    random: u64,
}

/// One click in the fixed point that popularity is kept in, so that halving does not lose the cold links' order.
pub(super) const CLICK: u32 = 8;
/// How many residents are drawn to find one to evict.
const DRAWN: usize = 8;
/// Misses per resident after which popularity is halved. Higher is steadier, lower follows drift sooner.
const MISSES_PER_FADE: u64 = 64;

impl Residents {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            index: Index::new(),
            all: Vec::new(),
            sketch: None,
            misses: 0,
            fades: 0,
            random: spread(seed) | 1,
        }
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, name: Name<'_>) -> Option<usize> {
        self.index.find(hash, |at| self.all[at].is(name))
    }

    pub(super) fn add(&mut self, hash: u64, resident: Resident) {
        if self.all.len() == self.all.capacity() {
            // Growing by a quarter and not by doubling bounds the spare room of a large table.
            self.all.reserve_exact((self.all.len() / 4).max(4));
        }
        self.index.insert(hash, self.all.len());
        self.all.push(resident);
    }

    pub(super) fn expect(&mut self, links: usize) {
        self.all.reserve_exact(links.saturating_sub(self.all.len()));
        self.index.make_room(links);
    }

    pub(super) fn take(&mut self, at: usize) -> Resident {
        self.index.remove(spread(self.all[at].key), at);
        let last = self.all.len() - 1;
        if at != last {
            self.index.renumber(spread(self.all[last].key), last, at);
        }
        self.all.swap_remove(at)
    }

    pub(super) fn coldest_drawn(&mut self) -> Option<usize> {
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
    pub(super) fn popularity_of(&mut self, hash: u64, clicks: u64, entry: Entry) -> u32 {
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
        let sketch = self.sketch.get_or_insert_with(|| Sketch::for_residents(residents));
        sketch.fit(residents);
        sketch.count(hash)
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
