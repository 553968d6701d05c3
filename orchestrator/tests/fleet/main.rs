//! Orchestrators in one process, over the memory registry or a Redis with a deployment's users, and real
//! sockets: what they do, seen from outside.

mod expiry;
mod inspection;
mod leading;
mod memory;
mod quorum;
mod redis;
mod rights;
mod secrets;
mod support;
