//! How it is measured: drivers, witnesses, services.

pub mod services;
pub mod witness;
