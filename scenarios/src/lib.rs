//! What is asked: claims, scenarios, workloads and schedules, as data and pure functions.

pub mod claim;
pub mod scenario;

pub use claim::{Bound, Check, Claim, Compare, Kind, Metric};
pub use scenario::{Load, Scenario};
