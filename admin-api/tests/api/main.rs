//! The admin API as its clients see it: over a socket, on a memory registry.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod access;
mod bodies;
mod conditions;
mod events;
mod fleet;
mod harness;
mod measured;
mod outage;
mod pools;
mod registrations;
mod repeats;
mod servers;
mod together;
mod waits;
