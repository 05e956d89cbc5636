//! Reports and verdicts, tried from outside. One program, since each would build the crate once more.

mod catalogue;
mod file;
mod gate;
mod junit;
mod machines;
mod plots;
mod size;
mod synthetic;
mod verdicts;
mod words;
