//! The live view: what is under way and what it measures, as a bar in a terminal, as plain lines elsewhere.

use std::cell::Cell;
use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::drive::Boundary;
use crate::facts::hits_of_lookups;

/// Shows phases, and the rates, percentiles and errors of each drive, on standard error.
pub struct Live {
    bar: Option<ProgressBar>,
    started: Instant,
    /// What all phases together are to take; zero where nobody knows.
    planned: Duration,
    /// What the phases before this one were to take.
    before: Cell<Duration>,
    /// What this phase is to take, and when it began.
    phase: Cell<Duration>,
    began: Cell<Instant>,
    /// When the end is expected, in milliseconds since the start.
    end_ms: Arc<AtomicU64>,
    /// Plain lines at most this often.
    every: Duration,
    shown: Cell<Option<Instant>>,
}

impl Live {
    /// A view of phases that are to take so long together.
    pub fn start(planned: Duration) -> Self {
        let end_ms = Arc::new(AtomicU64::new(planned.as_millis() as u64));
        let bar = stderr().is_terminal().then(|| bar(planned, end_ms.clone()));
        Self {
            bar,
            started: Instant::now(),
            planned,
            before: Cell::default(),
            phase: Cell::default(),
            began: Cell::new(Instant::now()),
            end_ms,
            every: (planned / 20).max(Duration::from_secs(1)),
            shown: Cell::new(None),
        }
    }

    /// Announces a phase, and counts the one before it as done.
    pub fn phase(&self, name: &str, planned: Duration) {
        self.before.set(self.before.get() + self.phase.replace(planned));
        self.began.set(Instant::now());
        let left = self.planned.saturating_sub(self.before.get()).max(planned);
        let end = self.started.elapsed() + left;
        self.end_ms.store(end.as_millis() as u64, Ordering::Relaxed);
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.before.get().as_millis() as u64);
                bar.set_prefix(shortened(name));
                bar.set_message(String::new());
            }
            None if self.planned.is_zero() => self.print(name),
            None => self.print(&format!("{name} ({} s left)", left.as_secs().max(1))),
        }
    }

    /// Shows the slice that has ended.
    pub fn show(&self, boundary: &Boundary<'_>) {
        if boundary.index == 0 {
            return;
        }
        let line = figures(boundary);
        match &self.bar {
            Some(bar) => {
                let into = self.began.get().elapsed().min(self.phase.get());
                bar.set_position((self.before.get() + into).as_millis() as u64);
                bar.set_message(line);
            }
            // A slice that comes a little early shall not wait for the next.
            None if self.shown.get().is_none_or(|shown| shown.elapsed() >= self.every.mul_f64(0.9)) => {
                self.shown.set(Some(Instant::now()));
                let end = self.end_ms.load(Ordering::Relaxed) as f64 / 1e3;
                let left = (end - self.started.elapsed().as_secs_f64()).max(0.0);
                match self.planned.is_zero() {
                    true => self.print(&line),
                    false => self.print(&format!("{line}  {left:.0} s left")),
                }
            }
            None => {}
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn print(&self, line: &str) {
        eprintln!("[{:>3} s] {line}", self.started.elapsed().as_secs());
    }
}

/// Two lines, neither longer than 80 columns: what is under way, and its figures.
fn bar(planned: Duration, end_ms: Arc<AtomicU64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(8);
    let bar = ProgressBar::with_draw_target(Some(planned.as_millis().max(1) as u64), target);
    let style =
        ProgressStyle::with_template("{elapsed:>4} {bar:24.cyan/dim} {left:>6} left  {prefix}\n     {msg}");
    let left = move |state: &ProgressState, text: &mut dyn Write| {
        let end = Duration::from_millis(end_ms.load(Ordering::Relaxed));
        let _ = match planned.is_zero() {
            true => write!(text, "?"),
            false => write!(text, "{} s", end.saturating_sub(state.elapsed()).as_secs()),
        };
    };
    bar.set_style(style.expect("the template is valid").with_key("left", left));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// What fits beside bar and times into 80 columns.
fn shortened(name: &str) -> String {
    const FITS: usize = 36;
    match name.chars().count() {
        0..=FITS => name.to_owned(),
        _ => name.chars().take(FITS - 1).chain(['…']).collect(),
    }
}

fn figures(boundary: &Boundary<'_>) -> String {
    let slice = &*boundary.slice;
    let count = |name: &str| slice.counters.get(name).copied().unwrap_or(0);
    let rate = count("client.ok") as f64 / slice.duration_s.max(1e-9);
    let latency = slice.latency.unpack();
    let quantile = |q| latency.quantile_us(q).map_or_else(|| "–".to_owned(), microseconds);
    let totals = &boundary.totals.counts;
    let mut line = format!("{} /s  p50 {}  p99 {}", grouped(rate), quantile(0.5), quantile(0.99));
    line += &format!("  errors {}", grouped((totals.failures() + totals.wrong) as f64));
    if totals.dropped > 0 {
        line += &format!("  dropped {}", grouped(totals.dropped as f64));
    }
    let (hits, lookups) = hits_of_lookups(count);
    if lookups > 0 {
        line += &format!("  hits {:.1} %", hits as f64 / lookups as f64 * 100.0);
    }
    line
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
        _ if us.is_infinite() => "never".to_owned(),
        _ if us < 1_000.0 => format!("{us:.1} µs"),
        _ if us < 1_000_000.0 => format!("{:.2} ms", us / 1_000.0),
        _ => format!("{:.2} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"n".repeat(80)).chars().count(), 36);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567.8), "1,234,568");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(microseconds(53.24), "53.2 µs");
        assert_eq!(microseconds(1_213.0), "1.21 ms");
        assert_eq!(microseconds(2_500_000.0), "2.50 s");
    }
}
