//! The algorithms that choose a server, one file each.

mod round_robin;

pub use round_robin::RoundRobin;
