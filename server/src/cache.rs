//! What answers a redirect without the database.

pub mod flight;
mod index;
pub mod memory;
pub mod monitor;
mod name;
pub mod negative;
pub mod redis;
mod resident;
mod residents;
pub mod sketch;
pub mod table;

#[cfg(test)]
mod simulation;
