//! The fleet's inspector: takes the lease, probes every server once for all balancers, and keeps house.
//!
//! Any number of orchestrators run; one leads, the others stand by. What they do is split into loops. Five of them are
//! reconcilers (registrations, recovery, forgetting, counting and auditing), which compare what is with what should be, whole
//! against whole, on a signal and on a period, so that none depends on having seen every event. Three are driven by events:
//! inspection, by its schedule and by hints; suspicions, by what balancers announce; quorum, by what other orchestrators
//! report. The inspection compares against the whole registry too, whenever that has changed.

mod args;
mod driver;
mod expiry;
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
