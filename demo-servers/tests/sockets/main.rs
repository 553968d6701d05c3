//! Demo servers over real sockets.

mod process;
mod registering;
mod serving;
mod support;
