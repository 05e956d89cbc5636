//! Blocks of leased ids, the next one fetched before it is needed.

/// What the blocks did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockCounters {
    pub leases: u64,
    /// Leases by who granted them.
    pub leases_keygen: u64,
    pub leases_redis: u64,
    pub leases_store: u64,
    pub lease_failures: u64,
    /// Creates that had to wait for a block.
    pub waits: u64,
    /// Size of the next block to be leased.
    pub size: u64,
}
