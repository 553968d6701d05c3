//! Where a delta belongs, and what of a snapshot is better kept from before.

use std::sync::Arc;

use model::{Collection, Delta, Elements, Fault, Position, Snapshot};

/// A delta's place relative to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    /// Of a number that has been passed. Whether it was of this history is for the next heartbeat to say.
    Older,
    /// After a gap, on a fork, or of another epoch.
    Elsewhere,
}

pub(super) fn place(own: Option<Position>, delta: &Delta) -> Step {
    let Some(own) = own.filter(|own| own.epoch == delta.epoch) else {
        return Step::Elsewhere;
    };
    if delta.revision < own.revision || delta.position() == own {
        return Step::Older;
    }
    if delta.previous == own.id && delta.revision == own.revision.next() {
        return Step::Next;
    }
    Step::Elsewhere
}

/// Puts the own collection in the place of the one that was read.
pub(super) fn keep_collection(snapshot: &mut Snapshot, own: &Snapshot, collection: Collection) {
    match collection {
        Collection::Pools => snapshot.pools.clone_from(&own.pools),
        Collection::Servers => snapshot.servers.clone_from(&own.servers),
        Collection::Health => snapshot.health.clone_from(&own.health),
        Collection::Holds => snapshot.holds.clone_from(&own.holds),
        Collection::Routes => snapshot.routes.clone_from(&own.routes),
        Collection::Listeners => snapshot.listeners.clone_from(&own.listeners),
        Collection::Networks => snapshot.networks.clone_from(&own.networks),
        Collection::Certificates => snapshot.certificates.clone_from(&own.certificates),
        Collection::Limits => snapshot.limits.clone_from(&own.limits),
        Collection::Secrets => snapshot.secrets.clone_from(&own.secrets),
        Collection::Other(_) => {}
    }
    snapshot.unread.take_over(collection, &own.unread);
}

/// How many elements there are.
pub(super) fn elements(snapshot: &Snapshot) -> u32 {
    let Snapshot {
        pools,
        servers,
        health,
        holds,
        routes,
        listeners,
        networks,
        certificates,
        limits,
        secrets,
        unread,
        position: _,
        desired: _,
        faults: _,
    } = snapshot;
    let observed = pools.len() + servers.len() + health.len() + holds.len() + unread.len();
    let all = observed + routes.len() + listeners.len() + networks.len();
    let all = all + certificates.len() + limits.len() + secrets.len();
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Puts the last good element in the place of each that could not be read.
pub(super) fn keep_last_good(snapshot: &mut Snapshot, own: &Snapshot) {
    let faults = snapshot.faults.clone();
    for fault in &faults {
        match fault.collection {
            // Nothing of it was ever in use.
            Collection::Other(_) => {}
            collection if fault.key == Fault::WHOLE_COLLECTION => {
                keep_collection(snapshot, own, collection);
            }
            Collection::Pools => keep(&mut snapshot.pools, &own.pools, fault),
            Collection::Servers => keep(&mut snapshot.servers, &own.servers, fault),
            Collection::Health => keep(&mut snapshot.health, &own.health, fault),
            Collection::Holds => keep(&mut snapshot.holds, &own.holds, fault),
            Collection::Routes => keep(&mut snapshot.routes, &own.routes, fault),
            Collection::Listeners => keep(&mut snapshot.listeners, &own.listeners, fault),
            Collection::Networks => keep(&mut snapshot.networks, &own.networks, fault),
            Collection::Certificates => {
                keep(&mut snapshot.certificates, &own.certificates, fault);
            }
            Collection::Limits => keep(&mut snapshot.limits, &own.limits, fault),
            Collection::Secrets => keep(&mut snapshot.secrets, &own.secrets, fault),
        }
    }
}

fn keep<K, V>(elements: &mut Elements<K, V>, own: &Elements<K, V>, fault: &Fault)
where
    K: Ord + Clone + TryFrom<String>,
{
    let Ok(key) = K::try_from(fault.key.clone()) else {
        return;
    };
    if let Some(element) = own.get(&key) {
        elements.entry(key).or_insert_with(|| Arc::clone(element));
    }
}
