//! What is asked: claims, scenarios, workloads and schedules, as data and pure functions.

pub mod claim;
pub mod popularity;
pub mod random;
pub mod scenario;
pub mod schedule;
pub mod workload;
pub mod zipf;

pub use claim::{Bound, Check, Claim, Compare, Kind, Metric};
pub use popularity::Popularity;
pub use scenario::{Load, Scenario};
pub use schedule::{Rate, RateError, Schedule};
pub use workload::{Operation, Workload, url_of};
pub use zipf::{Zipf, ceiling};
