//! Two variants against each other, by what they counted.

use std::collections::BTreeMap;

use proofload_scenarios::{Check, Compare};

use super::measure::{Measured, needed, unanswered};
use super::words;
use crate::figure;
use crate::run::Series;
use crate::statistics::bootstrap::{self, FEWEST_BLOCKS, RESAMPLES};
use crate::statistics::{Estimate, rare};

/// The ratio of one variant over that of another, paired by interleaved block.
pub(super) fn ratio(
    check: &Check,
    sum: &[String],
    per: &[String],
    compare: &Compare,
    series: &[&Series],
) -> Result<Measured, String> {
    let sides = [series[0], series[1]].map(|series| {
        series.slices.iter().map(|slice| (slice.block, (slice.sum(sum), slice.sum(per)))).collect::<Vec<_>>()
    });
    let totals =
        [0, 1].map(|side: usize| sides[side].iter().fold((0, 0), |(x, y), (_, it)| (x + it.0, y + it.1)));
    for (name, (_, trials)) in [&compare.of, &compare.over].into_iter().zip(totals) {
        if trials == 0 {
            return Err(format!("{} counted nothing for variant `{name}`", per.join(" + ")));
        }
    }
    if totals[0].0 + totals[1].0 == 0 {
        return Err(format!("neither variant had any {}: there is no ratio", words::noun(sum, "or")));
    }
    let (blocks, left_out) = paired(&sides);
    let enough = blocks.len() >= FEWEST_BLOCKS;
    let estimate = ratio_of_variants(check, &blocks, totals);
    // What was asked for and never answered may have been done: it counts above and not below, or the other way.
    let lost = [series[0], series[1]].map(unanswered);
    let all_over_answered = lost.map(|share| 1.0 / (1.0 - share).max(f64::EPSILON));
    let most = all_over_answered[0] * all_over_answered[1];
    let estimate = estimate.clone().widened_to(estimate.low / most, estimate.high * most);
    let mut doubts = Vec::new();
    if !enough {
        doubts.push(format!(
            "{} interleaved blocks do not show how they scatter: {FEWEST_BLOCKS} are needed",
            blocks.len()
        ));
    }
    let mut notes = Vec::new();
    if left_out > 0 {
        doubts.push(format!("in {left_out} blocks one variant got nothing done, and they count for neither"));
    }
    if most > 1.0 {
        notes.push(format!("widened by {:.3} % for requests whose answer never came", (most - 1.0) * 100.0));
    }
    notes.push(
        "one start of each variant: how much one start differs from the next is not in the interval"
            .to_owned(),
    );
    let needed = if enough { needed(&estimate, check.bound.value()) } else { Some(FEWEST_BLOCKS as u64) };
    Ok(Measured { estimate, needed, doubts, notes })
}

type Sums = (u64, u64);
type Block = [(f64, f64); 2];

/// The blocks that hold both sides, and how many do not.
fn paired(sides: &[Vec<(u32, Sums)>; 2]) -> (Vec<Block>, usize) {
    let mut blocks: BTreeMap<u32, Block> = BTreeMap::new();
    for (side, slices) in sides.iter().enumerate() {
        for (block, (events, trials)) in slices {
            let sums = &mut blocks.entry(*block).or_default()[side];
            *sums = (sums.0 + *events as f64, sums.1 + *trials as f64);
        }
    }
    let all = blocks.len();
    let whole: Vec<Block> = blocks.into_values().filter(|it| it[0].1 > 0.0 && it[1].1 > 0.0).collect();
    let left_out = all - whole.len();
    (whole, left_out)
}

fn ratio_of_variants(check: &Check, blocks: &[Block], totals: [Sums; 2]) -> Estimate {
    let exact = rare::ratio_of_rates(
        (totals[0].0, totals[0].1 as f64),
        (totals[1].0, totals[1].1 as f64),
        check.confidence,
    );
    let few = totals[0].0.min(totals[1].0) < rare::FEW;
    let samples = blocks.len() as f64;
    if blocks.len() < FEWEST_BLOCKS {
        let rate = |(events, trials): Sums| events as f64 / trials as f64;
        let value = rate(totals[0]) / rate(totals[1]);
        let method = "the best case: exact for two Poisson counts".to_owned();
        return Estimate { value, low: exact.0, high: exact.1, samples, method };
    }
    let found = bootstrap::ratio_of_ratios(blocks, check.confidence, RESAMPLES);
    let method = format!(
        "bootstrap of the log ratio over {} interleaved blocks, {} resamples{}",
        blocks.len(),
        figure::count(RESAMPLES as u64),
        if few { ", no narrower than exact for two Poisson counts" } else { "" }
    );
    let estimate = Estimate { value: found.value, low: found.low, high: found.high, samples, method };
    if few { estimate.widened_to(exact.0, exact.1) } else { estimate }
}
