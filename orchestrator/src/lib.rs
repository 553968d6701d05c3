//! The fleet's inspector: takes the lease, probes every server once for all balancers, and keeps house.
//!
//! Any number of orchestrators run; one leads, the others stand by. What they do is split into
//! reconcilers that compare what is with what should be, whole against whole, on a signal and on a period,
//! so that none depends on having seen every event.

mod args;
mod driver;
mod fleet;
mod leader;
mod metrics;
mod orchestrator;
mod presence;
mod reconcile;
mod run;

pub use args::Args;
pub use orchestrator::{Orchestrator, StartError};
pub use run::run;
