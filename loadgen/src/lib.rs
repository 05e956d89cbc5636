//! How it is measured: drivers, witnesses, services.

pub mod adhoc;
pub mod affinity;
pub mod connect;
pub mod drive;
pub mod exchange;
pub mod live;
pub mod pace;
pub mod record;
pub mod selftest;
pub mod services;
pub mod witness;
