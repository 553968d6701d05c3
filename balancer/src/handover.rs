//! One process hands its clients over to another: a restart that loses no request.
//!
//! The balancer that runs listens at a Unix socket, whose path its successor is started with as well. The successor gets all
//! listening sockets as descriptors, waits until it could serve, begins to accept and says so; then the old one accepts no more,
//! answers what still comes on the connections that it has, and ends. The sockets themselves are the same all along, so that no
//! connection is lost between the two. Whichever of them dies, and whenever, the other one has all that it takes to go on.

mod descriptors;
mod door;
mod estate;
mod giving;
mod lines;
mod respawn;
mod taking;

pub(crate) use door::{open, remove};
pub(crate) use estate::Estate;
pub(crate) use giving::Keeper;
pub(crate) use respawn::respawn;
pub use taking::TakeOverError;
pub(crate) use taking::{Predecessor, ask};
