//! The history read as far back as something needs it: the registry gives the newest entries first, as many as are
//! asked for.

use model::{Entry, Epoch, Revision};
use registry::HistoryEntry;
use serde_json::Value;

use crate::app::App;
use crate::problem::Problem;

/// How many entries are read at first, and how many times as many where they do not reach back far enough.
const FIRST: usize = 256;
const GROWTH: usize = 8;

/// More entries than a registry keeps: however far somebody asks to go back, the reading ends.
const ENTRIES_MAX: usize = 200_000;

impl App {
    /// The entries from the newest on, until they are `enough` or there are no more.
    pub(crate) async fn history_until(
        &self,
        enough: impl Fn(&[HistoryEntry]) -> bool,
    ) -> Result<Vec<HistoryEntry>, Problem> {
        let (mut limit, mut seen) = (FIRST, 0);
        loop {
            let history = self.registry.history(limit).await?;
            // One that cannot be read is left out, so that fewer than were asked for need not be all.
            let is_all = history.len() == seen || limit == ENTRIES_MAX;
            if is_all || enough(&history) {
                return Ok(history);
            }
            seen = history.len();
            limit = (limit * GROWTH).min(ENTRIES_MAX);
        }
    }
}

/// Where a page begins: at the first entry of the epoch that is before the revision, or where an older epoch begins.
pub(crate) fn page_start(history: &[HistoryEntry], epoch: Epoch, before: Revision) -> usize {
    let is_of_epoch = |entry: &HistoryEntry| entry.position.epoch == epoch;
    let first = history
        .iter()
        .position(|it| is_of_epoch(it) && it.position.revision < before);
    let last = || history.iter().rposition(is_of_epoch);
    first.unwrap_or_else(|| last().map_or(history.len(), |last| last + 1))
}

/// The elements that an entry touched, each with its value before and after, without its stamps.
pub(crate) fn pairs(
    entry: &HistoryEntry,
) -> impl Iterator<Item = (&Entry, Option<&Value>, Option<&Value>)> {
    let pairs = entry.before.iter().zip(&entry.after);
    pairs.map(|(before, after)| (after, value(before), value(after)))
}

fn value(element: &Entry) -> Option<&Value> {
    element.value.as_ref()?.get("value")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use model::{Author, Position, RevisionId};

    use super::*;

    #[test]
    fn a_page_goes_on_in_the_epoch_before_whatever_the_numbers_there() {
        let (new, old) = (Epoch::random(), Epoch::random());
        let entry = |(epoch, revision)| HistoryEntry {
            position: Position {
                epoch,
                revision: Revision(revision),
                id: RevisionId::random(),
            },
            author: Author::Operator { name: "a".into() },
            reason: String::new(),
            time: SystemTime::UNIX_EPOCH,
            before: Vec::new(),
            after: Vec::new(),
        };
        // What a failover lost had greater numbers than what came after it.
        let history = [(new, 17), (new, 16), (old, 20), (old, 12)].map(entry);
        let start = |epoch, revision| page_start(&history, epoch, Revision(revision));
        assert_eq!((start(new, 99), start(new, 17), start(new, 16)), (0, 1, 2));
        assert_eq!((start(old, 20), start(old, 12)), (3, 4));
        assert_eq!(start(Epoch::random(), 20), 4);
    }
}
