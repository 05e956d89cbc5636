//! Remembers for a moment which codes have no link, so that asking again costs no read.

use hashbrown::HashSet;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Two generations of codes; the older is dropped as a whole. A code is remembered for at most two [`Negative::TURN`]s,
/// so a link that another process just created is seen within a second.
pub struct Negative {
    /// The most codes in a generation: someone who guesses codes fills no more memory than this.
    most: usize,
    generations: Mutex<Generations>,
}

struct Generations {
    young: HashSet<Box<str>>,
    old: HashSet<Box<str>>,
    turned: Instant,
}

impl Negative {
    pub const TURN: Duration = Duration::from_millis(450);

    /// Remembers up to `most` codes, half of them in each generation.
    pub fn new(most: usize, now: Instant) -> Self {
        let generations = Generations { young: HashSet::new(), old: HashSet::new(), turned: now };
        Self { most: most / 2, generations: Mutex::new(generations) }
    }

    pub fn contains(&self, code: &str, now: Instant) -> bool {
        let mut generations = self.generations.lock();
        generations.turn(now);
        generations.young.contains(code) || generations.old.contains(code)
    }

    pub fn insert(&self, code: &str, now: Instant) {
        let mut generations = self.generations.lock();
        generations.turn(now);
        if generations.young.len() < self.most {
            generations.young.insert(code.into());
        }
    }

    pub fn remove(&self, code: &str) {
        let mut generations = self.generations.lock();
        generations.young.remove(code);
        generations.old.remove(code);
    }

    pub fn clear(&self) {
        let mut generations = self.generations.lock();
        generations.young.clear();
        generations.old.clear();
    }
}

impl Generations {
    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned);
        if age < Negative::TURN {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        self.turned += Negative::TURN;
        if age >= 2 * Negative::TURN {
            self.old.clear();
            self.turned = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_less_than_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let negative = Negative::new(10, start);
        negative.insert("abc", at(0));
        assert!(negative.contains("abc", at(449)));
        assert!(negative.contains("abc", at(899)));
        assert!(!negative.contains("abc", at(1_000)));
        negative.insert("abc", at(2_000));
        negative.remove("abc");
        assert!(!negative.contains("abc", at(2_000)));
        negative.insert("abc", at(3_000));
        assert!(!negative.contains("abc", at(4_000)));
    }

    #[test]
    fn is_bounded() {
        let now = Instant::now();
        let negative = Negative::new(200, now);
        let remembered = |now| (0..300).filter(|i| negative.contains(&i.to_string(), now)).count();
        (0..150).for_each(|i| negative.insert(&i.to_string(), now));
        assert_eq!(remembered(now), 100);
        let later = now + Negative::TURN;
        (150..300).for_each(|i| negative.insert(&i.to_string(), later));
        assert_eq!(remembered(later), 200);
    }
}
