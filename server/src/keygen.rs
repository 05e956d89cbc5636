//! Leases of ids: the keygen service, its client, and the atomic path that both and the fallback share.
//!
//! ```text
//! app: block a tenth used ──▶ keygen  POST /allocate ─────────────────┐
//!                                │ down, or silent for a second       │ the same path,
//!                                ▼                                    ▼ in either process
//!                       Redis  INCRBY id_allocator:url:<stack>  ── a hint ──▶ UPDATE slots SET high = end
//!                                │ down, or silent                            WHERE stack = … AND high <= start
//!                                ▼                                             │ one row       │ none
//!                       store  UPDATE slots SET high = high + size             ▼               ▼
//!                                                                           leased    raise Redis to the mark, again
//! ```

mod allocator;
mod client;
mod hint;
mod leases;
mod limits;
mod routes;
mod service;

pub use allocator::{Allocator, Lease, LeaseError, LeaseSource};
pub use leases::Leases;
pub use limits::KeygenLimits;
pub use service::{KeygenArgs, run_keygen, serve};

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long keygen or Redis may take to lease, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most ids in one lease.
pub const MOST_IDS: u64 = 1_000_000;

/// A deployment that allocates ids: 1 to 32 of `[a-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stack(String);

impl Stack {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no name of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stack is 1 to 32 lower-case letters, digits, '-' or '_'")]
pub struct StackError;

impl FromStr for Stack {
    type Err = StackError;

    fn from_str(text: &str) -> Result<Stack, StackError> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let is_stack = (1..=32).contains(&text.len()) && text.bytes().all(known);
        is_stack.then(|| Stack(text.to_owned())).ok_or(StackError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_stacks() {
        for text in ["rust", "python-3", "a", "a_b"] {
            assert_eq!(text.parse::<Stack>().map(|stack| stack.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "Rust", "a b", "a:b", "a/b", "é", &"x".repeat(33)] {
            assert_eq!(text.parse::<Stack>(), Err(StackError), "{text:?}");
        }
    }
}
