//! Servers to balance: they answer with their name, fail on demand, and can register themselves.
//!
//! What a real server behind Roundhouse would do, in the smallest form: answer, say how it is, join the
//! fleet through the admin API, and leave it without a lost request. It knows nothing of the registry.

mod advertise;
mod answer;
mod args;
mod connection;
mod identity;
mod registration;
mod run;
mod server;
mod switches;

pub use args::Args;
pub use run::run;
pub use server::{DemoServer, StartError};
