//! The reference server: a URL shortener with durable creates, and the keygen that leases it its ids.

pub mod blocks;
pub mod codes;
pub mod creator;
pub mod inserter;
pub mod keygen;
pub mod marks;
pub mod pool;
pub mod store;
