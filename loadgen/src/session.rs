//! A run in the making: what is known at its beginning, and what its end adds.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use proofload_reports::Run;
use proofload_reports::run::VERSION;

use crate::cli::Profile;
use crate::connect::presentable;
use crate::lab::Lab;
use crate::{environment, interrupt, selftest};

pub struct Session {
    pub run: Run,
    began: Instant,
}

impl Session {
    pub fn begin(verb: &str, profile: Profile, lab: &Lab) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = Run {
            version: VERSION,
            verb: verb.to_owned(),
            command: std::env::args().map(|word| presentable(&word).into_owned()).collect(),
            profile: profile.name().to_owned(),
            started_unix_ms: now.as_millis() as u64,
            duration_s: 0.0,
            environment: environment::describe(&lab.cores, lab.backends()),
            claims: Vec::new(),
            measurements: Vec::new(),
            invalid: Vec::new(),
            generator_error: selftest::last_known(),
            bars: Vec::new(),
            not_checked: Vec::new(),
        };
        Self { run, began: Instant::now() }
    }

    /// The finished run; an interrupted one cannot be trusted, and says so.
    pub fn end(mut self) -> Run {
        self.run.duration_s = self.began.elapsed().as_secs_f64();
        if interrupt::requested() {
            self.run.invalid.push("interrupted before it was complete".to_owned());
        }
        self.run
    }
}
