//! Which links were visited: what reads of a cold cache are held against.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts first visits: of each link one, until all are forgotten. A cache that was emptied cannot do with fewer reads than
/// links that are visited after, and needs no more.
#[derive(Debug)]
pub struct Visited {
    links: Box<[AtomicU64]>,
    firsts: AtomicU64,
}

impl Visited {
    /// None of so many links was visited.
    pub fn none_of(links: usize) -> Self {
        let words = links.div_ceil(64);
        Self { links: (0..words).map(|_| AtomicU64::new(0)).collect(), firsts: AtomicU64::new(0) }
    }

    #[inline]
    pub fn mark(&self, link: u32) {
        let (word, bit) = (&self.links[link as usize / 64], 1 << (link % 64));
        // Most visits are of links that were visited before, and write nothing.
        if word.load(Relaxed) & bit == 0 && word.fetch_or(bit, Relaxed) & bit == 0 {
            self.firsts.fetch_add(1, Relaxed);
        }
    }

    /// From now on the next visit of each link counts as its first again.
    pub fn forget(&self) {
        self.links.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// All first visits so far; it never decreases.
    pub fn firsts(&self) -> u64 {
        self.firsts.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_counts_once_until_it_is_forgotten() {
        let visited = Visited::none_of(130);
        [0, 129, 64, 0, 129].into_iter().for_each(|link| visited.mark(link));
        assert_eq!(visited.firsts(), 3);
        visited.forget();
        [0, 0].into_iter().for_each(|link| visited.mark(link));
        assert_eq!(visited.firsts(), 4);
    }
}
