//! What each ink stands for, in every plot of one series. Where several variants stand in one plot, each has the ink of its
//! place in the run.

use crate::plot::sheet::Ink;

/// The system under test: its response times, what it achieved, its processor time.
pub const SERVER: Ink = Ink::Series(0);
/// Of the same, the part that begins when a request is sent.
pub const SERVICE: Ink = Ink::Series(2);
/// What was asked for.
pub const OFFERED: Ink = Ink::Series(6);
/// What was asked for and never sent.
pub const DROPPED: Ink = Ink::Series(1);
/// What went wrong, or was taken away.
pub const FAILED: Ink = Ink::Series(3);
/// The generator: its lag, its processor time.
pub const GENERATOR: Ink = Ink::Series(4);
/// What lies between the two: waiting for a connection, a second cache level, a backend.
pub const BETWEEN: Ink = Ink::Series(5);

/// Of the n-th variant.
pub fn of_variant(index: usize) -> Ink {
    Ink::Series(index as u8 % 6)
}

/// Of a process, by its name; the n-th of those that have none of their own.
pub fn of_process(name: &str, index: usize) -> Ink {
    match name {
        "server" => SERVER,
        "generator" => GENERATOR,
        "redis" => BETWEEN,
        "postgres" => SERVICE,
        "keygen" => DROPPED,
        _ => Ink::Series(index as u8 % 7),
    }
}
