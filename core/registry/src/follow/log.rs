//! Says what changed in following, once per change.

use model::{Fault, Origin, Position};

use crate::View;

/// Elements that are named at once, at most.
const FAULTS_MAX: usize = 100;

/// `kept` is whether the registry outlives the process.
pub(super) fn changes(before: &View, after: &View, kept: bool) {
    connection(before, after);
    memory(before, after, kept);
    history(before, after);
    if before.holds != after.holds {
        for hold in &after.holds {
            let (pool, servers, position) = (&hold.pool, hold.size(), hold.position);
            tracing::warn!(%pool, servers, %position, "held back what would take servers away");
        }
        if after.holds.is_empty() {
            tracing::info!("nothing is held back any more");
        }
    }
    faults(before, after);
    if before.damage != after.damage {
        let new = after.damage.iter();
        for fault in new.filter(|fault| !before.damage.contains(fault)) {
            tracing::warn!("the registry is damaged: {fault}");
        }
        if after.damage.is_empty() {
            tracing::info!("the registry is whole again");
        }
    }
}

fn faults(before: &View, after: &View) {
    let of = |view: &View| -> Vec<Fault> {
        let snapshots = view.snapshot.iter();
        snapshots
            .flat_map(|it| it.element_faults())
            .cloned()
            .collect()
    };
    let (before, after) = (of(before), of(after));
    if before == after {
        return;
    }
    let mut new = after.iter().filter(|fault| !before.contains(fault));
    for fault in new.by_ref().take(FAULTS_MAX) {
        tracing::warn!("cannot be used, the last good one stays: {fault}");
    }
    match new.count() {
        0 => {}
        more => tracing::warn!("and {more} more that cannot be used"),
    }
    let mut gone = before.iter().filter(|fault| !after.contains(fault));
    for fault in gone.by_ref().take(FAULTS_MAX) {
        tracing::info!("no longer: {fault}");
    }
    match gone.count() {
        0 => {}
        more => tracing::info!("and {more} more no longer"),
    }
}

fn connection(before: &View, after: &View) {
    match (before.connected, after.connected) {
        (false, true) => tracing::info!("subscribed to the registry's changes"),
        (true, false) => tracing::warn!("lost the registry; going on with what is known"),
        _ => {}
    }
}

fn memory(before: &View, after: &View, kept: bool) {
    let begins = !kept && after.origin != Origin::Registry;
    match (before.head_missing, after.head_missing) {
        (false, true) if begins => {}
        (false, true) if after.snapshot.is_some() => {
            tracing::warn!("the registry has lost the fleet; going on with what is known");
        }
        (false, true) => {
            tracing::info!("the registry holds no fleet yet; waiting for an orchestrator");
        }
        (true, false) => tracing::info!("the registry holds a fleet"),
        _ => {}
    }
}

fn history(before: &View, after: &View) {
    let revision = |position: Position| position.revision;
    if before.origin != after.origin {
        let position = after
            .registry_position
            .or(after.snapshot.as_ref().map(|it| it.position));
        let revision = position.map(revision);
        match after.origin {
            Origin::Nothing => {}
            Origin::Disk => tracing::info!(?revision, "started from the state file"),
            Origin::Registry => tracing::info!(?revision, "following the registry"),
        }
    }
    if let (Some(old), Some(new)) = (before.registry_position, after.registry_position)
        && (old.epoch != new.epoch || old.revision > new.revision)
    {
        tracing::warn!(from = %old, to = %new, "the registry's history is another one");
    }
}
