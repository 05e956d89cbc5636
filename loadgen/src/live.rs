//! The live view: what a drive is doing now, as a bar in a terminal, as plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::drive::Boundary;

/// Shows rates, percentiles, errors and the time left, on standard error.
pub struct Live {
    bar: Option<ProgressBar>,
    planned: Duration,
    /// Plain lines at most this often, in seconds.
    every_s: f64,
    shown_s: f64,
}

impl Live {
    /// A view of a measurement that is to last `planned`.
    pub fn new(planned: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(8);
            let bar = ProgressBar::with_draw_target(Some(planned.as_millis() as u64), target);
            let style = ProgressStyle::with_template("{elapsed:>4} {bar:28.cyan/dim} {msg}");
            bar.set_style(style.expect("the template is valid"));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let every_s = (planned.as_secs_f64() / 20.0).max(1.0);
        Self { bar, planned, every_s, shown_s: 0.0 }
    }

    /// Shows the slice that has ended. `more` is what the caller knows beside it: a hit rate.
    pub fn show(&mut self, boundary: &Boundary<'_>, more: &str) {
        if boundary.index == 0 {
            return;
        }
        let ended_s = boundary.slice.start_s + boundary.slice.duration_s;
        let line = line(boundary, (self.planned.as_secs_f64() - ended_s).max(0.0), more);
        match &self.bar {
            Some(bar) => {
                bar.set_position((ended_s * 1_000.0) as u64);
                bar.set_message(line);
            }
            None if ended_s - self.shown_s >= self.every_s * 0.99 => {
                eprintln!("[{ended_s:>5.1} s] {line}");
                self.shown_s = ended_s;
            }
            None => {}
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(boundary: &Boundary<'_>, left_s: f64, more: &str) -> String {
    let slice = boundary.slice;
    let count = |name: &str| slice.counters.get(name).copied().unwrap_or(0);
    let rate = count("client.ok") as f64 / slice.duration_s.max(1e-9);
    let latency = slice.latency.expand();
    let quantile = |q| latency.quantile_us(q).map_or_else(|| "–".to_owned(), microseconds);
    let totals = &boundary.totals.counts;
    let mut line = format!("{} /s  p50 {}  p99 {}", grouped(rate), quantile(0.5), quantile(0.99));
    line += &format!("  errors {}", grouped((totals.failures() + totals.wrong) as f64));
    if totals.dropped > 0 {
        line += &format!("  dropped {}", grouped(totals.dropped as f64));
    }
    if !more.is_empty() {
        line += &format!("  {more}");
    }
    line + &format!("  {left_s:.0} s left")
}

/// `1234567.8` as `1,234,568`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with the unit that reads best: `53.2 µs`, `1.21 ms`, `2.50 s`.
pub fn microseconds(us: f64) -> String {
    match us {
        _ if us < 1_000.0 => format!("{us:.1} µs"),
        _ if us < 1_000_000.0 => format!("{:.2} ms", us / 1_000.0),
        _ => format!("{:.2} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567.8), "1,234,568");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(microseconds(53.24), "53.2 µs");
        assert_eq!(microseconds(1_213.0), "1.21 ms");
        assert_eq!(microseconds(2_500_000.0), "2.50 s");
    }
}
