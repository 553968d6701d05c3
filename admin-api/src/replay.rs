//! The answer to a change that was made before, from the history that keeps it.

use model::{Entry, Stamped};
use registry::{Committed, HistoryEntry};
use serde::Deserialize;

use crate::app::App;
use crate::edit::Edited;
use crate::problem::Problem;
use crate::resource::Resource;

/// How many changes back an earlier answer is looked for.
const LOOK_BACK: usize = 1_000;

impl App {
    /// What an earlier commit did to the resource `key`, or to the only one of its kind that it touched.
    /// Nothing where the history does not say any more.
    pub(crate) async fn earlier_edit<R: Resource>(
        &self,
        committed: &Committed,
        key: Option<&R::Key>,
    ) -> Result<Option<Edited<R>>, Problem> {
        let history = self.registry.history(LOOK_BACK).await?;
        let entry = history
            .iter()
            .find(|entry| entry.position == committed.position);
        Ok(entry.and_then(|entry| read_edit(entry, key)))
    }
}

fn read_edit<R: Resource>(entry: &HistoryEntry, key: Option<&R::Key>) -> Option<Edited<R>> {
    let wanted = key.map(ToString::to_string);
    let is_it = |entry: &&Entry| {
        entry.collection == R::COLLECTION && wanted.as_ref().is_none_or(|key| *key == entry.key)
    };
    let read = |entries: &[Entry]| {
        let value = entries.iter().find(is_it)?.value.as_ref()?;
        Stamped::<R>::deserialize(value).ok()
    };
    let (before, after) = (read(&entry.before), read(&entry.after));
    let named = after.as_ref().or(before.as_ref())?;
    let key = named.value.key();
    Some(Edited { key, before, after })
}
