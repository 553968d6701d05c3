//! Health checks: whether one server answers as its pool's check expects, once, over HTTP, gRPC or TCP.
//! All but TCP go within TLS where the pool says so.
//!
//! A probe reports an outcome; rise and fall make a verdict of outcomes (`policy`), and who is probed when
//! is for the orchestrator, or for a balancer whose verdicts have gone stale.

mod callers;
mod calling;
mod connection;
mod driver;
mod failure;
mod grpc;
mod h2_connection;
mod prober;
mod wire;

pub use callers::Callers;
pub use calling::{Calling, HostRoots};
pub use failure::Failure;
pub use prober::Prober;
