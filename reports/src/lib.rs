//! What it means: the result model, statistics, verdicts and renderers.

pub mod distribution;
pub mod run;

pub use distribution::Distribution;
pub use run::Run;
