//! Health checks: whether one server answers as its pool's check expects, once, over HTTP, gRPC or TCP.
//!
//! A probe reports an outcome; rise and fall make a verdict of outcomes (`policy`), and who is probed when
//! is for the orchestrator, or for a balancer whose verdicts have gone stale.

mod connection;
mod failure;
mod grpc;
mod h2_connection;
mod prober;

pub use failure::Failure;
pub use prober::Prober;
