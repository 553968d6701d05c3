//! What every command that changes something says beside the change: what to wait for, and how that ended.

use client::{Changed, Demand, Durability, Outcome, Wait};
use runtime::complain;
use serde::Serialize;

use super::failure::Failure;
use super::output::Output;

pub(super) fn demand(wait: Option<Wait>) -> Demand {
    wait.map(Demand::from).unwrap_or_default()
}

/// Writes what the API answered; for people nothing where that does not hold any more, since the failure says it.
pub(super) fn tell<T: Serialize>(
    changed: &Changed<T>,
    output: &Output,
    for_people: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    match changed.outcome {
        Outcome::Undone { .. } => output.write_for_scripts(&changed.value),
        Outcome::Done | Outcome::Unfinished(_) => output.write(&changed.value, for_people),
    }
}

/// The change is made; this says who is not known to have followed it, and whether fewer replicas have it than the admin API
/// asks for. That is no failure of the command's: nothing was asked of it there.
pub(super) fn finish(
    change: String,
    outcome: Outcome,
    durability: Option<&Durability>,
) -> Result<(), Failure> {
    if let Some(short) = durability.filter(|it| !it.done) {
        complain(format_args!(
            "{change} was made, but a failover may lose it: it is known to be on {short}"
        ));
    }
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Undone { reason, .. } => Err(Failure::Undone { change, reason }),
        Outcome::Unfinished(unfinished) => Err(Failure::Unfinished { change, unfinished }),
    }
}
