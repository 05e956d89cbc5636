//! Progress on the terminal: a bar where there is one, plain lines where there is none.

use std::cell::Cell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows what is under way, and about how long the rest takes.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    expected: Duration,
    done: Cell<Duration>,
}

impl Progress {
    /// `expected` is the planned time of all phases together.
    pub fn start(expected: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(
                Some(expected.as_millis() as u64),
                ProgressDrawTarget::stderr_with_hz(8),
            );
            bar.set_style(
                ProgressStyle::with_template("{elapsed:>4} {bar:28.cyan/dim} {msg}")
                    .expect("the template is valid"),
            );
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar, started: Instant::now(), expected, done: Cell::new(Duration::ZERO) }
    }

    /// Announces a phase, and counts the one before it as done.
    pub fn phase(&self, text: &str, planned: Duration) {
        let left = self.expected.saturating_sub(self.done.get());
        let message = format!("{text} ({} s left)", left.as_secs().max(1));
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done.get().as_millis() as u64);
                bar.set_message(message);
            }
            None => eprintln!("[{:>3} s] {message}", self.started.elapsed().as_secs()),
        }
        self.done.set(self.done.get() + planned);
    }

    /// A passing detail of the phase under way; shown on a terminal only.
    pub fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
