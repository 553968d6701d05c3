//! The desired state as it stood at a revision: the present one with the later entries of the history undone.

use model::{
    Certificate, Epoch, Fleet, Limit, Listener, NetworkList, Pool, Position, Revision, Route,
    Server, Snapshot,
};
use registry::HistoryEntry;

use crate::app::App;
use crate::problem::Problem;
use crate::resource::Resource;

impl App {
    /// The desired state at a revision of the present epoch, seen from a snapshot.
    pub(crate) async fn fleet_at(
        &self,
        seen: &Snapshot,
        revision: Revision,
        epoch: Option<Epoch>,
    ) -> Result<Fleet, Problem> {
        let present = seen.position;
        if epoch.is_some_and(|epoch| epoch != present.epoch) {
            let reason = format!(
                "it is of another epoch than the present one, {}",
                present.epoch
            );
            return Err(Problem::Gone { revision, reason });
        }
        if revision > present.revision {
            let present = present.revision;
            return Err(Problem::Future { revision, present });
        }
        if revision >= seen.desired {
            return Ok(Fleet::of(seen));
        }
        // What was committed after the snapshot was seen may be among it, and is no part of the way back.
        let reaches = |history: &[HistoryEntry]| {
            history
                .iter()
                .any(|entry| is_past(entry.position, present, revision))
        };
        let history = self.history_until(reaches).await?;
        let undone = undo(seen, &history, revision);
        undone.map_err(|reason| Problem::Gone { revision, reason })
    }
}

/// Whether an entry is one that the way back to a revision does not need any more.
fn is_past(entry: Position, present: Position, revision: Revision) -> bool {
    entry.epoch != present.epoch || entry.revision <= revision
}

/// Undoes what the history, newest first, says was changed after a revision.
fn undo(seen: &Snapshot, history: &[HistoryEntry], revision: Revision) -> Result<Fleet, String> {
    let mut state = seen.clone();
    let mut oldest = None;
    let newer = history
        .iter()
        .skip_while(|entry| entry.position.revision > seen.desired)
        .take_while(|entry| !is_past(entry.position, seen.position, revision));
    for entry in newer {
        if oldest.is_none() && entry.position.revision != seen.desired {
            break;
        }
        let before = entry.before.iter();
        let documented = before.filter(|it| it.collection.is_documented());
        documented.for_each(|it| state.apply(it));
        oldest = Some(entry.position.revision);
    }
    let oldest =
        oldest.ok_or("the history of the present epoch does not hold what was changed since")?;
    let is_reached = history
        .iter()
        .any(|it| it.position.epoch == seen.position.epoch && it.position.revision <= revision);
    // Just before an entry the state is known; further back there may have been others.
    if !is_reached && oldest > revision.next() {
        let least = oldest.0 - 1;
        return Err(format!(
            "the history reaches back to revision {least} and no further"
        ));
    }
    check(seen, &state, revision)?;
    Ok(Fleet::of(&state))
}

/// Whether the undone state is one that can have been at the revision.
fn check(seen: &Snapshot, state: &Snapshot, revision: Revision) -> Result<(), String> {
    let new = |fault: &&model::Fault| !seen.faults.contains(fault);
    if let Some(fault) = state.faults.iter().find(new) {
        return Err(format!("it held what cannot be read: {fault}"));
    }
    let later = later::<Pool>(state, revision)
        .or_else(|| later::<Server>(state, revision))
        .or_else(|| later::<Route>(state, revision))
        .or_else(|| later::<Listener>(state, revision))
        .or_else(|| later::<NetworkList>(state, revision))
        .or_else(|| later::<Limit>(state, revision))
        .or_else(|| later::<Certificate>(state, revision));
    match later {
        Some(name) => Err(format!("the history lacks a change of {name}")),
        None => Ok(()),
    }
}

/// An element that was changed after the revision.
fn later<R: Resource>(state: &Snapshot, revision: Revision) -> Option<String> {
    let mut elements = R::all(state).iter();
    let (key, _) = elements.find(|(_, it)| it.revision > revision)?;
    Some(format!("the {} {:?}", R::KIND, key.to_string()))
}
