//! End to end: the built binary, real processes, real sockets, real Redis.

mod bad_input;
mod ejections;
mod handover;
mod one_command;
mod operators;
mod processes;
mod support;
mod up;
