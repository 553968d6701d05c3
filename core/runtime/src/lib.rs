//! What every process needs and no balancing: its flags, its log, its metrics, its supervised tasks.
//!
//! A role's `main` is `parse`, then `run`. Nothing here is global but the log.

mod announce;
mod backoff;
mod bind;
mod complaint;
mod config;
mod expiries;
mod host;
mod metrics;
mod notify;
mod open_files;
mod ops;
mod run;
mod serve;
mod signals;
mod supervisor;
mod telemetry;
mod values;

pub use announce::{announce, announce_tls, row, tls_row};
pub use backoff::Backoff;
pub use bind::{BindError, bind};
pub use complaint::{complain, misused};
pub use config::parse;
pub use expiries::encode_expiries;
pub use host::{host_name, reachable};
pub use metrics::Metrics;
pub use notify::{notify_ready, notify_stopping};
pub use open_files::open_files_max;
pub use ops::{LIVE, ops_router, readiness, serve_ops};
pub use run::{Ending, run};
pub use serve::{Broken, Connection, Limits, serve};
pub use supervisor::{Failure, Supervisor, Unfinished};
pub use telemetry::{LogFormat, LogOptions, init_telemetry};
pub use values::{address, whole_number};
