//! What answers a redirect without the database.

pub mod flight;
pub mod monitor;
pub mod negative;
pub mod sketch;
pub mod table;

#[cfg(test)]
mod simulation;
