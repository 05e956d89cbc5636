//! Surprises: the first wrong answers and failures in words, those that are alike told once.

use std::fmt::Display;

use proofload_reports::figure;

/// Kinds that are kept. A target that answers differently each time would fill the memory.
const KEPT: usize = 8;

#[derive(Debug, Default)]
pub struct Surprises(Vec<Surprise>);

#[derive(Debug)]
struct Surprise {
    what: String,
    how: String,
    /// The first of them, with which it was.
    first: String,
    count: u64,
}

impl Surprises {
    /// Keeps what befell a request, or counts it where the like is known. `which` tells it from those that are alike.
    pub fn note(&mut self, what: &str, which: &str, how: &dyn Display) {
        let how = how.to_string();
        match self.known(what, &how) {
            Some(known) => known.count += 1,
            None => self.keep(Surprise {
                what: what.to_owned(),
                first: format!("{what}{which}: {how}"),
                how,
                count: 1,
            }),
        }
    }

    /// Puts a remark before all others.
    pub fn begin_with(&mut self, first: String) {
        self.0.insert(0, Surprise { what: first.clone(), how: String::new(), first, count: 1 });
    }

    /// Adds what another worker met.
    pub fn merge(&mut self, others: Self) {
        for other in others.0 {
            match self.known(&other.what, &other.how) {
                Some(known) => known.count += other.count,
                None => self.keep(other),
            }
        }
    }

    /// One line each: `GET /, row 7: status 500 Internal Server Error (1,234 times)`.
    pub fn told(&self) -> Vec<String> {
        let told = |it: &Surprise| match it.count {
            1 => it.first.clone(),
            count => format!("{} ({} times)", it.first, figure::count(count)),
        };
        self.0.iter().map(told).collect()
    }

    fn known(&mut self, what: &str, how: &str) -> Option<&mut Surprise> {
        self.0.iter_mut().find(|known| known.what == what && known.how == how)
    }

    fn keep(&mut self, surprise: Surprise) {
        if self.0.len() < KEPT {
            self.0.push(surprise);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_told_once_with_its_count() {
        let (mut one, mut other) = (Surprises::default(), Surprises::default());
        for row in 0..1_500 {
            one.note("GET /", &format!(", row {row}"), &"status 500");
        }
        one.note("no connection", ", after 1 ms", &"nothing came");
        other.note("no connection", ", after 998 µs", &"nothing came");
        other.note("GET /", ", row 4", &"status 404");
        one.merge(other);
        assert_eq!(
            one.told(),
            [
                "GET /, row 0: status 500 (1,500 times)",
                "no connection, after 1 ms: nothing came (2 times)",
                "GET /, row 4: status 404"
            ]
        );
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let mut surprises = Surprises::default();
        (0..100).for_each(|row| surprises.note("GET /", "", &format!("body {row}")));
        surprises.begin_with("all rows are used".to_owned());
        let told = surprises.told();
        assert_eq!((told.len(), told[0].as_str()), (KEPT + 1, "all rows are used"));
    }
}
