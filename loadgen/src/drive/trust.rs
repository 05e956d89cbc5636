//! Whether the generator kept up: the reasons not to trust a drive's latencies.

use hdrhistogram::Histogram;
use proofload_reports::figure;
use proofload_reports::lag::{JUDGED, OWN_SHARE};

use super::{Drive, Slices, Totals};
use crate::record::Times;

/// Share of the time in which a worker may wait for its core, or the hypervisor hold it back.
const WAITED_SHARE: f64 = 0.05;
/// Share of its core that a closed generator may use before it measures its own queue.
const BUSY_SHARE: f64 = 0.95;

/// How late arrivals were noticed, at one quantile, in microseconds.
pub struct Lateness {
    pub name: &'static str,
    pub lag: f64,
    pub latency: f64,
    /// Lateness that is never held against a run: the wake-up of a task.
    pub harmless: f64,
}

/// What the generator noticed of its own condition.
pub struct Symptoms {
    pub open: bool,
    pub dropped: u64,
    /// Lateness and reported latency at p50 and p99, in microseconds.
    pub lag: Vec<Lateness>,
    /// Shares of the workers' time.
    pub waited: f64,
    pub stolen: f64,
    pub busy: f64,
    pub worst: Worst,
}

/// When each symptom was at its worst, where there are several slices: the second at which that slice began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Worst {
    pub dropped: Option<f64>,
    pub lag: Option<f64>,
    pub waited: Option<f64>,
    pub stolen: Option<f64>,
}

impl Worst {
    fn of(slices: &Slices) -> Self {
        if slices.len() < 2 {
            return Self::default();
        }
        let mut most = [(0.0, None); 4];
        for slice in slices.iter() {
            let count = |name: &str| slice.counters.get(name).copied().unwrap_or(0) as f64;
            let found = [
                count("client.dropped"),
                count("client.lag_us") / count("client.arrivals").max(1.0),
                count("cpu.generator_wait_us") / slice.duration_s.max(1e-9),
                count("machine.steal_us") / slice.counted_s("machine.steal_us").max(1e-9),
            ];
            for (most, found) in most.iter_mut().zip(found) {
                if found > most.0 {
                    *most = (found, Some(slice.start_s));
                }
            }
        }
        let [dropped, lag, waited, stolen] = most.map(|(_, start_s)| start_s);
        Self { dropped, lag, waited, stolen }
    }
}

/// `, most of all from 12.5 s`.
fn told(worst: Option<f64>) -> String {
    worst.map_or_else(String::new, |start_s| format!(", most of all from {start_s:.1} s"))
}

impl Symptoms {
    pub fn of(drive: &Drive, totals: &Totals, times: &Times, slices: &Slices) -> Self {
        let us: f64 = (slices.duration_s() * 1e6).max(1.0);
        let workers = drive.workers() as f64;
        let counts = &totals.counts;
        let stolen = slices.total("machine.steal_us");
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get()) as f64;
        Self {
            open: drive.load.is_open(),
            dropped: counts.dropped,
            lag: JUDGED
                .map(|(name, q, harmless)| Lateness {
                    name,
                    lag: quantile_us(&times.lag, q).unwrap_or(0.0),
                    // Where nothing was answered rightly there is no latency that could be the generator's.
                    latency: quantile_us(&totals.latency, q).unwrap_or(f64::INFINITY),
                    harmless,
                })
                .into(),
            waited: counts.generator_wait_us as f64 / (us * workers),
            stolen: stolen as f64 / (us * cores),
            busy: counts.generator_cpu_us as f64 / (us * workers),
            worst: Worst::of(slices),
        }
    }
}

/// Each reason names the figure it rests on.
pub fn reasons(symptoms: &Symptoms) -> Vec<String> {
    let mut reasons = Vec::new();
    if symptoms.open && symptoms.dropped > 0 {
        reasons.push(format!(
            "{} arrivals found no connection within the bound and were dropped: their latency is unknown{}",
            figure::count(symptoms.dropped),
            told(symptoms.worst.dropped)
        ));
    }
    for Lateness { name, lag, latency, harmless } in symptoms.lag.iter().filter(|_| symptoms.open) {
        if lag > harmless && *lag > latency * OWN_SHARE {
            reasons.push(format!(
                "the generator noticed arrivals late: {name} {} of a response {name} of {}{}",
                figure::time_us(*lag),
                figure::time_us(*latency),
                told(symptoms.worst.lag)
            ));
        }
    }
    for (share, worst, what) in [
        (symptoms.waited, symptoms.worst.waited, "the generator waited for its core"),
        (symptoms.stolen, symptoms.worst.stolen, "the hypervisor took the cores away"),
    ] {
        if share > WAITED_SHARE {
            reasons.push(format!("{what} {:.1} % of the time{}", share * 100.0, told(worst)));
        }
    }
    if !symptoms.open && symptoms.busy > BUSY_SHARE {
        reasons.push(format!(
            "the generator used {:.0} % of its core: service times hold its own queue",
            symptoms.busy * 100.0
        ));
    }
    reasons
}

fn quantile_us(histogram: &Histogram<u64>, q: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(q) as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proofload_reports::run::Slice;

    use super::*;
    use crate::connect::Target;
    use crate::drive::Load;
    use crate::record::{Counts, histogram};

    fn late(lag: f64, latency: f64) -> Vec<Lateness> {
        vec![Lateness { name: "p99", lag, latency, harmless: 500.0 }]
    }

    fn healthy() -> Symptoms {
        let worst = Worst::default();
        Symptoms {
            open: true,
            dropped: 0,
            lag: late(20.0, 150.0),
            waited: 0.0,
            stolen: 0.0,
            busy: 1.0,
            worst,
        }
    }

    #[test]
    fn a_healthy_open_generator_may_use_all_of_its_core() {
        assert!(reasons(&healthy()).is_empty());
    }

    #[test]
    fn each_symptom_is_a_reason() {
        let late = Symptoms { lag: late(600.0, 5_000.0), ..healthy() };
        assert!(
            reasons(&late)[0].contains("late: p99 600 µs of a response p99 of 5 ms"),
            "{:?}",
            reasons(&late)
        );
        assert!(reasons(&Symptoms { dropped: 1, ..healthy() })[0].contains("dropped"));
        assert!(reasons(&Symptoms { waited: 0.2, ..healthy() })[0].contains("20.0 %"));
        assert!(reasons(&Symptoms { stolen: 0.2, ..healthy() })[0].contains("hypervisor"));
        let busy = Symptoms { open: false, busy: 0.99, ..healthy() };
        assert!(reasons(&busy)[0].contains("own queue"));
    }

    #[test]
    fn a_reason_says_when_it_was_worst() {
        let mut slices = Slices::new().unwrap();
        for (index, us) in [10, 70, 40].into_iter().enumerate() {
            let counters = [("machine.steal_us", us), ("client.dropped", 100 - us)];
            let counters = counters.map(|(name, count)| (name.to_owned(), count)).into();
            let start_s = index as f64 * 0.5;
            slices.push(&Slice { start_s, duration_s: 0.5, counters, ..Slice::default() }).unwrap();
        }
        let worst = Worst::of(&slices);
        assert_eq!(worst, Worst { dropped: Some(0.0), stolen: Some(0.5), ..Worst::default() });
        let found = reasons(&Symptoms { dropped: 180, stolen: 0.2, worst, ..healthy() });
        assert!(found[0].ends_with("unknown, most of all from 0.0 s"), "{found:?}");
        assert!(found[1].ends_with("20.0 % of the time, most of all from 0.5 s"), "{found:?}");
    }

    #[test]
    fn where_no_request_succeeded_there_is_no_latency_to_be_late_by() {
        let load = Load::Open { arrivals: Arc::new(|| Box::new(std::iter::empty())), connections: 1 };
        let drive = Drive::new(Target::at(([127, 0, 0, 1], 1).into()), load, Duration::from_secs(1));
        let totals = Totals { counts: Counts::default(), latency: histogram() };
        let mut times = Times::new(1);
        times.lag.record(5_226_000).unwrap();
        assert!(reasons(&Symptoms::of(&drive, &totals, &times, &Slices::new().unwrap())).is_empty());
    }

    #[test]
    fn lateness_that_a_slow_target_drowns_is_no_reason() {
        assert!(reasons(&Symptoms { lag: late(600.0, 90_000.0), ..healthy() }).is_empty());
    }
}
