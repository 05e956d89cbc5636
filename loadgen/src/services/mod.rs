//! Processes that a run starts and ends: the reference server, its backends.

pub mod guard;

pub use guard::Child;
