//! Where each link of a shard lies, by the hash of its name.

/// Open addressing with linear probing: what a look-up waits for is memory, and the places that it tries lie side by side. The
/// hash is kept beside each number, so that nothing else is touched to pass over the links of others, to grow or to close a gap.
pub(super) struct Index {
    /// A power of two of them: half a hash, and a number that is one up, so that zero is a place that is free.
    places: Vec<u64>,
    taken: usize,
}

const FEWEST: usize = 8;

impl Index {
    pub(super) fn new() -> Self {
        Self { places: vec![0; FEWEST], taken: 0 }
    }

    /// The number under this hash that is the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mut place = self.home(hash);
        loop {
            match self.places[place] {
                0 => return None,
                taken if half(taken) == half(hash) && is_it(number(taken)) => return Some(number(taken)),
                _ => place = self.next(place),
            }
        }
    }

    /// Adds a number, of which there are fewer than 2³² − 1.
    pub(super) fn insert(&mut self, hash: u64, at: usize) {
        self.make_room(self.taken + 1);
        self.put(taken(hash, at));
        self.taken += 1;
    }

    /// Replaces a number that is under this hash.
    pub(super) fn renumber(&mut self, hash: u64, from: usize, to: usize) {
        let place = self.place_of(hash, from);
        self.places[place] = taken(hash, to);
    }

    /// Removes a number that is under this hash, and closes the gap: what was put behind it for its sake moves up.
    pub(super) fn remove(&mut self, hash: u64, at: usize) {
        let mut gap = self.place_of(hash, at);
        let mut place = gap;
        loop {
            place = self.next(place);
            let taken = self.places[place];
            if taken == 0 {
                break;
            }
            if self.distance(self.home(taken), place) >= self.distance(gap, place) {
                self.places[gap] = taken;
                gap = place;
            }
        }
        self.places[gap] = 0;
        self.taken -= 1;
    }

    /// Makes room for so many numbers in all. Room that is not used takes no memory, only addresses.
    pub(super) fn make_room(&mut self, numbers: usize) {
        let enough = (numbers * 4).div_ceil(3).next_power_of_two();
        if enough > self.places.len() {
            let before = std::mem::replace(&mut self.places, vec![0; enough]);
            before.into_iter().filter(|&taken| taken != 0).for_each(|taken| self.put(taken));
        }
    }

    fn put(&mut self, taken: u64) {
        let mut place = self.home(taken);
        while self.places[place] != 0 {
            place = self.next(place);
        }
        self.places[place] = taken;
    }

    fn place_of(&self, hash: u64, at: usize) -> usize {
        let (mut place, wanted) = (self.home(hash), taken(hash, at));
        while self.places[place] != wanted {
            assert_ne!(self.places[place], 0, "each link is indexed");
            place = self.next(place);
        }
        place
    }

    /// Where a hash, or what is kept of it, is looked for first.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        half(hash) as usize & (self.places.len() - 1)
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// How many places on, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len() - 1)
    }
}

/// The upper half of a hash is spent on choosing the shard.
#[inline]
fn half(hash: u64) -> u32 {
    hash as u32
}

#[inline]
fn number(taken: u64) -> usize {
    (taken >> 32) as usize - 1
}

#[inline]
fn taken(hash: u64, at: usize) -> u64 {
    (at as u64 + 1) << 32 | u64::from(half(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;
    use std::collections::HashMap;

    /// Hashes that fall together, at the end of the index and around it.
    #[test]
    fn finds_what_a_map_would_after_any_change() {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        for crowd in [1, 2, 64, 1 << 40] {
            let (mut index, mut truth) = (Index::new(), HashMap::new());
            let hash_of =
                |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % crowd + u64::from(u32::MAX) - 1;
            for _ in 0..20_000 {
                let at: usize = random.random_range(0..300);
                match truth.remove(&at) {
                    Some(()) => index.remove(hash_of(at), at),
                    None => {
                        index.insert(hash_of(at), at);
                        truth.insert(at, ());
                    }
                }
                let asked = random.random_range(0..300);
                let found = index.find(hash_of(asked), |at| at == asked);
                assert_eq!(found, truth.contains_key(&asked).then_some(asked));
            }
            assert_eq!(index.taken, truth.len());
            assert_eq!(index.places.iter().filter(|&&place| place != 0).count(), truth.len());
        }
    }

    #[test]
    fn a_number_is_replaced_where_it_is() {
        let mut index = Index::new();
        index.insert(7, 1);
        index.insert(7, 2);
        index.renumber(7, 1, 5);
        assert_eq!(index.find(7, |at| at != 2), Some(5));
        assert_eq!(index.find(7, |at| at == 1), None);
        index.remove(7, 5);
        assert_eq!(index.find(7, |_| true), Some(2));
    }
}
