//! What every command that changes something says beside the change: what to wait for, and how that ended.

use client::{Demand, Durability, Outcome, Wait};
use runtime::complain;

use super::failure::Failure;

pub(super) fn demand(wait: Option<Wait>) -> Demand {
    wait.map(Demand::from).unwrap_or_default()
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
        Outcome::Unfinished(unfinished) => Err(Failure::Unfinished { change, unfinished }),
    }
}
