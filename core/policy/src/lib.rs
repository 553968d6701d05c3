//! What to decide: which pool takes a request, which server, whether a failed try is made again, and when a
//! server counts as up or down.
//!
//! No I/O, no clock and no generator of its own: time and chance are arguments. The balancer's threads share one
//! immutable [`Table`]; what changes with every request (counters, turns) are atomics that survive the table.

mod admission;
mod budget;
mod choice;
mod ejections;
mod elsewhere;
mod firewall;
mod flights;
mod health;
mod latency;
mod limit;
mod outlier;
mod pick;
mod pool;
mod quorum;
mod retry;
mod routes;
mod server;
mod signs;
mod sticky;
mod table;
#[cfg(test)]
mod testing;
mod tier;
mod tried;
mod warmth;

pub use admission::{Admission, Admitted, Place, QueueFull, Queued, Shelf, Unpicked};
pub use budget::Budget;
pub use choice::Ask;
pub use ejections::{Ejection, Ejections};
pub use elsewhere::{Elsewhere, Fading, Told};
pub use firewall::Firewall;
pub use health::{Grounds, RiseFall};
pub use limit::{Checked, Counted, InUse, Inquiry, Ledger, Limit, Refusal};
pub use outlier::Rule;
pub use pick::hash_key;
pub use pool::Pool;
pub use quorum::{Word, majority};
pub use retry::{Cause, Failure, Repeatability, Tries};
pub use routes::{
    Action, Answer, Asked, Considered, Explanation, Fields, HeaderEdits, PoolShare, Question,
    Redirect, Route, Routes, Split,
};
pub use server::{InFlight, Live, Outcome, Server};
pub use sticky::{Cookies, Stick, Token};
pub use table::Table;
pub use tried::Tried;
