//! The server, tried from outside. One program, since each would build the whole server once more.

mod answers;
mod app;
mod cache_contract;
mod counts;
mod creates;
mod deadlines;
mod given_up;
mod http_api;
mod http_drain;
mod http_faults;
mod http_hostile;
mod http_replicas;
mod keygen;
mod keygens;
mod leases;
mod marks;
mod migrations;
mod process;
mod proxy;
mod retries;
mod settings;
mod slow_redis;
mod store_contract;
mod support;
mod warming;
mod witness;
