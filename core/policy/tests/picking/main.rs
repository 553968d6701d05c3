//! The algorithms as a balancer uses them: a snapshot compiled into a table, servers picked from it, flights begun and ended.

mod distribution;
mod fixture;
mod hashing;
mod least_connections;
mod p2c;
mod retries;
mod slow_start;
mod sticky;
mod tiers;
