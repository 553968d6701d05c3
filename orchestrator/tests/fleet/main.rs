//! Orchestrators in one process, over the memory registry and real sockets: what they do, seen from
//! outside.

mod inspection;
mod leading;
mod memory;
mod support;
