//! An operation: one request to make, small enough to copy.

/// What one request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create { sequence: u64 },
    Visit { link: u32 },
    VisitUnknown { code: u64 },
    Http { template: u16, row: u64 },
}
