//! The program and its parts, tried from outside. One program, since each would build the parts once more; what holds still
//! for its measurements, or breaks the design, is a program of its own.

mod again;
mod bad_input;
mod dead;
mod drive;
mod faults;
mod journeys;
mod ledger;
mod liar;
mod own_claims;
mod planted;
mod run;
mod secure;
mod services;
mod terminal;
mod verdicts;
mod witnesses;
