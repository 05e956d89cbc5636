//! What it means: the result model, statistics, verdicts and renderers.

pub mod distribution;
pub mod run;
pub mod verdict;

pub use distribution::Distribution;
pub use run::Run;
pub use verdict::{CheckVerdict, ClaimVerdict, Interval, Verdict, exit_code, judge, judge_all};
