//! The operators' door: pools, servers, registrations and the fleet's state as REST under `/v1`.
//!
//! Reads are served from a view that follows the registry. A change is decided on that view, committed
//! with the desired revision it was decided on, and answered once the view shows it. Nothing here talks
//! to a balancer: what the fleet did with a change is read from the reports in the registry.

mod access_log;
mod address;
mod answer;
mod app;
mod args;
mod auth;
mod body;
mod change;
mod diff;
mod durability;
mod edit;
mod etag;
mod events;
mod extract;
mod fleet;
mod handlers;
mod history;
mod import;
mod metrics;
mod origin;
mod problem;
mod query;
mod rejection;
mod replay;
mod resource;
mod restore;
mod router;
mod run;
mod serve;
mod start;
mod wait;
mod whole;

pub use args::Args;
pub use run::run;
pub use start::{AdminApi, StartError};
