//! Which cores the server has, and which the generator.

use std::fmt;

use crate::affinity;

/// A split of the machine's cores. With one core only, nothing is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    pub server: Vec<usize>,
    pub generator: Vec<usize>,
}

impl Cores {
    /// The generator gets the last core of those this process may use, half of them on large machines.
    pub fn split() -> Self {
        Self::split_of(&affinity::allowed())
    }

    fn split_of(cores: &[usize]) -> Self {
        if cores.len() < 2 {
            return Self { server: Vec::new(), generator: Vec::new() };
        }
        let generators = if cores.len() < 8 { 1 } else { cores.len() / 4 };
        let (server, generator) = cores.split_at(cores.len() - generators);
        Self { server: server.to_vec(), generator: generator.to_vec() }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.server.is_empty() {
            return write!(f, "not pinned: one core only, server and generator share it");
        }
        write!(f, "server on core {}, generator on core {}", list(&self.server), list(&self.generator))
    }
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_generator_never_share_a_core_where_there_are_two() {
        for count in 2..65 {
            let cores: Vec<usize> = (0..count).collect();
            let split = Cores::split_of(&cores);
            assert!(!split.generator.is_empty() && !split.server.is_empty());
            assert_eq!([split.server, split.generator].concat(), cores);
        }
    }

    #[test]
    fn one_core_is_shared_and_said() {
        assert!(Cores::split_of(&[0]).to_string().contains("not pinned"));
    }
}
