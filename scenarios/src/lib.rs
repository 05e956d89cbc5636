//! What is asked: claims, scenarios, workloads and schedules, as data and pure functions.

pub mod access_log;
pub mod catalogue;
pub mod claim;
mod claim_file;
pub mod file;
pub mod popularity;
pub mod random;
pub mod scenario;
mod scenario_file;
pub mod schedule;
pub mod sweep;
pub mod template;
pub mod trace;
pub mod workload;
pub mod zipf;

pub use access_log::Replay;
pub use claim::{Bound, Check, Claim, Compare, Kind, Metric};
pub use file::FileError;
pub use popularity::Popularity;
pub use scenario::{Load, Profile, Scenario};
pub use scenario_file::SERVER_FLAGS;
pub use schedule::{Rate, RateError, Schedule, ScheduleError};
pub use sweep::{Sweep, SweepKind};
pub use workload::{Operation, Workload, url_of};
pub use zipf::{Zipf, ceiling};
