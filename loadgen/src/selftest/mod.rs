//! The generator's own errors on this machine, measured against servers of known behaviour.

pub mod server;
