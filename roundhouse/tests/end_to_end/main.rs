//! End to end: the built binary, real processes, real sockets, real Redis.

mod bad_input;
mod certificates;
mod documents;
mod durability;
mod ejections;
mod handover;
mod holds;
mod leadership;
mod limits;
mod one_command;
mod operators;
mod pools;
mod processes;
mod routes;
#[path = "../shared/mod.rs"]
mod shared;
mod sticky;
mod support;
mod unsuitable;
mod up;
