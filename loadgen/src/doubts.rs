//! Doubts: what drives say against the measurement that they are part of, and where.

use proofload_reports::run::Measurement;

use crate::drive::Recording;
use crate::interrupt;

/// Of what many short drives say alike, the first is told with where else: a page of it tells no more.
pub fn condense(reasons: &mut Vec<String>) {
    const PLACES: usize = 3;
    let mut kept: Vec<(String, String, Vec<String>)> = Vec::new();
    for reason in reasons.drain(..) {
        match kept.iter_mut().find(|(of, ..)| *of == kind(&reason)) {
            Some((.., more)) => {
                more.push(reason.rsplit_once(IN).map_or(String::new(), |(_, it)| it.to_owned()))
            }
            None => kept.push((kind(&reason), reason, Vec::new())),
        }
    }
    reasons.extend(kept.into_iter().map(|(_, first, more)| {
        let mut places: Vec<&str> = more.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        let others = if places.len() > PLACES { ", …" } else { "" };
        places.truncate(PLACES);
        match (more.len(), places.as_slice()) {
            (0, _) => first,
            (n, []) => format!("{first}, and likewise in {n} more slices"),
            (n, places) => format!("{first}, and likewise in {n} more slices: {}{others}", places.join(", ")),
        }
    }));
}

/// What stands between a reason and the slice that it is of.
const IN: &str = ", in ";

/// What reasons of one kind have in common: their words up to the first figure, without a figure that they begin with. A
/// quantile's name is no figure.
fn kind(reason: &str) -> String {
    let is_figure = |word: &&str| word.starts_with(|it: char| it.is_ascii_digit());
    let words = reason.rsplit_once(IN).map_or(reason, |(words, _)| words).split_whitespace();
    words.skip_while(is_figure).take_while(|word| !is_figure(word)).collect::<Vec<_>>().join(" ")
}

/// What a drive says about its own trustworthiness. One that is a slice of several names it: its variant, and when it began.
pub fn enter(recording: &Recording, slice: Option<(&str, f64)>, into: &mut Measurement) {
    let of_slice = |reason: &String| match slice {
        Some((variant, start_s)) => format!("{reason}{IN}`{variant}` from {start_s:.1} s"),
        None => reason.clone(),
    };
    into.invalid_latency.extend(recording.invalid_latency.iter().map(of_slice));
    let ended_early = recording.ended_early.iter().filter(|_| !interrupt::requested());
    into.invalid.extend(ended_early.map(of_slice));
    const REMARKS: usize = 10;
    let room = REMARKS.saturating_sub(into.remarks.len());
    into.remarks.extend(recording.samples.iter().take(room).cloned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_slices_say_is_told_once_with_where() {
        let lag = |us: u32, place: &str| format!("the generator lagged: p99 {us} µs{IN}{place}");
        let mut reasons: Vec<String> =
            [(600, "`a` from 0.5 s"), (700, "`b` from 1.0 s"), (800, "`b` from 2.0 s")]
                .map(|(us, place)| lag(us, place))
                .into();
        // Of one drive, what its two quantiles say is no matter of slices.
        reasons.push(lag(300, "`a` from 0.5 s").replace("p99", "p50"));
        reasons.extend([3, 4].map(|n| format!("{n} arrivals were dropped{IN}`b` from {n}.0 s")));
        condense(&mut reasons);
        assert_eq!(
            reasons,
            [
                "the generator lagged: p99 600 µs, in `a` from 0.5 s, and likewise in 2 more slices: `b` from 1.0 s, `b` \
                 from 2.0 s",
                "the generator lagged: p50 300 µs, in `a` from 0.5 s",
                "3 arrivals were dropped, in `b` from 3.0 s, and likewise in 1 more slices: `b` from 4.0 s"
            ]
        );
    }
}
