//! The data plane: takes clients in, and sends each request to a server of its pool.
//!
//! `listen` and `l7` lead to `upstream`, all on a `worker`, one per core; they read one immutable table, which `sync` alone
//! writes and `adoption` passes on. No request ever waits for the registry. `clock`, `timers`, `buffers`, `crowd` and
//! `suspecting` are the ground that all of it stands on, `condition` is what watchers are told. `handover` passes the listeners to a process that takes this one's place.

mod adoption;
mod args;
mod balancer;
mod buffers;
mod clock;
mod condition;
mod crowd;
mod exhaustion;
mod handover;
mod http2;
mod l7;
mod limiting;
mod listen;
mod metrics;
mod request_id;
mod run;
mod settings;
mod stream;
mod suspecting;
mod sync;
mod timers;
mod tls;
mod trusted;
mod upstream;
mod worker;

pub use args::Args;
pub use balancer::{Balancer, StartError};
pub use handover::TakeOverError;
pub use l7::codec;
pub use listen::{InheritError, Inherited};
pub use run::run;
