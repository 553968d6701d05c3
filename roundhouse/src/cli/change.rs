//! What every command that changes something says beside the change: what to wait for, and how that ended.

use client::{Demand, Outcome, Wait};

use super::failure::Failure;

pub(super) fn demand(wait: Option<Wait>) -> Demand {
    wait.map(Demand::from).unwrap_or_default()
}

/// The change is made; this says who is not known to have followed it.
pub(super) fn finish(change: String, outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Unfinished(unfinished) => Err(Failure::Unfinished { change, unfinished }),
    }
}
