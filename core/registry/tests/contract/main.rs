//! The registry's contract: what every backend promises, tried on all of them.
//!
//! Each promise is a function over a `Fixture`; `contract!` makes of it one test on memory and one on a real
//! Redis. What only a Redis can do (rights, connections that fail, settings) is tried on Redis alone, and
//! `equivalence` holds the scripts to the store over random operations.

mod announcements;
mod buckets;
mod cluster;
mod commits;
mod connections;
mod damage;
mod encrypted;
mod equivalence;
mod fixture;
mod following;
mod history;
mod leases;
mod mistyped;
mod replicas;
mod reports;
mod rights;
mod seeding;
mod sentinels;
mod slices;
mod sockets;
mod unsuitable;
mod verdicts;
mod versions;
mod waits;

/// Makes a test on each backend of each promise.
macro_rules! contract {
    ($($promise:ident,)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(&crate::fixture::Fixture::in_memory()).await;
            })*
        }

        mod redis {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(&crate::fixture::Fixture::in_redis()).await;
            })*
        }
    };
}
use contract;
