//! What a drive is asked to do, with everything resolved to numbers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use proofload_scenarios::scenario::HttpOptions;

use super::{DriveError, files};
use crate::connect::Target;

/// Makes the same sequence anew for every worker; each then takes its share of it.
pub type Source<T> = Arc<dyn Fn() -> Box<dyn Iterator<Item = T> + Send> + Send + Sync>;

/// Who decides when a request is sent.
#[derive(Clone)]
pub enum Load {
    /// Arrivals do not wait for answers. The offsets count from the beginning of the warm-up, in
    /// ascending order; those past the end of the measurement are not asked for.
    Open { arrivals: Source<Duration>, connections: usize },
    /// Each connection sends its next request when the last was answered and thought about.
    Closed { connections: usize, think: Duration },
}

impl Load {
    pub fn connections(&self) -> usize {
        match self {
            Load::Open { connections, .. } | Load::Closed { connections, .. } => *connections,
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self, Load::Open { .. })
    }
}

/// One drive. `Drive::new` fills in what is rarely changed.
#[derive(Clone)]
pub struct Drive {
    pub target: Target,
    pub load: Load,
    /// Load that is not measured, first.
    pub warm_up: Duration,
    pub measurement: Duration,
    /// Length of a slice of the measurement.
    pub slice: Duration,
    /// One worker a core, pinned to it; none: one worker, not pinned.
    pub cores: Vec<usize>,
    /// Longest wait for a connection, and for an answer.
    pub timeout: Duration,
    /// Arrivals that may wait for a connection, over all workers; more are dropped and counted.
    pub waiting: usize,
    /// How long nothing but failures ends the drive: the target is dead.
    pub patience: Duration,
    /// Set it to end the drive early.
    pub stop: Arc<AtomicBool>,
    #[doc(hidden)]
    pub mutation: Mutation,
}

/// A deliberate fault in the measuring, to see that the tests of truth notice it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mutation {
    #[default]
    None,
    /// Time starts when the request is sent.
    StampFromSending,
    /// Time starts when the pacer wakes.
    StampFromWaking,
    /// What a request waited before it was sent is charged to it twice.
    CorrectTwice,
    /// Arrivals that find no connection vanish without a count.
    ForgetOverflow,
    /// Percentiles of the whole are averages of those of its slices.
    AveragePercentiles,
}

impl Drive {
    pub fn new(target: Target, load: Load, measurement: Duration) -> Self {
        Self {
            target,
            load,
            warm_up: Duration::ZERO,
            measurement,
            slice: Duration::from_secs(1),
            cores: Vec::new(),
            timeout: Duration::from_secs_f64(HttpOptions::TIMEOUT_S),
            waiting: 65_536,
            patience: Duration::from_secs(3),
            stop: Arc::default(),
            mutation: Mutation::None,
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.cores.len().clamp(1, self.load.connections())
    }

    /// # Errors
    /// When nothing could come of it.
    pub fn validate(&self) -> Result<(), DriveError> {
        let complain = |text: &str| Err(DriveError::Misconfigured(text.to_owned()));
        match self {
            _ if self.load.connections() == 0 => complain("a drive needs at least one connection"),
            _ if self.measurement.is_zero() => complain("a measurement of no length measures nothing"),
            _ if self.slice.is_zero() => complain("a slice must have a length"),
            _ if self.timeout.is_zero() => complain("a timeout of zero lets nothing succeed"),
            _ => files::suffice(self.load.connections(), self.workers()).map_err(DriveError::Misconfigured),
        }
    }
}
