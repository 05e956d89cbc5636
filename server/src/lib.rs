//! The reference server: a URL shortener with durable creates, and the keygen that leases it its ids.

pub mod blocks;
mod breaker;
pub mod cache;
pub mod changes;
pub mod clicks;
pub mod codes;
pub mod config;
pub mod creator;
pub mod descriptors;
pub mod health;
pub mod http;
pub mod inserter;
pub mod keygen;
pub mod marks;
pub mod metrics;
pub mod places;
pub mod pool;
mod reader;
pub mod redis_client;
pub mod serve;
pub mod shortener;
pub mod store;
pub mod target;
pub mod warmer;

pub use serve::serve;
