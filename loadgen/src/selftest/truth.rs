//! What is true of a known server: closed formulas and exact replays, free of clocks.

use std::time::{Duration, Instant};

/// Response-time quantile `q`, in seconds, of a server that stalls for `lasting` of each `every` and then
/// drains what came meanwhile; `busy` is arrival rate × service time. Holds for quantiles within the stall.
pub fn stall_quantile(q: f64, every: Duration, lasting: Duration, busy: f64) -> f64 {
    lasting.as_secs_f64() - (1.0 - q) * every.as_secs_f64() * (1.0 - busy)
}

/// Response times, in seconds, of a queue with one server that works in order: each begins when it has
/// arrived and its predecessor is done (Lindley's recursion).
pub fn queue_responses(arrivals: &[Duration], services: &[Duration]) -> Vec<f64> {
    let mut free_at = Duration::ZERO;
    arrivals
        .iter()
        .zip(services.iter().cycle())
        .map(|(&arrival, &service)| {
            free_at = free_at.max(arrival) + service;
            (free_at - arrival).as_secs_f64()
        })
        .collect()
}

/// Response times, in seconds, as a server's own stamps tell them: the n-th request to come is the n-th that was due,
/// and the quickest of them needed `way` there and back.
pub fn served_responses(due: &[Duration], served: &[(Instant, Instant)], way: Duration) -> Vec<f64> {
    let pairs = || due.iter().zip(served);
    let began = pairs().filter_map(|(due, (arrived, _))| arrived.checked_sub(*due)).min();
    let Some(began) = began else { return Vec::new() };
    pairs().map(|(due, (_, answered))| (*answered - (began + *due) + way).as_secs_f64()).collect()
}

/// Response-time quantile `q`, in seconds, of a queue with Poisson arrivals and exponential service.
pub fn exponential_queue_quantile(q: f64, arrivals_per_s: f64, services_per_s: f64) -> f64 {
    -(1.0 - q).ln() / (services_per_s - arrivals_per_s)
}

/// The smallest value that at least a share `q` of `values` does not exceed.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil().max(1.0) as usize;
    values.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_stall_has_the_published_quantiles() {
        let (every, lasting) = (Duration::from_secs(30), Duration::from_secs(1));
        assert!((stall_quantile(0.99, every, lasting, 0.0) - 0.700).abs() < 1e-9);
        assert!((stall_quantile(0.999, every, lasting, 0.0) - 0.970).abs() < 1e-9);
    }

    #[test]
    fn a_queue_makes_the_second_of_two_wait() {
        let ms = Duration::from_millis;
        assert_eq!(queue_responses(&[ms(0), ms(1), ms(20)], &[ms(5)]), [0.005, 0.009, 0.005]);
    }

    #[test]
    fn a_server_that_was_held_up_says_so() {
        let (ms, began) = (Duration::from_millis, Instant::now());
        let served = [(10, 11), (21, 30), (29, 31)].map(|(came, left)| (began + ms(came), began + ms(left)));
        // They came 10, 11 and 9 ms after they were due: the third was quickest, so the schedule is taken to begin at 9 ms.
        let responses = served_responses(&[ms(0), ms(10), ms(20)], &served, ms(1));
        assert_eq!(responses, [0.003, 0.012, 0.003]);
    }

    #[test]
    fn quantiles_of_few_values_are_values() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0, 4.0], 0.99), 4.0);
    }
}
