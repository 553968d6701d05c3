//! The admin API as its clients see it: over a socket, on a memory registry.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod access;
mod bodies;
mod certificates;
mod conditions;
mod document;
mod durability;
mod events;
mod fleet;
mod harness;
mod holds;
mod measured;
mod outage;
mod pools;
mod registrations;
mod repeats;
mod restore;
mod revisions;
mod routed;
mod routes;
mod secrets;
mod servers;
mod together;
mod versions;
mod waits;
