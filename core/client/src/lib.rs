//! The admin API's client: for the command line, for servers that register themselves, and for tests.
//!
//! It speaks in the model's types and in what the API answers besides; it knows nothing of the registry.
//! Plain HTTP: the API listens on loopback, or behind whatever ends TLS for it.

mod address;
mod change;
mod client;
mod document;
mod elements;
mod error;
mod events;
mod explain;
mod fleet;
mod holds;
mod limits;
mod pools;
mod registrations;
mod revisions;
mod secrets;
mod servers;
mod token;
mod transport;

pub use address::{AdminUrl, InvalidUrl};
pub use change::{Changed, Demand, Durability, Laggard, Outcome, Present, Unfinished, Until, Wait};
pub use client::Client;
pub use document::{ChangeKind, ElementChange, Import, WholeChange};
pub use elements::{Attested, Element, Name, PoolServers, Shown};
pub use error::{Error, Refusal};
pub use events::{Event, Events};
pub use explain::{Considered, Explained, Inquiry, PoolShare};
pub use fleet::{
    Alarm, BalancerView, CertificateSummary, InstanceSummary, Leaving, ServerCounts, Status,
};
pub use holds::{Confirmed, HoldView, Holder, Rejected};
pub use pools::PoolView;
pub use registrations::{NewRegistration, Renewal};
pub use revisions::{FieldDiff, RevisedElement, RevisionView};
pub use secrets::Rotated;
pub use servers::{NewServer, Removed, ServerPatch, ServerView};
pub use token::{Token, TokenError};
