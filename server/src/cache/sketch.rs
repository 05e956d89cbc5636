//! A count-min sketch of how often links that are not cached were asked for lately.

/// Two rows of counters, the smaller of the two being the estimate (Cormode and Muthukrishnan's
/// count-min with conservative update, which never counts too little).
pub struct Sketch {
    rows: [Box<[u16]>; 2],
    mask: u64,
}

impl Sketch {
    /// Four counters a row for each resident keep collisions among the many cold links rare.
    pub fn for_residents(residents: usize) -> Self {
        let width = (residents.max(16) * 4).next_power_of_two();
        let row = || vec![0u16; width].into_boxed_slice();
        Self { rows: [row(), row()], mask: width as u64 - 1 }
    }

    /// Widens the rows where there are more residents by now. What was counted together so far stays so, and fades.
    pub fn fit(&mut self, residents: usize) {
        while self.rows[0].len() < residents * 4 {
            self.rows = self.rows.each_ref().map(|row| row.repeat(2).into_boxed_slice());
            self.mask = self.mask * 2 + 1;
        }
    }

    /// Counts one request of the link with this hash, then estimates how many there were.
    pub fn count(&mut self, hash: u64) -> u32 {
        let [first, second] = self.cells(hash);
        let estimate = self.rows[0][first].min(self.rows[1][second]).saturating_add(1);
        self.rows[0][first] = self.rows[0][first].max(estimate);
        self.rows[1][second] = self.rows[1][second].max(estimate);
        u32::from(estimate)
    }

    /// Halves every counter.
    pub fn fade(&mut self) {
        for row in &mut self.rows {
            row.iter_mut().for_each(|counter| *counter >>= 1);
        }
    }

    fn cells(&self, hash: u64) -> [usize; 2] {
        let second = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20;
        [((hash >> 8) & self.mask) as usize, (second & self.mask) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_counts_too_little_and_fades() {
        let mut sketch = Sketch::for_residents(16);
        let hash = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for round in 1..=6 {
            for link in 0..200 {
                assert!(sketch.count(hash(link)) >= round);
            }
        }
        sketch.fade();
        assert!(sketch.count(hash(3)) >= 4);
        let empty = Sketch::for_residents(16).count(hash(3));
        assert_eq!(empty, 1);
    }

    #[test]
    fn widens_with_its_residents_and_forgets_nothing() {
        let hash = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut sketch = Sketch::for_residents(0);
        for _ in 0..5 {
            sketch.count(hash(0));
        }
        sketch.fit(5_000);
        assert_eq!(sketch.rows.each_ref().map(|row| row.len()), [32_768; 2]);
        assert!(sketch.count(hash(0)) >= 6);
        sketch.fit(10);
        let wrong = (1..5_000).filter(|&link| sketch.count(hash(link)) > 1).count();
        // What was counted for one link stands in every cell that its own cells became.
        assert!(wrong < 500, "{wrong}");
    }
}
