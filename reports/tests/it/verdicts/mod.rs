//! Every verdict can turn: hand-made runs in which one broken thing decides.

mod catalogue;
mod compare;
mod gate;
mod knee;
mod made;
mod ratios;
mod runs;
mod sentences;
mod times;
mod variants;
mod witnesses;
