//! What is sent, in order: a seeded run of operations, and the URLs that creates ask for.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use crate::popularity::Popularity;
use crate::random::{self, Purpose, mix};
use crate::scenario::{Action, Links, OperationTemplate};

/// One request to be made. What it expects follows from it: the link's URL, a 404, a template's checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Create the link `url_of(seed, sequence)`.
    Create { sequence: u64 },
    /// Visit the link that was created as number `link`.
    Visit { link: u32 },
    /// Visit a code that was never handed out.
    VisitUnknown { code: [u8; 8] },
    /// The `row`-th use of an HTTP template; templates count among the `http` operations only.
    Http { template: u16, row: u64 },
}

/// An endless run of operations, drawn by weight. A seed decides all of them.
#[derive(Debug, Clone)]
pub struct Workload {
    mix: Vec<Share>,
    total_weight: u64,
    popularity: Option<Popularity>,
    operations: Pcg64Mcg,
    codes: Pcg64Mcg,
    created: u64,
}

/// One kind of operation, and the sum of weights up to and with its own.
#[derive(Debug, Clone)]
struct Share {
    up_to: u64,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Create,
    Visit,
    VisitUnknown,
    Http { template: u16, used: u64 },
}

impl Workload {
    /// The mix of `operations`, visiting `links`. Which links are hot follows from `seed` alone; what
    /// is drawn follows from `seed` and `phase`, so that a warm-up is not the measurement run twice.
    ///
    /// # Panics
    /// If there is no operation, or a visit without links; a validated scenario has neither.
    pub fn new(operations: &[OperationTemplate], links: Option<&Links>, seed: u64, phase: u64) -> Self {
        assert!(!operations.is_empty(), "a workload needs an operation");
        let visits = operations.iter().any(|operation| operation.action == Action::Visit);
        assert!(links.is_some() || !visits, "a visit needs links");
        let phase_seed = seed ^ mix(phase);
        let mix = shares(operations);
        Self {
            total_weight: mix.last().map_or(0, |share| share.up_to),
            mix,
            popularity: links.filter(|_| visits).map(|links| popularity(links, seed).visits_from(phase_seed)),
            operations: random::stream(phase_seed, Purpose::Operations),
            codes: random::stream(phase_seed, Purpose::UnknownCodes),
            created: 0,
        }
    }

    /// Numbers creates from `sequence` on: each phase must ask for links that no other asked for.
    pub fn creating_from(mut self, sequence: u64) -> Self {
        self.created = sequence;
        self
    }

    /// The sequence number that the next create will have.
    pub fn next_sequence(&self) -> u64 {
        self.created
    }

    #[inline]
    fn draw(&mut self) -> Operation {
        let index = match self.mix.len() {
            1 => 0,
            _ => {
                let weight = random::below(&mut self.operations, self.total_weight);
                self.mix.partition_point(|share| share.up_to <= weight)
            }
        };
        match &mut self.mix[index].kind {
            Kind::Create => {
                self.created += 1;
                Operation::Create { sequence: self.created - 1 }
            }
            Kind::Visit => {
                let popularity = self.popularity.as_mut().expect("checked when the workload was made");
                Operation::Visit { link: popularity.visit() }
            }
            Kind::VisitUnknown => Operation::VisitUnknown { code: unknown_code(&mut self.codes) },
            Kind::Http { template, used } => {
                *used += 1;
                Operation::Http { template: *template, row: *used - 1 }
            }
        }
    }
}

impl Iterator for Workload {
    type Item = Operation;

    #[inline]
    fn next(&mut self) -> Option<Operation> {
        Some(self.draw())
    }
}

/// The popularity that a scenario's links have: the same for clicks, for warming and for visits.
pub fn popularity(links: &Links, seed: u64) -> Popularity {
    let popularity = Popularity::new(links.count, links.zipf, seed);
    match links.half_life_visits {
        Some(half_life) => popularity.drifting(half_life),
        None => popularity,
    }
}

/// The target of the `n`-th link: 58 to 113 bytes, plain ASCII, no two alike for one seed.
pub fn url_of(seed: u64, n: u64) -> String {
    const HOSTS: [&str; 4] = ["www.example.com", "shop.example.org", "news.example.net", "docs.example.com"];
    const WORDS: [&str; 8] =
        ["autumn", "catalogue", "harbour", "letters", "mountain-railways", "paper", "timetable", "weather"];
    // A bijection of n: it looks random, and it cannot repeat.
    let id = mix(n ^ mix(seed));
    let pick = |shift: u32, from: &[&'static str]| from[(id >> shift) as usize % from.len()];
    let mut url = String::with_capacity(113);
    url.push_str("https://");
    url.push_str(pick(0, &HOSTS));
    for shift in [2, 5, 8] {
        url.push('/');
        url.push_str(pick(shift, &WORDS));
    }
    url.push('/');
    push_hex(&mut url, id);
    if id >> 11 & 1 == 1 {
        url.push_str("?utm_source=letter");
    }
    url
}

fn push_hex(text: &mut String, value: u64) {
    for shift in (0..16).rev() {
        let digit = (value >> (4 * shift) & 15) as u8;
        text.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
    }
}

/// Eight digits of base 62 at random: of 62⁸ codes a scenario's links are too few to be met.
pub fn unknown_code(random: &mut Pcg64Mcg) -> [u8; 8] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut value = random.next_u64();
    std::array::from_fn(|_| {
        let digit = DIGITS[(value % 62) as usize];
        value /= 62;
        digit
    })
}

fn shares(operations: &[OperationTemplate]) -> Vec<Share> {
    let mut up_to = 0;
    let mut templates = 0;
    operations
        .iter()
        .map(|operation| {
            up_to += u64::from(operation.weight);
            let kind = match operation.action {
                Action::Create => Kind::Create,
                Action::Visit => Kind::Visit,
                Action::VisitUnknown => Kind::VisitUnknown,
                Action::Http(_) => {
                    templates += 1;
                    Kind::Http { template: templates - 1, used: 0 }
                }
            };
            Share { up_to, kind }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn operation(weight: u32, action: Action) -> OperationTemplate {
        OperationTemplate { weight, action }
    }

    fn links() -> Links {
        Links { count: 1_000, zipf: 0.99, clicks: 0, restart: false, half_life_visits: None }
    }

    fn mixed(seed: u64, phase: u64) -> Workload {
        let mix =
            [operation(1, Action::Create), operation(8, Action::Visit), operation(1, Action::VisitUnknown)];
        Workload::new(&mix, Some(&links()), seed, phase)
    }

    #[test]
    fn a_seed_and_a_phase_decide_every_operation() {
        let first = |seed, phase| mixed(seed, phase).take(1_000).collect::<Vec<_>>();
        assert_eq!(first(1, 0), first(1, 0));
        assert_ne!(first(1, 0), first(2, 0));
        assert_ne!(first(1, 0), first(1, 1));
    }

    /// Written down: a change here breaks the promise that recorded seeds can be run again.
    #[test]
    fn a_seed_gives_these_operations_for_ever() {
        let first: Vec<_> = mixed(20_150_517, 0).take(4).collect();
        assert_eq!(
            first,
            [
                Operation::VisitUnknown { code: *b"gRtbQZhv" },
                Operation::Visit { link: 862 },
                Operation::Visit { link: 201 },
                Operation::VisitUnknown { code: *b"qYyZilzZ" },
            ]
        );
    }

    #[test]
    fn weights_are_shares_of_the_mix() {
        let mut counts = [0i32; 3];
        for operation in mixed(5, 0).take(100_000) {
            match operation {
                Operation::Create { .. } => counts[0] += 1,
                Operation::Visit { link } => {
                    assert!(link < 1_000);
                    counts[1] += 1;
                }
                Operation::VisitUnknown { code } => {
                    assert!(code.iter().all(u8::is_ascii_alphanumeric));
                    counts[2] += 1;
                }
                Operation::Http { .. } => unreachable!("not in the mix"),
            }
        }
        for (count, expected) in counts.into_iter().zip([10_000, 80_000, 10_000]) {
            assert!((count - expected).abs() < 500, "{counts:?}");
        }
    }

    #[test]
    fn phases_agree_on_what_is_hot() {
        let hottest = popularity(&links(), 9).hottest_first()[0];
        for phase in 0..3 {
            let mut counts = vec![0; 1_000];
            for operation in
                Workload::new(&[operation(1, Action::Visit)], Some(&links()), 9, phase).take(10_000)
            {
                if let Operation::Visit { link } = operation {
                    counts[link as usize] += 1;
                }
            }
            let most = (0..1_000).max_by_key(|&link| counts[link as usize]);
            assert_eq!(most, Some(hottest));
        }
    }

    #[test]
    fn creates_are_numbered_across_phases() {
        let mut workload = Workload::new(&[operation(1, Action::Create)], None, 1, 1).creating_from(70);
        assert_eq!(workload.next(), Some(Operation::Create { sequence: 70 }));
        assert_eq!(workload.next_sequence(), 71);
    }

    #[test]
    fn urls_are_distinct_and_of_a_real_length() {
        let urls: HashSet<String> = (0..100_000).map(|n| url_of(3, n)).collect();
        assert_eq!(urls.len(), 100_000);
        let lengths: Vec<usize> = urls.iter().map(String::len).collect();
        assert!(lengths.iter().all(|length| (58..=113).contains(length)));
        assert_ne!(url_of(3, 0), url_of(4, 0));
        assert_eq!(
            url_of(3, 0),
            "https://docs.example.com/paper/mountain-railways/autumn/bccdfd9c96a18897?utm_source=letter"
        );
    }
}
