//! What it means: the result model, statistics, verdicts and renderers.

mod ceiling;
pub mod compare;
pub mod distribution;
pub mod figure;
pub mod file;
pub mod gate;
pub mod knee;
pub mod lag;
pub mod plot;
pub mod render;
pub mod run;
pub mod statistics;
pub mod tally;
pub mod verdict;

pub use distribution::{Distribution, Packed};
pub use file::{ReportError, read};
pub use render::{html, junit, markdown, table, write};
pub use run::Run;
pub use verdict::{CheckVerdict, ClaimVerdict, Interval, Verdict, exit_code, judge, judge_all};
